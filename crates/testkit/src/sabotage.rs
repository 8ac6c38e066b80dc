//! Planted bugs: a driver, a disk or a network that breaks one clause of its contract. They show that the oracles see.

/// One bug of the simulated driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sabotage {
    /// Now and then, an append that became durable is never answered: an acknowledgement is dropped.
    DropStored,
    /// Now and then, a relay's answer that brings no changes is lost: a receipt is dropped.
    DropReceipt,
    /// Appends are answered before they are durable: a flush is skipped.
    StoredBeforeDurable,
    /// A node that comes back does not want the documents on its disk.
    ForgetWants,
    /// After a reconnect, nothing is said any more of one document.
    ForgetAfterReconnect,
    /// A node that crashed goes on under its old actor, though its last changes may be lost.
    ReuseActor,
    /// A node that was restored from a backup goes on under its old actor.
    ReuseActorAfterRestore,
    /// Now and then, a link loses a frame and goes on.
    LoseFrame,
    /// Now and then, the disk keeps only the first chunk of an append: half a batch is applied.
    HalfAppend,
    /// Now and then, a load leaves out the last change.
    LoadWithoutLast,
    /// Now and then, a load is answered with nothing before it has finished.
    AnswerBeforeLoaded,
    /// Now and then, nobody says that a message was written.
    ForgetWritten,
    /// The engine is not told when a link is gone.
    ForgetLinkDown,
    /// A crash takes everything from the disk that was written since the last snapshot, and nobody says so.
    LoseJournal,
    /// A write that a crash cut short is taken for a whole one.
    KeepTornTail,
    /// What the disk refused is called saved.
    HideRefusal,
    /// The engine is never told that time passes.
    ForgetTicks,
    /// Now and then, a short-lived message is handed over twice, under another number.
    RepeatEphemeral,
    /// Now and then, a review is not given a change.
    SkipChange,
    /// Now and then, a review is given a change twice, and does not notice.
    ChangeTwice,
    /// A review is given what arrives together the last first.
    ChangesBackwards,
    /// The digest of a review depends on the order in which changes came.
    DigestOfArrivals,
    /// A node that comes back goes on with the review that it had.
    KeepReview,
    /// One device applies another policy.
    OtherPolicy,
    /// Some conflicts are listed nowhere.
    HideConflict,
    /// An answer is written without its record.
    AnswerWithoutRecord,
    /// An answer is written as if it were any edit.
    AnswerUnforced,
}

impl Sabotage {
    /// Every planted bug.
    pub const ALL: [Self; 27] = [
        Self::DropStored,
        Self::DropReceipt,
        Self::StoredBeforeDurable,
        Self::ForgetWants,
        Self::ForgetAfterReconnect,
        Self::ReuseActor,
        Self::ReuseActorAfterRestore,
        Self::LoseFrame,
        Self::HalfAppend,
        Self::LoadWithoutLast,
        Self::AnswerBeforeLoaded,
        Self::ForgetWritten,
        Self::ForgetLinkDown,
        Self::LoseJournal,
        Self::KeepTornTail,
        Self::HideRefusal,
        Self::ForgetTicks,
        Self::RepeatEphemeral,
        Self::SkipChange,
        Self::ChangeTwice,
        Self::ChangesBackwards,
        Self::DigestOfArrivals,
        Self::KeepReview,
        Self::OtherPolicy,
        Self::HideConflict,
        Self::AnswerWithoutRecord,
        Self::AnswerUnforced,
    ];
}
