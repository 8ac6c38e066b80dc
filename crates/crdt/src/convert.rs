//! Conversions between our vocabulary and Automerge's.

use automerge::{ObjId, ObjType, ReadDoc, ScalarValue, ScalarValueRef, ValueRef};
use comity_model::{ActorId, ChangeHash, Heads, Timestamp, Value};

pub(crate) fn hash(theirs: automerge::ChangeHash) -> ChangeHash {
    ChangeHash(theirs.0)
}

pub(crate) fn their_hash(ours: ChangeHash) -> automerge::ChangeHash {
    automerge::ChangeHash(ours.0)
}

pub(crate) fn heads(theirs: &[automerge::ChangeHash]) -> Heads {
    theirs.iter().copied().map(hash).collect()
}

pub(crate) fn their_heads(ours: &Heads) -> Vec<automerge::ChangeHash> {
    ours.as_slice().iter().copied().map(their_hash).collect()
}

pub(crate) fn actor(theirs: &automerge::ActorId) -> ActorId {
    ActorId::from_bytes(theirs.to_bytes())
}

/// Turns a value into the scalar that stands for it. `None` for a counter, which Comity reads but never writes, and
/// for a sort of value that this crate does not know.
pub(crate) fn scalar(value: &Value) -> Option<ScalarValue> {
    Some(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(*value),
        Value::Int(value) => ScalarValue::Int(*value),
        Value::Uint(value) => ScalarValue::Uint(*value),
        Value::Float(value) => ScalarValue::F64(*value),
        Value::Text(value) => ScalarValue::Str(value.as_str().into()),
        Value::Bytes(value) => ScalarValue::Bytes(value.clone()),
        Value::Time(value) => ScalarValue::Timestamp(value.unix_ms),
        _ => return None,
    })
}

/// Reads a scalar. A type of a later Automerge release is shown as its bytes, so that it can be seen and compared.
pub(crate) fn value(scalar: &ScalarValue) -> Value {
    match scalar {
        ScalarValue::Null => Value::Null,
        ScalarValue::Boolean(value) => Value::Bool(*value),
        ScalarValue::Int(value) => Value::Int(*value),
        ScalarValue::Uint(value) => Value::Uint(*value),
        ScalarValue::F64(value) => Value::Float(*value),
        ScalarValue::Str(value) => Value::Text(value.to_string()),
        ScalarValue::Bytes(value) => Value::Bytes(value.clone()),
        ScalarValue::Timestamp(value) => Value::Time(Timestamp::from_unix_ms(*value)),
        ScalarValue::Counter(value) => Value::Counter(i64::from(value)),
        ScalarValue::Unknown { bytes, .. } => Value::Bytes(bytes.clone()),
    }
}

/// Reads what a register of a document shows. A `Text` object of another application reads as its text; any other
/// object is not a value of a register.
pub(crate) fn shown(
    document: &automerge::Automerge,
    value: &ValueRef<'_>,
    id: impl FnOnce() -> ObjId,
) -> Option<Value> {
    Some(match value {
        ValueRef::Object(ObjType::Text) => Value::Text(document.text(id()).ok()?),
        ValueRef::Object(_) => return None,
        ValueRef::Scalar(scalar) => match scalar {
            ScalarValueRef::Null => Value::Null,
            ScalarValueRef::Boolean(value) => Value::Bool(*value),
            ScalarValueRef::Int(value) => Value::Int(*value),
            ScalarValueRef::Uint(value) => Value::Uint(*value),
            ScalarValueRef::F64(value) => Value::Float(*value),
            ScalarValueRef::Str(value) => Value::Text(value.to_string()),
            ScalarValueRef::Bytes(value) => Value::Bytes(value.to_vec()),
            ScalarValueRef::Timestamp(value) => Value::Time(Timestamp::from_unix_ms(*value)),
            ScalarValueRef::Counter(value) => Value::Counter(*value),
            ScalarValueRef::Unknown { bytes, .. } => Value::Bytes(bytes.to_vec()),
        },
    })
}
