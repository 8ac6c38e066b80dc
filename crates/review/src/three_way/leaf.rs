//! Leaves of JSON as values of registers, and back.

use comity_model::Value;
use serde_json::Value as Json;

/// How a text begins that holds JSON rather than itself.
const LITERAL: &str = "json:";

/// Tells whether a register says that its leaf is not there.
pub fn is_gone(value: &Value) -> bool {
    *value == Value::Null
}

/// Turns a leaf into the value of a register. Whatever is no plain scalar is its JSON, with the keys of objects in order,
/// so that equal leaves are equal values.
pub fn value_of(leaf: &Json) -> Value {
    match leaf {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => Value::Int(value),
            (None, Some(value), _) => Value::Uint(value),
            (None, None, Some(value)) => Value::Float(value),
            (None, None, None) => literal(leaf),
        },
        Json::String(text) if !text.starts_with(LITERAL) => Value::Text(text.clone()),
        _ => literal(leaf),
    }
}

/// Turns the value of a register back into a leaf; `None` when it says that there is none, or is no leaf.
pub fn leaf_of(value: &Value) -> Option<Json> {
    match value {
        Value::Bool(value) => Some(Json::Bool(*value)),
        Value::Int(value) => Some((*value).into()),
        Value::Uint(value) => Some((*value).into()),
        Value::Float(value) => serde_json::Number::from_f64(*value).map(Json::Number),
        Value::Text(text) => match text.strip_prefix(LITERAL) {
            Some(json) => serde_json::from_str(json).ok(),
            None => Some(Json::String(text.clone())),
        },
        _ => None,
    }
}

fn literal(leaf: &Json) -> Value {
    let mut text = LITERAL.to_owned();
    write(leaf, &mut text);
    Value::Text(text)
}

/// Writes JSON with the keys of objects ascending, whatever order they came in.
fn write(json: &Json, out: &mut String) {
    match json {
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Json::String(key.clone()).to_string());
                out.push(':');
                write(&members[key], out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_sort_of_leaf_reads_back_and_no_two_are_the_same() {
        let leaves = [
            json!(null),
            json!(true),
            json!(1),
            json!(-1),
            json!(u64::MAX),
            json!(1.5),
            json!("y"),
            json!(""),
            json!("null"),
            json!("json:null"),
            json!("json:"),
            json!([]),
            json!("[]"),
            json!({}),
            json!([{"b": 1, "a": "ü\n"}]),
        ];
        for (i, leaf) in leaves.iter().enumerate() {
            let value = value_of(leaf);
            assert!(!is_gone(&value), "{leaf}");
            assert_eq!(leaf_of(&value).as_ref(), Some(leaf), "{value}");
            assert!(leaves[..i].iter().all(|other| value_of(other) != value), "{leaf}");
        }
    }

    #[test]
    fn what_says_that_there_is_nothing_is_no_leaf() {
        assert!(is_gone(&Value::Null));
        assert_eq!(leaf_of(&Value::Null), None);
        assert_eq!(leaf_of(&"json:{".into()), None, "no JSON after all");
    }
}
