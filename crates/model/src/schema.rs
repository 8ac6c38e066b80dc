//! Schemas: what kinds of documents there are, and what an entry of a kind looks like.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::excerpt;
use crate::{FieldName, Timestamp, Value};

/// Says why a kind or schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSchema {
    /// A kind must be a short lower-case word.
    #[error("kind {text:?} must be 1 to 64 of a-z, 0-9, '-' or '_', beginning with a letter")]
    Kind {
        /// What was given, cut to a readable length.
        text: String,
    },
    /// A field name is not usable.
    #[error("field {field:?}: {reason}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Says why a text or value does not fit a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidValue {
    /// Not one of the declared values.
    #[error("{field} must be one of {allowed}; got {text:?}")]
    NotAllowed {
        /// The field.
        field: String,
        /// The declared values, joined.
        allowed: String,
        /// What was given, cut to a readable length.
        text: String,
    },
    /// Not of the declared type.
    #[error("{field} must be a {expected}; got {given}")]
    Type {
        /// The field.
        field: String,
        /// The declared type, in words.
        expected: &'static str,
        /// What was given, cut to a readable length; a text is in quotes.
        given: String,
    },
    /// The schema declares no such field.
    #[error("{kind} has no field {field:?}; it has {known}")]
    UnknownField {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
        /// The declared fields, joined.
        known: String,
    },
}

/// Names a kind of document: `audit`, `harvest`, `sale`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KindName(String);

impl KindName {
    /// Checks and wraps a word.
    ///
    /// # Errors
    /// When it is not 1 to 64 of `a-z 0-9 - _`, beginning with a letter.
    pub fn new(text: &str) -> Result<Self, InvalidSchema> {
        let fits = (1..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidSchema::Kind { text: excerpt(text) }) }
    }

    /// Gives the word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KindName {
    type Err = InvalidSchema;

    fn from_str(text: &str) -> Result<Self, InvalidSchema> {
        Self::new(text)
    }
}

impl TryFrom<String> for KindName {
    type Error = InvalidSchema;

    fn try_from(text: String) -> Result<Self, InvalidSchema> {
        Self::new(&text)
    }
}

impl From<KindName> for String {
    fn from(kind: KindName) -> Self {
        kind.0
    }
}

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

    /// Gives the built-in schemas: `audit`, `harvest`, `intervention`, `planning`, `preference`, `sale`.
    pub fn built_in() -> Vec<Self> {
        use FieldType::{Boolean, Integer, Number, Text, Time};
        let kind = |name: &str, fields: &[(&str, FieldType, &[&str])]| Self {
            name: KindName::new(name).expect("a constant that is a kind name"),
            version: 1,
            fields: fields
                .iter()
                .map(|(name, field_type, values)| FieldSchema {
                    name: (*name).to_owned(),
                    field_type: *field_type,
                    values: values.iter().map(|value| (*value).to_owned()).collect(),
                })
                .collect(),
            closed: false,
        };
        const STATUSES: &[&str] = &["ok", "inequality", "microcracks", "dead", "string_open", "not_connected"];
        vec![
            kind("audit", &[("status", Text, STATUSES), ("comment", Text, &[]), ("technician", Text, &[])]),
            kind("harvest", &[("plot", Text, &[]), ("crop", Text, &[]), ("kg", Number, &[]), ("at", Time, &[])]),
            kind(
                "intervention",
                &[("plot", Text, &[]), ("task", Text, &[]), ("worker", Text, &[]), ("done", Boolean, &[])],
            ),
            kind("planning", &[("task", Text, &[]), ("worker", Text, &[]), ("start", Time, &[]), ("end", Time, &[])]),
            kind("preference", &[]),
            kind(
                "sale",
                &[
                    ("region", Text, &[]),
                    ("product", Text, &[]),
                    ("quantity", Integer, &[]),
                    ("price", Number, &[]),
                    ("date", Text, &[]),
                ],
            ),
        ]
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

    /// Reads a text as a value of a field.
    ///
    /// # Errors
    /// When the text does not fit the field's type or its declared values, or a closed schema has no such field.
    pub fn parse_value(&self, field: &FieldName, text: &str) -> Result<Value, InvalidValue> {
        let Some(schema) = self.fields.iter().find(|known| known.name == field.as_str()) else {
            if self.closed {
                return Err(self.unknown(field));
            }
            return Ok(guess(text));
        };
        let wrong = || InvalidValue::Type {
            field: schema.name.clone(),
            expected: schema.field_type.in_words(),
            given: format!("{:?}", excerpt(text)),
        };
        let value = match schema.field_type {
            FieldType::Text => Value::Text(text.to_owned()),
            FieldType::Integer => Value::Int(text.parse().map_err(|_| wrong())?),
            FieldType::Number => parse_number(text).ok_or_else(wrong)?,
            FieldType::Boolean => Value::Bool(text.parse().map_err(|_| wrong())?),
            FieldType::Time => Value::Time(Timestamp::from_unix_ms(text.parse().map_err(|_| wrong())?)),
            FieldType::Any => guess(text),
        };
        self.check_value(field, &value)?;
        Ok(value)
    }

    /// Checks a value against a field. Fields that the schema does not declare take anything, unless it is closed.
    ///
    /// # Errors
    /// When the value does not fit the field's type or its declared values, or a closed schema has no such field.
    pub fn check_value(&self, field: &FieldName, value: &Value) -> Result<(), InvalidValue> {
        if field.as_str() == crate::LIFE {
            return Ok(());
        }
        let Some(schema) = self.fields.iter().find(|known| known.name == field.as_str()) else {
            return if self.closed { Err(self.unknown(field)) } else { Ok(()) };
        };
        let fits = match (schema.field_type, value) {
            (_, Value::Null) | (FieldType::Any, _) => true,
            (FieldType::Text, Value::Text(_)) | (FieldType::Boolean, Value::Bool(_)) => true,
            (FieldType::Integer, Value::Int(_) | Value::Uint(_)) => true,
            (FieldType::Number, Value::Int(_) | Value::Uint(_)) => true,
            (FieldType::Number, Value::Float(number)) => number.is_finite(),
            (FieldType::Time, Value::Time(_)) => true,
            _ => false,
        };
        if !fits {
            return Err(InvalidValue::Type {
                field: schema.name.clone(),
                expected: schema.field_type.in_words(),
                given: match value.as_text() {
                    Some(text) => format!("{:?}", excerpt(text)),
                    None => excerpt(&value.to_string()),
                },
            });
        }
        match value.as_text() {
            Some(text) if !schema.values.is_empty() && !schema.values.iter().any(|known| known == text) => {
                Err(InvalidValue::NotAllowed {
                    field: schema.name.clone(),
                    allowed: schema.values.join(", "),
                    text: excerpt(text),
                })
            }
            _ => Ok(()),
        }
    }

    fn unknown(&self, field: &FieldName) -> InvalidValue {
        let names: Vec<&str> = self.fields.iter().map(|known| known.name.as_str()).collect();
        InvalidValue::UnknownField {
            kind: self.name.to_string(),
            field: excerpt(field.as_str()),
            known: names.join(", "),
        }
    }
}

