//! Values as people and files write them.

use std::borrow::Cow;

use comity_model::{FieldName, FieldType, InvalidValue, KindSchema, Timestamp, Value};
use serde_json::{Value as Json, json};

use crate::error::{CommandError, CommandResult, Kind};

/// One assignment of `comity set`: `FIELD=VALUE`, read by the schema, or `FIELD:=JSON`, taken as it is.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The field.
    pub field: FieldName,
    value: Given,
}

#[derive(Clone, Debug)]
enum Given {
    Text(String),
    Exact(Value),
}

impl Assignment {
    /// Reads an assignment.
    pub fn parse(text: &str) -> CommandResult<Self> {
        let wrong = |reason: &str| {
            CommandError::new(Kind::Usage, format_args!("{text:?} {reason}"))
                .hint("write FIELD=VALUE, as in status=microcracks; quote what holds spaces: 'comment=two cells'")
        };
        let (name, value) = text.split_once('=').ok_or_else(|| wrong("holds no `=`"))?;
        let (name, is_exact) = name.strip_suffix(':').map_or((name, false), |name| (name, true));
        let field = FieldName::new(name).map_err(|error| wrong(&format!("names no field: {error}")))?;
        if field.as_str() == comity_model::LIFE {
            return Err(CommandError::new(Kind::Usage, "field `life` says whether an entry is deleted")
                .hint("use `comity delete` and `comity restore`"));
        }
        let value = if is_exact {
            let json = serde_json::from_str(value).map_err(|error| wrong(&format!("is not JSON: {error}")))?;
            Given::Exact(
                from_json(&json)
                    .ok_or_else(|| wrong("is no scalar: a field holds one text, number, boolean or null"))?,
            )
        } else {
            Given::Text(value.to_owned())
        };
        Ok(Self { field, value })
    }

    /// Gives the value, by the schema of the document's kind.
    pub fn value(&self, schema: &KindSchema) -> Result<Value, InvalidValue> {
        match &self.value {
            Given::Exact(value) => schema.check_value(&self.field, value).map(|()| value.clone()),
            Given::Text(text) => read(schema, &self.field, text),
        }
    }
}

/// Reads a text by the schema. Beside what the schema itself reads: times as RFC 3339, and whole numbers above the
/// range of `i64`.
pub fn read(schema: &KindSchema, field: &FieldName, text: &str) -> Result<Value, InvalidValue> {
    let declared = schema.fields.iter().find(|known| known.name == field.as_str()).map(|known| known.field_type);
    let special = match declared {
        Some(FieldType::Time) => timestamp(text).map(Value::Time),
        Some(FieldType::Text) => None,
        _ => text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_err()).map(Value::Uint),
    };
    match special {
        Some(value) => schema.check_value(field, &value).map(|()| value),
        None => schema.parse_value(field, text),
    }
}

/// Reads a cell of a file. A leading `'` says that what follows is text although it looks like something else, as in
/// spreadsheets: `'007.5`. An empty cell is no value.
pub fn read_cell(schema: &KindSchema, field: &FieldName, cell: &str) -> Result<Option<Value>, InvalidValue> {
    if cell.is_empty() {
        return Ok(None);
    }
    if is_marked(schema, field, cell) {
        let value = Value::from(&cell[1..]);
        return schema.check_value(field, &value).map(|()| Some(value));
    }
    read(schema, field, cell).map(Some)
}

/// Writes a value into a cell, so that [`read_cell`] gives it back. Null is an empty cell.
pub fn write_cell<'a>(schema: &KindSchema, field: &FieldName, value: &'a Value) -> Cow<'a, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::Text(text)
            if text.is_empty() || looks_otherwise(schema, field, text) || is_marked(schema, field, text) =>
        {
            Cow::Owned(format!("'{text}"))
        }
        Value::Text(text) => Cow::Borrowed(text),
        // With its point: `1.0` stays a number with a fraction.
        Value::Float(number) => Cow::Owned(format!("{number:?}")),
        Value::Bytes(_) => Cow::Owned(format!("base64:{value}")),
        _ => Cow::Owned(value.to_string()),
    }
}

/// Tells whether a cell is `'` before what would otherwise not be read as that text.
fn is_marked(schema: &KindSchema, field: &FieldName, cell: &str) -> bool {
    let Some(rest) = cell.strip_prefix('\'') else { return false };
    // Many marks in a row are looked at one by one; `rest` gets shorter each time.
    let core = rest.trim_start_matches('\'');
    core.is_empty() || looks_otherwise(schema, field, core)
}

fn looks_otherwise(schema: &KindSchema, field: &FieldName, text: &str) -> bool {
    read(schema, field, text).is_ok_and(|value| value.as_text().is_none())
}

/// Gives a value as JSON. What JSON has no word for is an object with one key.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Uint(value) => json!(value),
        Value::Float(value) if value.is_finite() => json!(value),
        Value::Text(value) => json!(value),
        Value::Float(value) => json!({ "float": value.to_string() }),
        Value::Bytes(_) => json!({ "base64": value.to_string() }),
        Value::Time(value) => json!({ "time": value.to_string() }),
        Value::Counter(value) => json!({ "counter": value }),
        other => json!(other.to_string()),
    }
}

