//! What a person did: the writes of one change and the note that travels with it.

use crate::{EntryId, HybridTime, RegisterKey, Value};

/// One write of an edit. All writes of an edit are one change: seen, stored and merged together or not at all.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Write {
    /// Sets a field of an entry.
    Set {
        /// The register.
        key: RegisterKey,
        /// Its new value.
        value: Value,
    },
    /// Marks an entry deleted; its values stay.
    Delete {
        /// The entry.
        entry: EntryId,
    },
    /// Marks a deleted entry live again.
    Restore {
        /// The entry.
        entry: EntryId,
    },
    /// Sets one of the document's own registers: `kind`, `space`, `schema`, `key`, `title`.
    About {
        /// Which one.
        name: String,
        /// Its new value.
        value: Value,
    },
    /// Appends a remark (a comment or a line of chat) under a unique id.
    Remark {
        /// Unique in the document; a random text does.
        id: String,
        /// The text.
        text: String,
    },
    /// Writes a field of an entry even when it holds the value already, so that the write stands against whatever is
    /// written to it elsewhere at the same time. For decisions.
    Force {
        /// The register. `life` too, with `deleted` or `live`.
        key: RegisterKey,
        /// Its value.
        value: Value,
    },
    /// Writes one of the document's own registers in the same way.
    ForceAbout {
        /// Which one.
        name: String,
        /// Its value.
        value: Value,
    },
    /// Appends the record of a decision under a unique id.
    Decision {
        /// Unique in the document; a random text does.
        id: String,
        /// The record, as `review` writes it.
        record: String,
    },
}

/// Says what sort of act a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActKind {
    /// Creates a document.
    Create,
    /// A person's edit.
    Edit,
    /// Rows of a file.
    Import,
    /// A person's answer to a conflict.
    Decision,
}

impl ActKind {
    /// The word in a change's message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Edit => "edit",
            Self::Import => "import",
            Self::Decision => "decision",
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Create, Self::Edit, Self::Import, Self::Decision].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What every change of ours says of itself, in Automerge's commit message: `comity/1 TIME POLICY KIND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Act {
    /// When, in hybrid logical time.
    pub time: HybridTime,
    /// The hash of the policy in force, cut to 8 bytes; zero when the space has none.
    pub policy: [u8; 8],
    /// What sort of act.
    pub kind: ActKind,
}

impl Act {
    /// Writes the commit message.
    pub fn to_message(self) -> String {
        let policy = data_encoding::HEXLOWER.encode(&self.policy);
        format!("comity/1 {} {} {}", self.time, policy, self.kind.as_str())
    }

    /// Reads a commit message; `None` when it is another application's.
    pub fn from_message(message: &str) -> Option<Self> {
        let mut words = message.split(' ');
        if words.next()? != "comity/1" {
            return None;
        }
        let time = words.next()?.parse().ok()?;
        let policy = data_encoding::HEXLOWER.decode(words.next()?.as_bytes()).ok()?.try_into().ok()?;
        let kind = ActKind::from_word(words.next()?)?;
        words.next().is_none().then_some(Self { time, policy, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_reads_back_from_its_message_and_foreign_messages_are_not_acts() {
        let act = Act {
            time: HybridTime { wall_ms: 1_795_257_600_000, counter: 3 },
            policy: [0, 1, 2, 3, 4, 5, 6, 255],
            kind: ActKind::Import,
        };
        assert_eq!(Act::from_message(&act.to_message()), Some(act));
        for foreign in ["", "comity/1", "fix typo", "comity/1 1.0 00 edit", &(act.to_message() + " x")] {
            assert_eq!(Act::from_message(foreign), None, "{foreign:?}");
        }
    }
}
