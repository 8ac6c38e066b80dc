//! The one error of the command line: what kind it is, what happened, what to do next.

use std::fmt;
use std::io;

use anyhow::anyhow;
use comity_model::InvalidValue;
use comity_node::{FailureKind, NodeError, OpenError, RefusedEdit};
use comity_store::{BackupError, OpenError as StoreOpenError, StoreError};

/// Says what kind of failure it is: scripts branch on the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not done: bad rows, a time-out, a busy folder, a disk or network that failed.
    NotDone,
    /// The command line makes no sense, or a value does not fit.
    Usage,
    /// There is no such document, entry, field or file.
    NotFound,
    /// The document has changed since the heads that the caller had seen.
    HeadsMoved,
    /// The rules say no.
    NotAllowed,
    /// The name fits several documents.
    Ambiguous,
    /// Something that must be there first is missing: the data folder, the kind, the document's content.
    Missing,
    /// A part was done.
    Partly,
    /// What is on disk is not what was stored.
    Integrity,
    /// Ctrl-C.
    Interrupted,
    /// Whoever read our output has gone away; nobody is told.
    BrokenPipe,
}

/// The table of exit codes, for `comity help exit-codes` and the README.
pub const EXIT_CODES: &[(u8, &str, &str)] = &[
    (0, "done", "everything that was asked for"),
    (
        1,
        "not done",
        "bad rows, a time-out, a folder in use, a disk or network that failed; conflicts open, with --exit-code",
    ),
    (2, "usage", "the command line makes no sense, or a value does not fit its field"),
    (3, "not found", "no such document, entry, change, conflict or file"),
    (4, "heads moved", "the document has changed since the heads given with --if-heads, or since a conflict was shown"),
    (5, "not allowed", "the rules say no"),
    (6, "ambiguous", "a name fits several documents, or an id several conflicts or changes; they are listed"),
    (
        7,
        "missing",
        "something must be there first: a data folder, a kind, a policy, a document's content, a config file",
    ),
    (8, "partly", "a part was done, and what was left out is listed"),
    (9, "integrity", "what is on disk is not what was stored"),
    (130, "interrupted", "Ctrl-C before the end"),
];

impl Kind {
    /// Gives the exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::NotDone => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::HeadsMoved => 4,
            Self::NotAllowed => 5,
            Self::Ambiguous => 6,
            Self::Missing => 7,
            Self::Partly => 8,
            Self::Integrity => 9,
            Self::Interrupted => 130,
        }
    }

    /// Names the kind, as in the table of exit codes.
    pub fn name(self) -> &'static str {
        EXIT_CODES.iter().find(|(code, ..)| *code == self.code()).map_or("not done", |(_, name, _)| name)
    }
}

/// What a command that fails says.
#[derive(Debug)]
pub struct CommandError {
    /// What kind of failure.
    pub kind: Kind,
    /// What happened, with its causes.
    pub error: anyhow::Error,
    /// What to do next, one line each.
    pub hints: Vec<String>,
    /// More for programs; `--json` prints it.
    pub details: Option<serde_json::Value>,
}

/// What a command gives.
pub type CommandResult<T = ()> = Result<T, CommandError>;

impl CommandError {
    /// Makes an error from its message.
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, error: anyhow!("{message}"), hints: Vec::new(), details: None }
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what programs may want to know.
    pub fn details(mut self, details: serde_json::Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Wraps an error of the operating system about a file.
    pub fn file(what: &str, path: &std::path::Path, error: io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::NotFound { Kind::NotFound } else { Kind::NotDone };
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "check the name; a relative name is looked up in the current folder",
            io::ErrorKind::PermissionDenied => "check who owns the file and its folder",
            io::ErrorKind::AlreadyExists => "choose another name, or remove the file first",
            _ => "check the disk, then try again",
        };
        let error = anyhow::Error::new(error).context(format!("cannot {what} {}", path.display()));
        Self { kind, error, hints: vec![hint.to_owned()], details: None }
    }

    fn from_error(kind: Kind, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { kind, error: anyhow::Error::new(error), hints: Vec::new(), details: None }
    }

    /// Gives the message with its causes, without those that the message repeats.
    pub fn message(&self) -> String {
        let mut message = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            if !message.contains(&cause) {
                message.push_str(": ");
                message.push_str(&cause);
            }
        }
        message
    }
}

impl From<io::Error> for CommandError {
    /// For output; errors of files go through [`CommandError::file`].
    fn from(error: io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::BrokenPipe } else { Kind::NotDone };
        Self {
            kind,
            error: anyhow::Error::new(error).context("cannot write the output"),
            hints: Vec::new(),
            details: None,
        }
        .hint("check the disk or the program that reads the output")
    }
}

/// An edit was refused within its closure because the document had changed.
#[derive(Debug)]
pub struct HeadsMoved {
    /// What the caller had seen.
    pub seen: String,
    /// The heads now.
    pub now: String,
}

impl fmt::Display for HeadsMoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the document has changed since {}: it is at {} now; nothing was written", self.seen, self.now)
    }
}

impl std::error::Error for HeadsMoved {}

