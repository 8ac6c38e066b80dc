//! What a conflict is: its kind, its place, its sides.

use std::fmt;
use std::str::FromStr;

use comity_crdt::{ObjectId, OpId, OpKey};
use comity_model::{Act, ActorId, ChangeHash, DeviceTag, EntryId, FieldName, RegisterKey, Value};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// The sorts of conflicts. Their words and numbers are part of ids and of JSON, and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConflictKind {
    /// Different values stand in one register, written by people who did not know of each other's.
    ConcurrentUpdate,
    /// Different devices wrote, not knowing of each other, to fields that belong together.
    FieldGroup,
    /// Somebody deleted what somebody else wrote to at the same time.
    DeleteAgainstUpdate,
    /// Two live entries or documents with the same natural key, made by people who did not know of each other's.
    Duplicate,
    /// A rule of the policy is broken.
    Invariant,
    /// A value was chosen knowing another that somebody changed at the same time.
    StaleDecision,
    /// Somebody wrote over several values at once without saying that it was a decision.
    ImplicitResolution,
    /// Two people decided one conflict differently.
    ResolutionConflict,
    /// A counter was set anew while somebody added to it.
    Counter,
    /// Two people edited the same spot of a text.
    TextOverlap,
    /// Somebody wrote into an object that somebody else replaced or removed at the same time.
    HiddenEdit,
}

impl ConflictKind {
    /// All kinds, in the order in which they are listed.
    pub const ALL: [Self; 11] = [
        Self::ConcurrentUpdate,
        Self::FieldGroup,
        Self::DeleteAgainstUpdate,
        Self::Duplicate,
        Self::Invariant,
        Self::StaleDecision,
        Self::ImplicitResolution,
        Self::ResolutionConflict,
        Self::Counter,
        Self::TextOverlap,
        Self::HiddenEdit,
    ];

    /// The word for it, in commands and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConcurrentUpdate => "concurrent-update",
            Self::FieldGroup => "field-group",
            Self::DeleteAgainstUpdate => "delete-against-update",
            Self::Duplicate => "duplicate",
            Self::Invariant => "invariant",
            Self::StaleDecision => "stale-decision",
            Self::ImplicitResolution => "implicit-resolution",
            Self::ResolutionConflict => "resolution-conflict",
            Self::Counter => "counter",
            Self::TextOverlap => "text-overlap",
            Self::HiddenEdit => "hidden-edit",
        }
    }
}

impl fmt::Display for ConflictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is not the word for a kind of conflict, or for a state of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be one of {allowed}")]
pub struct UnknownWord {
    what: &'static str,
    allowed: String,
}

impl FromStr for ConflictKind {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        known.ok_or_else(|| UnknownWord {
            what: "the kind of a conflict",
            allowed: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// How a conflict stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum State {
    /// Nobody has decided it.
    Open,
    /// It was decided or dismissed; then a write arrived that the decision had not seen.
    Reopened,
    /// Decided, and waiting for a second reviewer to agree.
    NeedsSecondReviewer,
    /// Several people wrote the same value, not knowing of each other's.
    Agreed,
    /// Decided.
    Resolved,
    /// A person said that it needs no decision.
    Dismissed,
}

impl State {
    /// All states, the most pressing first.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Reopened, Self::NeedsSecondReviewer, Self::Agreed, Self::Resolved, Self::Dismissed];

    /// The word for it, in commands and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Reopened => "reopened",
            Self::NeedsSecondReviewer => "needs-second-reviewer",
            Self::Agreed => "agreed",
            Self::Resolved => "resolved",
            Self::Dismissed => "dismissed",
        }
    }

