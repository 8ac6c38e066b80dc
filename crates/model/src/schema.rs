//! Schemas: what kinds of documents there are, and what an entry of a kind looks like.

mod built_in;
mod error;
mod name;
mod values;

use serde::{Deserialize, Serialize};

pub use self::error::{InvalidSchema, InvalidValue};
pub use self::name::KindName;
use crate::FieldName;
use crate::id::excerpt;

/// What values a field takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FieldType {
    /// A text; with declared values, an enumeration.
    Text,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Milliseconds since 1970.
    Time,
    /// A whole number, a number, a boolean or a text, whichever the input looks like.
    Any,
}

impl FieldType {
    const fn in_words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "whole number",
            Self::Number => "number",
            Self::Boolean => "boolean (true or false)",
            Self::Time => "time (milliseconds since 1970)",
            Self::Any => "value",
        }
    }
}

/// One field of a kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldSchema {
    /// Its name.
    pub name: String,
    /// What values it takes.
    #[serde(rename = "type", default = "any")]
    pub field_type: FieldType,
    /// For a text: the only values allowed, when not empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

fn any() -> FieldType {
    FieldType::Any
}

/// What an entry of a kind looks like. Checked where an edit is made, never where a change is merged: a device with
/// an older schema must not refuse what a newer one wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindSchema {
    /// The kind.
    pub name: KindName,
    /// Grows when the fields change.
    #[serde(default = "one")]
    pub version: u32,
    /// The declared fields.
    #[serde(default)]
    pub fields: Vec<FieldSchema>,
    /// Whether fields that are not declared are refused.
    #[serde(default)]
    pub closed: bool,
}

fn one() -> u32 {
    1
}

impl KindSchema {
    /// Gives a schema that allows any field.
    pub fn open(name: KindName) -> Self {
        Self { name, version: 1, fields: Vec::new(), closed: false }
    }

    /// Checks the schema itself.
    ///
    /// # Errors
    /// When a field name cannot be one, stands twice, or lists values without being a text.
    pub fn check(&self) -> Result<(), InvalidSchema> {
        for (i, field) in self.fields.iter().enumerate() {
            let wrong = |reason: String| InvalidSchema::Field { field: excerpt(&field.name), reason };
            FieldName::new(&field.name).map_err(|error| wrong(error.to_string()))?;
            if field.name == crate::LIFE {
                return Err(wrong("the name is taken: it says whether an entry is deleted".to_owned()));
            }
            if self.fields[..i].iter().any(|other| other.name == field.name) {
                return Err(wrong("stands twice".to_owned()));
            }
            if !field.values.is_empty() && field.field_type != FieldType::Text {
                return Err(wrong("only a text field can list its values".to_owned()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_schemas_pass_their_own_check() {
        for schema in KindSchema::built_in() {
            schema.check().unwrap();
        }
    }

    #[test]
    fn a_schema_with_the_same_field_twice_is_refused() {
        let mut schema = KindSchema::built_in().remove(0);
        schema.fields.push(schema.fields[0].clone());
        assert!(schema.check().is_err());
    }
}
