//! Values of fields: read from a text, and checked.

use super::{FieldType, InvalidValue, KindSchema};
use crate::id::excerpt;
use crate::{FieldName, Timestamp, Value};

impl KindSchema {
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
}
