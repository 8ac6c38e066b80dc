//! Decisions: what a person answered, as it stands in the document.
//!
//! A decision is one change, made at the heads that the person had on screen: the forced writes, and one immutable record
//! in `decisions`. Who decided, on which device, when, and what they had seen is said by the change itself (its actor, its
//! act, what it depends on), so a record cannot contradict it.
//!
//! The record is JSON with its members in a fixed order, so that a browser can read it and equal records are equal bytes.

use std::fmt;
use std::sync::Arc;

use comity_crdt::OpId;
use comity_model::{ActorId, RegisterKey, Timestamp, Value};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

use crate::{ConflictId, ConflictKind};

/// Names a decision: the key of its record, unique in the document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DecisionId(Arc<str>);

impl DecisionId {
    /// Longest allowed, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// Wraps the key of a record; `None` when it is empty or too long.
    pub fn new(text: &str) -> Option<Self> {
        (1..=Self::BYTES_MAX).contains(&text.len()).then(|| Self(text.into()))
    }

    /// Makes an id of random bytes.
    pub fn from_random(bytes: [u8; 12]) -> Self {
        Self(HEXLOWER.encode(&bytes).into())
    }

    /// Gives the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Choice {
    /// The value that was shown stays.
    Current,
    /// One of the other sides is right.
    Accept,
    /// Neither: another value.
    Merged,
    /// It needs no decision.
    Dismissed,
    /// Somebody looked again, and it is right as it stands.
    Confirmed,
    /// A dismissal or confirmation is taken back.
    Reopened,
    /// A second reviewer agrees with a decision.
    Approved,
    /// A decision is undone: what stood before it stands again.
    Undone,
    /// An entry goes back to what it was at older heads.
    RolledBack,
    /// Duplicates are one and the same; nothing is deleted.
    Linked,
}

impl Choice {
    /// The word for it, in commands and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Accept => "accept",
            Self::Merged => "merged",
            Self::Dismissed => "dismissed",
            Self::Confirmed => "confirmed",
            Self::Reopened => "reopened",
            Self::Approved => "approved",
            Self::Undone => "undone",
            Self::RolledBack => "rolled-back",
            Self::Linked => "linked",
        }
    }
}

/// Whether the reviewer had a suggestion before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SuggestionShown {
    /// It was shown before they chose, so the choice says little about whether it was right.
    Before,
    /// They chose first.
    After,
    /// It was never shown.
    Never,
}

/// What stands in the document for one decision.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRecord {
    /// The conflict.
    pub conflict: ConflictId,
    /// Its kind.
    pub kind: ConflictKind,
    /// Its subject, as it prints.
    pub subject: String,
    /// The writes that stood against each other: the first [`AGAINST_MAX`](Self::AGAINST_MAX) by operation id.
    pub against: Vec<OpId>,
    /// The digest of all of them, from which the conflict has its name.
    pub writes_digest: [u8; 32],
    /// What was answered.
    pub choice: Choice,
    /// What was written for it.
    pub writes: Vec<(RegisterKey, Value)>,
    /// Why, in the reviewer's words.
    pub reason: Option<String>,
    /// What the reviewer is called. A label, which nobody trusts.
    pub reviewer: Option<String>,
    /// The rule that sent the conflict to a person.
    pub rule: Option<String>,
    /// The decisions that this one takes the place of.
    pub supersedes: Vec<DecisionId>,
    /// Whether a suggestion was shown.
    pub suggestion: SuggestionShown,
}

/// Says why a record cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecord {
    /// Too long.
    #[error("the record of a decision may have {max} bytes, this one has {actual}: shorten the reason")]
    TooLong {
        /// Its length.
        actual: usize,
        /// The bound.
        max: usize,
    },
    /// Written by a newer release.
    #[error("the record of a decision has version {found}, and this release reads version {known}")]
    Version {
        /// What it says.
        found: u64,
        /// What is known.
        known: u64,
    },
    /// Not a record.
    #[error("the record of a decision cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A part of it cannot be what it claims.
    #[error("the record of a decision has no valid {member}")]
    Member {
        /// Which.
        member: &'static str,
    },
}

const VERSION: u64 = 1;