impl From<NodeError> for CommandError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::System(error) => error.into(),
            NodeError::Store(error) => error.into(),
            NodeError::Key(_) => Self::from_error(Kind::Usage, error)
                .hint("entry ids and field names are short texts without `/`, as in M050 and status"),
            NodeError::Value(InvalidValue::Type { expected, .. }) if expected.starts_with("time") => {
                Self::from_error(Kind::Usage, error)
                    .hint("nothing was written; a time may also be written as 2026-11-21 or 2026-11-21T12:00:00Z")
            }
            NodeError::Value(_) => {
                Self::from_error(Kind::Usage, error).hint("nothing was written; correct the value and try again")
            }
            NodeError::NoSuchEntry { .. } => {
                Self::from_error(Kind::NotFound, error).hint("nothing was written; `comity show DOC` lists the entries")
            }
            NodeError::KeyWithoutSpace => Self::from_error(Kind::Usage, error)
                .hint("add --space SPACE; `comity space list` shows yours, `comity space create TITLE` makes one"),
            NodeError::Refused(RefusedEdit::Denied { .. }) => {
                Self::from_error(Kind::NotAllowed, error).hint("nothing was written; ask whoever manages the space")
            }
            NodeError::Refused(RefusedEdit::Store(_)) => {
                Self::from_error(Kind::NotDone, error).hint("`comity store verify` checks the disk")
            }
            NodeError::Refused(_) => Self::from_error(Kind::NotAllowed, error).hint("nothing was written"),
            NodeError::Load(ref failure) => {
                let kind = if failure.kind == FailureKind::Damaged { Kind::Integrity } else { Kind::NotDone };
                Self::from_error(kind, error)
                    .hint("other documents are not touched; a sync brings back what peers have")
            }
            NodeError::Application(error) => match error.downcast::<HeadsMoved>() {
                Ok(moved) => {
                    Self::from_error(Kind::HeadsMoved, *moved).hint("look again with `comity show DOC`, then decide")
                }
                Err(error) => Self::new(Kind::NotDone, error).hint("nothing was written"),
            },
            _ => Self::from_error(Kind::NotDone, error).hint("try again; with -v the log says more"),
        }
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::OpenStore(error) => error.into(),
            OpenError::Store(error) => error.into(),
            OpenError::OfADevice { .. } => Self::from_error(Kind::NotAllowed, error)
                .hint("give it a new folder with --data; the devices fill it when they sync"),
            OpenError::Key { .. } => {
                Self::from_error(Kind::Integrity, error).hint("the key is `device.key` in the data folder")
            }
            OpenError::Schema { .. } => Self::from_error(Kind::Usage, error)
                .hint("correct [[kind]] in the config file; --print-config shows what is in force"),
            _ => Self::from_error(Kind::NotDone, error)
                .hint("check the data folder's owner and the disk; --data FOLDER chooses another folder"),
        }
    }
}

impl From<StoreOpenError> for CommandError {
    fn from(error: StoreOpenError) -> Self {
        let (kind, hint) = match &error {
            StoreOpenError::InUse { .. } => (
                Kind::NotDone,
                "one process at a time may have a data folder open, as `comity sync`, `watch` and `relay` do",
            ),
            StoreOpenError::Missing { .. } => {
                (Kind::Missing, "make it with `comity init`, or choose another folder with --data")
            }
            StoreOpenError::NotAStore { .. } | StoreOpenError::NotEmpty { .. } => (
                Kind::NotAllowed,
                "Comity does not write into folders that hold something else; --data FOLDER names another",
            ),
            StoreOpenError::Format { .. } => (Kind::Integrity, "`comity store salvage FOLDER` saves what can be read"),
            StoreOpenError::OtherEngine { .. } => {
                (Kind::NotAllowed, "`comity store backup` of the other program makes a file that this one restores")
            }
            StoreOpenError::Store(error) => return error.clone().into(),
            _ => (Kind::NotDone, "with -v the log says more"),
        };
        Self::from_error(kind, error).hint(hint)
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let (kind, hint) = match &error {
            StoreError::DamagedDocument { .. } | StoreError::DamagedMeta { .. } => (
                Kind::Integrity,
                "then a sync brings back what peers have; `comity evidence list` keeps what was found",
            ),
            StoreError::Full { .. } => (Kind::NotDone, "nothing was written"),
            _ => (Kind::NotDone, "nothing acknowledged is lost; if it stays, `comity store verify` looks at the disk"),
        };
        Self::from_error(kind, error).hint(hint)
    }
}

impl From<BackupError> for CommandError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Open(error) => error.into(),
            BackupError::Store(error) => error.into(),
            BackupError::Damaged { .. } => Self::from_error(Kind::Integrity, error).hint("nothing was restored"),
            BackupError::Exists { .. } => {
                Self::from_error(Kind::NotAllowed, error).hint("a backup never overwrites a file")
            }
            _ => Self::from_error(Kind::NotDone, error).hint("make backups with `comity store backup FILE`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_row_in_the_table() {
        for kind in [
            Kind::NotDone,
            Kind::Usage,
            Kind::NotFound,
            Kind::HeadsMoved,
            Kind::NotAllowed,
            Kind::Ambiguous,
            Kind::Missing,
            Kind::Partly,
            Kind::Integrity,
            Kind::Interrupted,
        ] {
            assert!(EXIT_CODES.iter().any(|(code, ..)| *code == kind.code()), "{kind:?}");
        }
    }

    #[test]
    fn causes_are_said_once() {
        let error = CommandError::file("read", std::path::Path::new("x.csv"), io::Error::other("disk on fire"));
        assert_eq!(error.message(), "cannot read x.csv: disk on fire");
    }
}
