//! Planted bugs: a driver that breaks one clause of the engine's contract. They show that the oracles see.

/// One bug of the simulated driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sabotage {
    /// Now and then, an append that became durable is never answered.
    DropStored,
    /// Appends are answered before they are durable.
    StoredBeforeDurable,
    /// A node that comes back does not want the documents on its disk.
    ForgetWants,
    /// A node that comes back goes on under its old actor, though its last changes may be lost.
    ReuseActor,
    /// Now and then, a link loses a frame and goes on.
    LoseFrame,
    /// Now and then, the disk keeps only the first chunk of an append.
    HalfAppend,
    /// Now and then, a load leaves out the last change.
    LoadWithoutLast,
    /// Now and then, nobody says that a message was written.
    ForgetWritten,
    /// The engine is not told when a link is gone.
    ForgetLinkDown,
    /// A crash takes everything from the disk that was written since the last snapshot.
    LoseJournal,
}

impl Sabotage {
    /// Every planted bug.
    pub const ALL: [Self; 10] = [
        Self::DropStored,
        Self::StoredBeforeDurable,
        Self::ForgetWants,
        Self::ReuseActor,
        Self::LoseFrame,
        Self::HalfAppend,
        Self::LoadWithoutLast,
        Self::ForgetWritten,
        Self::ForgetLinkDown,
        Self::LoseJournal,
    ];
}