    /// Whether somebody has to do something about it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Reopened | Self::NeedsSecondReviewer)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == word);
        known.ok_or_else(|| UnknownWord {
            what: "the state of a conflict",
            allowed: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// One register, of an entry, of the document itself, or of another application's document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Place {
    /// A field of an entry.
    Field(RegisterKey),
    /// One of the document's own registers.
    About(String),
    /// A key of a map or an element of a list that Comity knows nothing of.
    Other {
        /// The map, list or text.
        object: ObjectId,
        /// Where in it.
        key: OpKey,
    },
}

impl Place {
    /// Gives the register when it is that of an entry.
    pub const fn register(&self) -> Option<&RegisterKey> {
        match self {
            Self::Field(register) => Some(register),
            _ => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(register) => register.fmt(f),
            Self::About(name) => write!(f, "about:{name}"),
            Self::Other { object, key } => {
                match object {
                    ObjectId::Other(op) => write!(f, "object {op}")?,
                    other => write!(f, "{}", format!("{other:?}").to_lowercase())?,
                }
                match key {
                    OpKey::Map(key) => write!(f, ":{key}"),
                    OpKey::Element(Some(op)) => write!(f, ":element {op}"),
                    _ => f.write_str(":start"),
                }
            }
        }
    }
}

/// What a conflict is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Subject {
    /// One register.
    Place(Place),
    /// Fields of an entry that belong together, or of which one depends on the other.
    Fields {
        /// The entry.
        entry: EntryId,
        /// The fields, ascending.
        fields: Vec<FieldName>,
    },
    /// A whole entry.
    Entry(EntryId),
    /// Entries with the same natural key, ascending.
    Entries(Vec<EntryId>),
    /// A rule of the policy, by name.
    Rule(String),
}

impl Subject {
    /// Gives the entry, when it is about just one.
    pub const fn entry(&self) -> Option<&EntryId> {
        match self {
            Self::Place(Place::Field(register)) => Some(&register.entry),
            Self::Fields { entry, .. } | Self::Entry(entry) => Some(entry),
            _ => None,
        }
    }
}

impl Subject {
    /// Reads what [`Display`](fmt::Display) prints; `None` when it is no subject of a conflict of this kind, or one in
    /// another application's document, where nobody decides anything.
    pub(crate) fn parse(kind: ConflictKind, text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let entry = |text: &str| text.parse::<EntryId>().ok();
        let subject = match (kind, &parts[..]) {
            (ConflictKind::Invariant, _) => Self::Rule(text.strip_prefix("rule:")?.to_owned()),
            (ConflictKind::Duplicate, _) => Self::Entries(parts.iter().map(|id| entry(id)).collect::<Option<_>>()?),
            (_, [id, field]) if entry(id).is_some() && field.parse::<FieldName>().is_ok() => {
                Self::Place(Place::Field(text.parse().ok()?))
            }
            (_, [id, fields @ ..]) if fields.len() > 1 => {
                let fields = fields.iter().map(|field| field.parse().ok()).collect::<Option<_>>()?;
                Self::Fields { entry: entry(id)?, fields }
            }
            (ConflictKind::DeleteAgainstUpdate, [id]) => Self::Entry(entry(id)?),
            _ => Self::Place(Place::About(text.strip_prefix("about:")?.to_owned())),
        };
        (subject.to_string() == text).then_some(subject)
    }
}

impl fmt::Display for Subject {
    /// Parts are joined by `/`, which no part may hold: `M050/status`, `M050/comment/status`, `M050/M051`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(place) => place.fmt(f),
            Self::Fields { entry, fields } => {
                entry.fmt(f)?;
                fields.iter().try_for_each(|field| write!(f, "/{field}"))
            }
            Self::Entry(entry) => entry.fmt(f),
            Self::Entries(entries) => {
                let words: Vec<&str> = entries.iter().map(EntryId::as_str).collect();
                f.write_str(&words.join("/"))
            }
            Self::Rule(name) => write!(f, "rule:{name}"),
        }
    }
}

/// Names a conflict: a hash of its kind, its subject and the writes that stand against each other, so it is the same on
/// every peer. Prints as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConflictId([u8; 16]);

impl ConflictId {
    /// Names the conflict of these writes, given in any order.
    pub fn of(kind: ConflictKind, subject: &Subject, writes: &[OpId]) -> Self {
        Self::named(kind, &subject.to_string(), &digest_of(writes))
    }

