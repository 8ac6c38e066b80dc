//! What every client is, whatever it is made of: a name, a stream of chance, and manners.

use std::sync::Arc;
use std::time::Duration;

use comity_model::DocumentId;

use super::dice::Dice;
use super::pace;
use super::stage::Stage;

/// How long, at the end of a run, a document may differ from what the relay has before that counts.
pub const COMPARE_PATIENCE: Duration = Duration::from_secs(60);

/// How long a client stays, and how long it stays away.
const PRESENT: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(150));
const ABSENT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(25));

/// How long a client works on one document.
const VISIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(40));

/// How many clients out of a hundred that leave do so without a word.
const CUT_PERCENT: u64 = 50;

/// Longest text of a remark.
const TEXT_BYTES: u64 = 240;

/// A client's part in the run.
pub struct Actor {
    pub stage: Arc<Stage>,
    pub name: String,
    pub dice: Dice,
    /// The document that is worked on.
    pub current: Option<DocumentId>,
    edits: u64,
    has_settled: bool,
}

/// What a client writes: one of some dozen modules, a field, and a text that is never the same.
pub struct Remark {
    pub entry: String,
    pub field: &'static str,
    pub text: String,
}

impl Actor {
    /// Makes the client of this number, which names its stream of chance.
    pub fn new(stage: Arc<Stage>, sort: &str, number: u64) -> Self {
        let (dice, name) = (Dice::new(stage.seed, number), format!("{sort}-{number}"));
        Self { stage, name, dice, current: None, edits: 0, has_settled: false }
    }

    /// Chooses how long it stays.
    pub fn present(&mut self) -> Duration {
        self.dice.between(PRESENT.0, PRESENT.1)
    }

    /// Chooses how long it stays away.
    pub fn absent(&mut self) -> Duration {
        self.dice.between(ABSENT.0, ABSENT.1)
    }

    /// Chooses the next document to work on, and for how long.
    pub fn visit(&mut self) -> (DocumentId, Duration) {
        self.stage.count(|counters| &counters.visits);
        let document = self.stage.document(&mut self.dice);
        (document, self.dice.between(VISIT.0, VISIT.1))
    }

    /// Lets time pass until its next edit. Forgotten when dropped: the times between edits have no memory.
    pub fn until_edit(&mut self) -> impl Future<Output = ()> + use<> {
        pace::rest(self.dice.pause(self.stage.edit_pause()))
    }

    /// Chooses what to write next.
    pub fn remark(&mut self) -> Remark {
        self.edits += 1;
        let dice = &mut self.dice;
        let entry = format!("M{:03}", dice.below(48));
        let field = ["status", "comment", "measured"][dice.index(3)];
        let length = usize::try_from(dice.below(TEXT_BYTES)).unwrap_or_default();
        let mut text = format!("{} {} ", self.name, self.edits);
        while text.len() < length {
            text.push_str(["roof ", "string ", "cable ", "dust ", "glass ", "frame "][dice.index(6)]);
        }
        Remark { entry, field, text }
    }

    /// Chooses whether it leaves without a word.
    pub fn cuts(&mut self) -> bool {
        let cuts = self.dice.percent(CUT_PERCENT);
        self.stage.count(|counters| if cuts { &counters.cuts } else { &counters.goodbyes });
        cuts
    }

    /// Says, once, that it writes no more and was told of all that it wrote.
    pub fn settle(&mut self, is_told_of_all: bool) {
        if is_told_of_all && !self.has_settled {
            self.has_settled = true;
            self.stage.has_settled();
        }
    }
}