/// Reads a finite number, as a whole one where it is written as one.
fn parse_number(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse() {
        return Some(Value::Int(whole));
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
}

/// Reads a text as what it looks like. Digits with a leading zero or plus stay text: they are names, not numbers.
fn guess(text: &str) -> Value {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_a_name = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if is_a_name || !digits.starts_with(|c: char| c.is_ascii_digit()) => Value::Text(text.to_owned()),
        _ => parse_number(text).unwrap_or_else(|| Value::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit() -> KindSchema {
        KindSchema::built_in().remove(0)
    }

    #[test]
    fn built_in_schemas_pass_their_own_check() {
        for schema in KindSchema::built_in() {
            schema.check().unwrap();
        }
    }

    #[test]
    fn an_enumeration_names_what_it_allows() {
        let status = FieldName::new("status").unwrap();
        assert_eq!(audit().parse_value(&status, "dead"), Ok(Value::from("dead")));
        let error = audit().parse_value(&status, "ded").unwrap_err().to_string();
        assert_eq!(
            error,
            "status must be one of ok, inequality, microcracks, dead, string_open, not_connected; got \"ded\""
        );
    }

    #[test]
    fn undeclared_fields_take_what_the_text_looks_like() {
        let field = FieldName::new("probability").unwrap();
        for (text, value) in [
            ("0.3333", Value::Float(0.3333)),
            ("12", Value::Int(12)),
            ("-0.5", Value::Float(-0.5)),
            ("007", Value::from("007")),
            ("true", Value::Bool(true)),
            ("NaN", Value::from("NaN")),
            ("1e999", Value::from("1e999")),
            ("", Value::from("")),
        ] {
            assert_eq!(audit().parse_value(&field, text), Ok(value), "{text:?}");
        }
    }

    #[test]
    fn a_closed_schema_refuses_unknown_fields() {
        let schema = KindSchema { closed: true, ..audit() };
        let error = schema.parse_value(&FieldName::new("colour").unwrap(), "red").unwrap_err().to_string();
        assert_eq!(error, "audit has no field \"colour\"; it has status, comment, technician");
    }

    #[test]
    fn a_schema_with_the_same_field_twice_is_refused() {
        let mut schema = audit();
        schema.fields.push(schema.fields[0].clone());
        assert!(schema.check().is_err());
    }
}