/// The record as it is written. The order of the members is part of the format.
#[derive(Serialize, Deserialize)]
struct Stored {
    v: u64,
    conflict: String,
    kind: String,
    subject: String,
    against: Vec<String>,
    digest: String,
    choice: Choice,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    writes: Vec<(String, StoredValue)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reviewer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    supersedes: Vec<String>,
    suggestion: SuggestionShown,
}

/// A value with its type, which plain JSON would lose.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredValue {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    /// As its bits, because JSON knows no infinity.
    Float(u64),
    Text(String),
    Bytes(String),
    Time(i64),
    Counter(i64),
}

impl DecisionRecord {
    /// Longest record, in bytes.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// Most writes that are named one by one. Thousands may stand against each other, when a fleet comes home.
    pub const AGAINST_MAX: usize = 256;

    /// Most decisions that one takes the place of.
    pub const SUPERSEDES_MAX: usize = 64;

    /// Whether the record is about the conflict that it names: its parts must make that name.
    pub(crate) fn is_sound(&self) -> bool {
        ConflictId::named(self.kind, &self.subject, &self.writes_digest) == self.conflict
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When it would be too long.
    pub fn to_text(&self) -> Result<String, InvalidRecord> {
        let stored = Stored {
            v: VERSION,
            conflict: self.conflict.to_string(),
            kind: self.kind.to_string(),
            subject: self.subject.clone(),
            against: self.against.iter().map(ToString::to_string).collect(),
            digest: HEXLOWER.encode(&self.writes_digest),
            choice: self.choice,
            writes: self.writes.iter().map(|(key, value)| (key.to_string(), store(value))).collect(),
            reason: self.reason.clone(),
            reviewer: self.reviewer.clone(),
            rule: self.rule.clone(),
            supersedes: self.supersedes.iter().map(ToString::to_string).collect(),
            suggestion: self.suggestion,
        };
        let text = serde_json::to_string(&stored)?;
        if text.len() > Self::BYTES_MAX {
            return Err(InvalidRecord::TooLong { actual: text.len(), max: Self::BYTES_MAX });
        }
        Ok(text)
    }

    /// Reads a record. Members that this release does not know are passed over.
    ///
    /// # Errors
    /// When it is too long, of a newer version, or no record.
    pub fn from_text(text: &str) -> Result<Self, InvalidRecord> {
        if text.len() > Self::BYTES_MAX {
            return Err(InvalidRecord::TooLong { actual: text.len(), max: Self::BYTES_MAX });
        }
        #[derive(Deserialize)]
        struct Version {
            v: u64,
        }
        let Version { v: found } = serde_json::from_str(text)?;
        if found != VERSION {
            return Err(InvalidRecord::Version { found, known: VERSION });
        }
        let stored: Stored = serde_json::from_str(text)?;
        let lacks = |member| InvalidRecord::Member { member };
        let against = stored.against.iter().map(|op| read_op(op)).collect::<Option<_>>();
        let digest = HEXLOWER.decode(stored.digest.as_bytes()).ok();
        let writes = stored.writes.into_iter().map(|(key, value)| Some((key.parse().ok()?, value.read()?)));
        let supersedes = stored.supersedes.iter().map(|id| DecisionId::new(id)).collect::<Option<_>>();
        Ok(Self {
            conflict: stored.conflict.parse().map_err(|_| lacks("conflict"))?,
            kind: stored.kind.parse().map_err(|_| lacks("kind"))?,
            subject: stored.subject,
            against: against.ok_or_else(|| lacks("against"))?,
            writes_digest: digest.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| lacks("digest"))?,
            choice: stored.choice,
            writes: writes.collect::<Option<_>>().ok_or_else(|| lacks("writes"))?,
            reason: stored.reason,
            reviewer: stored.reviewer,
            rule: stored.rule,
            supersedes: supersedes.ok_or_else(|| lacks("supersedes"))?,
            suggestion: stored.suggestion,
        })
    }
}

fn store(value: &Value) -> StoredValue {
    match value {
        Value::Bool(value) => StoredValue::Bool(*value),
        Value::Int(value) => StoredValue::Int(*value),
        Value::Uint(value) => StoredValue::Uint(*value),
        Value::Float(value) => StoredValue::Float(value.to_bits()),
        Value::Text(text) => StoredValue::Text(text.clone()),
        Value::Bytes(bytes) => StoredValue::Bytes(BASE64.encode(bytes)),
        Value::Time(time) => StoredValue::Time(time.unix_ms),
        Value::Counter(value) => StoredValue::Counter(*value),
        _ => StoredValue::Null,
    }
}