    /// Names the conflict of a subject as it prints, and of the digest of its writes.
    pub(crate) fn named(kind: ConflictKind, subject: &str, writes: &[u8; 32]) -> Self {
        let mut hash = Sha256::new();
        part(&mut hash, b"comity conflict 1");
        part(&mut hash, kind.as_str().as_bytes());
        part(&mut hash, subject.as_bytes());
        part(&mut hash, writes);
        let digest = hash.finalize();
        Self(digest[..16].try_into().expect("a SHA-256 digest has 32 bytes"))
    }

    /// Gives the bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Sums up writes, given in any order.
pub(crate) fn digest_of(writes: &[OpId]) -> [u8; 32] {
    let mut writes: Vec<&OpId> = writes.iter().collect();
    writes.sort_unstable();
    let mut hash = Sha256::new();
    for write in writes {
        part(&mut hash, &write.counter.to_le_bytes());
        part(&mut hash, write.actor.as_bytes());
    }
    hash.finalize().into()
}

/// Adds a part with its length, so that parts do not run together.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
    hash.update(bytes);
}

impl fmt::Display for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not the id of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a conflict has 32 hexadecimal digits")]
pub struct InvalidConflictId;

impl FromStr for ConflictId {
    type Err = InvalidConflictId;

    fn from_str(text: &str) -> Result<Self, InvalidConflictId> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| InvalidConflictId)?;
        Ok(Self(bytes.try_into().map_err(|_| InvalidConflictId)?))
    }
}

/// One write to a register, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// To which register.
    pub place: Place,
    /// The operation.
    pub op: OpId,
    /// The value; `None` when it removed what stood there.
    pub value: Option<Value>,
    /// The change that the write is part of.
    pub change: ChangeHash,
    /// What its author says of the change; `None` for the changes of other applications.
    pub act: Option<Act>,
    /// When, in seconds since 1970, as its author's clock said; 0 when it did not say.
    pub time_s: i64,
    /// The remark that its author added in the same change.
    pub remark: Option<String>,
    /// What its author had seen in the register: what stood there then.
    pub seen: Vec<Option<Value>>,
}

impl Written {
    /// Who wrote it.
    pub const fn actor(&self) -> &ActorId {
        &self.op.actor
    }

    /// The device, for a change of ours.
    pub fn device(&self) -> Option<DeviceTag> {
        self.op.actor.device()
    }
}

/// One of the things that stand against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// Its writes, ascending. In a conflict about one register they all have the same value: several people found the
    /// same by themselves.
    pub writes: Vec<Written>,
}

impl Side {
    /// Gives the value, in a conflict about one register.
    pub fn value(&self) -> Option<&Value> {
        self.writes.first()?.value.as_ref()
    }
}

/// What stood in a register when the sides parted.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    /// The register.
    pub place: Place,
    /// The values that all sides had seen there, one as a rule; none when the register was new. `None` is a removal.
    pub values: Vec<Option<Value>>,
}

/// Something that merged, and that people should look at. A pure function of the document's changes and of the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// Its name.
    pub id: ConflictId,
    /// What sort.
    pub kind: ConflictKind,
    /// What it is about.
    pub subject: Subject,
    /// How it stands.
    pub state: State,
    /// What stood in each register when the sides parted.
    pub base: Vec<Base>,
    /// What stands against each other, in the order of their first writes, the same on every device. In a conflict
    /// about one register the side with the greatest write is the one that Automerge shows: that is no verdict.
    pub sides: Vec<Side>,
    /// The conflict that was decided or dismissed before this one was opened by a later write.
    pub reopens: Option<ConflictId>,
    /// The decisions about it, by id.
    pub decisions: Vec<crate::DecisionId>,
}

impl Conflict {
    /// Lists the writes of all sides.
    pub fn writes(&self) -> impl Iterator<Item = &Written> {
        self.sides.iter().flat_map(|side| &side.writes)
    }
}