/// Reads what [`to_json`] writes; `None` for what is no scalar.
pub fn from_json(json: &Json) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Null),
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::String(value) => Some(Value::from(value.as_str())),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Some(Value::Int(whole)),
            (None, Some(whole)) => Some(Value::Uint(whole)),
            (None, None) => number.as_f64().map(Value::Float),
        },
        Json::Object(object) if object.len() == 1 => timestamp(object.get("time")?.as_str()?).map(Value::Time),
        _ => None,
    }
}

/// Gives a value for a person, on one line, cut to a length.
pub fn shown(value: &Value, max: usize) -> String {
    match value {
        Value::Text(text) if text.is_empty() => "\"\"".to_owned(),
        _ => crate::output::one_line(&value.to_string(), max),
    }
}

/// Reads a time as RFC 3339: `2026-11-21T12:00:00Z`, with or without a fraction, with `Z` or an offset; also a bare
/// date, which is its midnight in UTC.
pub fn timestamp(text: &str) -> Option<Timestamp> {
    if !text.is_ascii() || text.len() > 40 {
        return None;
    }
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, time),
        None => (text, "00:00:00Z"),
    };
    let [year, month, day] = numbers(date, '-', &[4, 2, 2])?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1..=12).contains(&month) || !(1..=days[usize::try_from(month - 1).ok()?]).contains(&day) {
        return None;
    }
    let (clock, offset_minutes) = offset(time)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', &[2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 || fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    let minutes = (days_from_civil(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    Some(Timestamp::from_unix_ms((minutes * 60 + second) * 1_000 + ms))
}

/// Takes the offset off the end of a time; gives it in minutes.
fn offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let (clock, offset) = time.split_at_checked(time.len().checked_sub(6)?)?;
    let sign = match offset.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let [hours, minutes] = numbers(&offset[1..], ':', &[2, 2])?;
    (hours < 24 && minutes < 60).then_some((clock, sign * (hours * 60 + minutes)))
}

/// Reads numbers of fixed widths between separators.
fn numbers<const N: usize>(text: &str, separator: char, widths: &[usize; N]) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != *width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Counts days since 1970-01-01, in eras of 400 years that begin on 1 March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> FieldName {
        FieldName::new(name).unwrap()
    }

    fn harvest() -> KindSchema {
        KindSchema::built_in().into_iter().find(|schema| schema.name.as_str() == "harvest").unwrap()
    }

    #[test]
    fn times_read_back_what_they_print() {
        for ms in [0, 951_782_400_000, 1_795_262_400_123, -1, 4_107_542_400_000] {
            let time = Timestamp::from_unix_ms(ms);
            assert_eq!(timestamp(&time.to_string()), Some(time), "{time}");
        }
        assert_eq!(timestamp("2026-11-21T13:00:00+01:00"), timestamp("2026-11-21T12:00:00Z"));
        assert_eq!(timestamp("2026-11-21"), timestamp("2026-11-21T00:00:00Z"));
        for wrong in
            ["2026-13-01", "2026-02-30T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21T12:00:00", "soon", "", "é"]
        {
            assert_eq!(timestamp(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn cells_read_back_as_the_value_that_was_written() {
        let schema = harvest();
        for value in [
            Value::from("12"),
            Value::from("'12"),
            Value::from("''12"),
            Value::from("'"),
            Value::from(""),
            Value::from("'t Hooft"),
            Value::from("true"),
            Value::from("1e5"),
            Value::from("007"),
            Value::Float(1.0),
            Value::Float(1e-7),
            Value::Float(-0.0),
            Value::Int(-3),
            Value::Uint(u64::MAX),
            Value::Bool(true),
        ] {
            let cell = write_cell(&schema, &field("note"), &value);
            assert_eq!(read_cell(&schema, &field("note"), &cell), Ok(Some(value.clone())), "{value:?} as {cell:?}");
        }
        // A declared text needs no mark.
        assert_eq!(write_cell(&schema, &field("plot"), &Value::from("12")), "12");
        assert_eq!(read_cell(&schema, &field("plot"), "12"), Ok(Some(Value::from("12"))));
        assert_eq!(read_cell(&schema, &field("note"), "'t Hooft"), Ok(Some(Value::from("'t Hooft"))));
        assert_eq!(read_cell(&schema, &field("note"), ""), Ok(None));
        let at = read_cell(&schema, &field("at"), "2026-11-21T12:00:00.000Z").unwrap().unwrap();
        assert_eq!(write_cell(&schema, &field("at"), &at), "2026-11-21T12:00:00.000Z");
    }

    #[test]
    fn assignments_are_read_by_the_schema_or_taken_as_they_are() {
        let value = |text: &str| Assignment::parse(text).unwrap().value(&harvest());
        assert_eq!(value("kg=12.5"), Ok(Value::Float(12.5)));
        assert_eq!(value("plot=12"), Ok(Value::from("12")));
        assert_eq!(value("note:=\"12\""), Ok(Value::from("12")));
        assert_eq!(value("note:=null"), Ok(Value::Null));
        assert_eq!(value("note=a=b"), Ok(Value::from("a=b")));
        assert!(value("kg=heavy").is_err());
        for wrong in ["kg", "=1", "a/b=1", "note:=[1]", "note:=", "life=deleted"] {
            assert_eq!(Assignment::parse(wrong).unwrap_err().kind, Kind::Usage, "{wrong}");
        }
    }
}