impl StoredValue {
    fn read(self) -> Option<Value> {
        Some(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Uint(value) => Value::Uint(value),
            Self::Float(bits) => Value::Float(f64::from_bits(bits)),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(text) => Value::Bytes(BASE64.decode(text.as_bytes()).ok()?),
            Self::Time(unix_ms) => Value::Time(Timestamp { unix_ms }),
            Self::Counter(value) => Value::Counter(value),
        })
    }
}

/// Reads `COUNTER@ACTOR`.
fn read_op(text: &str) -> Option<OpId> {
    let (counter, actor) = text.split_once('@')?;
    let actor = HEXLOWER.decode(actor.as_bytes()).ok()?;
    Some(OpId { counter: counter.parse().ok()?, actor: ActorId::from_bytes(&actor) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Place, Subject};

    fn record() -> DecisionRecord {
        let op = |counter, actor| OpId { counter, actor: ActorId::from_bytes(&[actor; 24]) };
        let register: RegisterKey = "M050/status".parse().unwrap();
        let subject = Subject::Place(Place::Field(register.clone()));
        let against = vec![op(7, 1), op(7, 2)];
        DecisionRecord {
            conflict: ConflictId::of(ConflictKind::ConcurrentUpdate, &subject, &against),
            kind: ConflictKind::ConcurrentUpdate,
            subject: subject.to_string(),
            writes_digest: crate::conflict::digest_of(&against),
            against,
            choice: Choice::Accept,
            writes: vec![(register, "dead".into())],
            reason: Some("the second image is sharper".to_owned()),
            reviewer: Some("Ana".to_owned()),
            rule: None,
            supersedes: vec![DecisionId::from_random([3; 12])],
            suggestion: SuggestionShown::Never,
        }
    }

    #[test]
    fn a_record_reads_back_and_equal_records_are_equal_bytes() {
        // S1.7: what was decided, and why, travels with the document.
        let text = record().to_text().unwrap();
        assert_eq!(DecisionRecord::from_text(&text).unwrap(), record());
        assert_eq!(text, record().to_text().unwrap());
        let later = text.replacen("{\"v\":1", "{\"v\":1,\"colour\":\"blue\"", 1);
        assert_eq!(DecisionRecord::from_text(&later).unwrap(), record(), "unknown members are passed over");
    }

    #[test]
    fn every_sort_of_value_reads_back() {
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Uint(u64::MAX),
            Value::Float(f64::INFINITY),
            Value::Float(-0.0),
            Value::Text("ü\n\"".to_owned()),
            Value::Bytes(vec![0, 255]),
            Value::Time(Timestamp { unix_ms: -1 }),
            Value::Counter(-3),
        ];
        for value in values {
            let key: RegisterKey = "M050/status".parse().unwrap();
            let record = DecisionRecord { writes: vec![(key, value)], ..record() };
            assert_eq!(DecisionRecord::from_text(&record.to_text().unwrap()).unwrap(), record);
        }
    }

    #[test]
    fn what_is_no_record_is_refused_with_its_reason() {
        let text = record().to_text().unwrap();
        let newer = DecisionRecord::from_text(&text.replacen("\"v\":1", "\"v\":2", 1)).unwrap_err();
        assert!(matches!(newer, InvalidRecord::Version { found: 2, known: 1 }), "{newer}");
        let torn = DecisionRecord::from_text(&text.replace("M050/status", "M050")).unwrap_err();
        assert!(matches!(torn, InvalidRecord::Member { member: "writes" }), "{torn}");
        assert!(DecisionRecord::from_text("{}").is_err());
    }

    #[test]
    fn a_record_may_be_as_long_as_its_bound_and_no_longer() {
        let fits = |reason: usize| {
            let record = DecisionRecord { reason: Some("x".repeat(reason)), ..record() };
            record.to_text().map(|text| text.len())
        };
        let rest = fits(0).unwrap();
        assert_eq!(fits(DecisionRecord::BYTES_MAX - rest).unwrap(), DecisionRecord::BYTES_MAX);
        assert!(fits(DecisionRecord::BYTES_MAX - rest + 1).is_err());
    }
}
