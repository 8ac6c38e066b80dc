//! How people name a moment in a document's past: by heads, by a change, or by a time.

use std::collections::{BTreeMap, BTreeSet};

use comity_model::{Act, ChangeHash, Heads, Timestamp};
use comity_node::{DecodedChange, Document};
use serde_json::{Value as Json, json};

use crate::error::{CommandError, CommandResult, Kind};
use crate::output::count;
use crate::values;

/// Fewest digits by which a change is named.
const DIGITS_MIN: usize = 4;

/// Most digits: a whole hash.
const DIGITS_MAX: usize = 64;

/// Changes that are listed when a beginning fits several.
const CANDIDATES_MAX: usize = 10;

/// Most changes that one moment may name.
const NAMED_MAX: usize = 1_000;

/// A moment, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// What is here now.
    Now,
    /// Changes by the beginnings of their hashes, with all that they build on.
    Changes(Vec<String>),
    /// The changes whose authors' clocks were not later.
    Time(Timestamp),
}

/// The history of a document: who built on what.
pub struct Past {
    changes: Vec<DecodedChange>,
    heads: Heads,
}

/// A moment, found.
#[derive(Clone, Debug, Default)]
pub struct Then {
    /// The heads of what the document consisted of.
    pub heads: Heads,
    /// The time, when it was named by one.
    pub time: Option<Timestamp>,
    /// What the document consisted of.
    pub changes: BTreeSet<ChangeHash>,
    /// Changes whose clocks were not later, but which build on one whose clock was.
    pub left_out: usize,
}

impl When {
    /// Reads a moment.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self::Now);
        }
        let is_hash = |part: &str| {
            (DIGITS_MIN..=DIGITS_MAX).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let parts: Vec<&str> = text.split('+').take(NAMED_MAX).collect();
        if parts.iter().all(|part| is_hash(part)) && text.split('+').nth(NAMED_MAX).is_none() {
            return Ok(Self::Changes(parts.iter().map(|part| part.to_ascii_lowercase()).collect()));
        }
        time(text).map(Self::Time).ok_or_else(|| {
            format!(
                "write {DIGITS_MIN} or more digits of a change, several joined by `+`, a time such as \
                 2026-11-21T12:00Z, or `now`"
            )
        })
    }
}

/// Reads a time; the seconds may be left out.
fn time(text: &str) -> Option<Timestamp> {
    let with_seconds = || {
        let at = text.find(['T', 't', ' '])? + 1;
        let (clock, zone) = (text.get(at..at + 5)?, text.get(at + 5..)?);
        values::timestamp(&format!("{}{clock}:00{zone}", &text[..at]))
    };
    values::timestamp(text).or_else(with_seconds)
}

impl Past {
    /// Reads the history of a document. The cost follows all of it.
    pub async fn read(document: &Document) -> CommandResult<Self> {
        let (changes, heads) =
            document.read(|view| (view.document().decode_since(&Heads::default()), view.heads())).await?;
        Ok(Self { changes, heads })
    }

    /// Lists the changes, each after what it builds on.
    pub fn changes(&self) -> &[DecodedChange] {
        &self.changes
    }

    /// Finds a moment.
    pub fn find(&self, when: &When) -> CommandResult<Then> {
        match when {
            When::Now => Ok(self.at(self.heads.clone())),
            When::Changes(beginnings) => {
                let named = beginnings.iter().map(|beginning| self.change(beginning)).collect::<CommandResult<_>>()?;
                Ok(self.at(self.without_what_others_build_on(named)))
            }
            When::Time(time) => Ok(self.at_time(*time)),
        }
    }

    fn change(&self, beginning: &str) -> CommandResult<ChangeHash> {
        let fitting = self.changes.iter().map(|change| change.hash);
        let mut fitting: Vec<ChangeHash> = fitting.filter(|hash| hash.to_string().starts_with(beginning)).collect();
        fitting.sort_unstable();
        match fitting.as_slice() {
            [one] => Ok(*one),
            [] => Err(CommandError::new(
                Kind::NotFound,
                format_args!("no change of this document begins with {beginning}"),
            )
            .hint("`comity log DOC` lists its changes")
            .hint("a change that another device has comes with `comity sync RELAY --once`")),
            several => {
                let what = format!("{} changes begin with {beginning}", several.len());
                let mut error = CommandError::new(Kind::Ambiguous, what);
                for hash in several.iter().take(CANDIDATES_MAX) {
                    error = error.hint(hash.to_string());
                }
                if several.len() > CANDIDATES_MAX {
                    error = error.hint(format!("… and {} more", several.len() - CANDIDATES_MAX));
                }
                Err(error.hint("use more digits"))
            }
        }
    }

    fn at(&self, heads: Heads) -> Then {
        Then { changes: self.covered(&heads), heads, time: None, left_out: 0 }
    }

    /// Whoever builds on a later change cannot have been earlier, whatever the clock said.
    fn at_time(&self, time: Timestamp) -> Then {
        let (mut then, mut heads) = (Then { time: Some(time), ..Then::default() }, BTreeSet::new());
        for change in &self.changes {
            if moment(change.act, change.time_s) > time {
                continue;
            }
            if change.deps.iter().all(|dep| then.changes.contains(dep)) {
                heads.retain(|head| !change.deps.contains(head));
                heads.insert(change.hash);
                then.changes.insert(change.hash);
            } else {
                then.left_out += 1;
            }
        }
        then.heads = heads.into_iter().collect();
        then
    }

    /// Gives everything that heads consist of.
    fn covered(&self, heads: &Heads) -> BTreeSet<ChangeHash> {
        let deps: BTreeMap<ChangeHash, &[ChangeHash]> =
            self.changes.iter().map(|change| (change.hash, change.deps.as_slice())).collect();
        let (mut covered, mut waiting) = (BTreeSet::new(), heads.as_slice().to_vec());
        while let Some(hash) = waiting.pop() {
            if covered.insert(hash) {
                waiting.extend_from_slice(deps.get(&hash).copied().unwrap_or_default());
            }
        }
        covered
    }

    /// Leaves out those that others of them build on, so that equal moments have equal heads.
    fn without_what_others_build_on(&self, named: Vec<ChangeHash>) -> Heads {
        let named = Heads::new(named);
        if named.as_slice().len() < 2 {
            return named;
        }
        let by_hash: BTreeMap<ChangeHash, &DecodedChange> =
            self.changes.iter().map(|change| (change.hash, change)).collect();
        let below = named.as_slice().iter().filter_map(|hash| by_hash.get(hash)).flat_map(|change| &change.deps);
        let below = self.covered(&below.copied().collect());
        named.as_slice().iter().filter(|hash| !below.contains(hash)).copied().collect()
    }
}

impl Then {
    /// Says what was found, for a person.
    pub fn label(&self) -> String {
        match (&self.time, self.heads.is_empty()) {
            (Some(time), true) => format!("{}, before the first change", super::super::clock(*time)),
            (Some(time), false) => format!("{}, at {}", super::super::clock(*time), self.heads),
            (None, _) => self.heads.to_string(),
        }
    }

    /// Says what was found, for a program.
    pub fn json(&self) -> Json {
        json!({ "heads": super::hashes(&self.heads), "time": self.time.map(|time| time.to_string()) })
    }

    /// Says by whose clocks it was, when it was named by a time.
    pub fn explain(&self, output: crate::output::Output) {
        let Some(time) = self.time else { return };
        output.note(format_args!("up to {}, as the clocks of those who wrote had it", super::super::clock(time)));
        if self.left_out > 0 {
            output.note(format_args!(
                "{} with an earlier clock left out: they build on later ones",
                count(self.left_out, "change", "changes")
            ));
        }
    }
}

/// Gives when a change was made, as its author's clock said; the beginning of time if it said nothing.
fn moment(act: Option<Act>, time_s: i64) -> Timestamp {
    let wall_ms = act.map_or_else(|| time_s.saturating_mul(1_000), |act| act.time.wall_ms);
    if act.is_none() && time_s == 0 { Timestamp::from_unix_ms(i64::MIN) } else { Timestamp::from_unix_ms(wall_ms) }
}

#[cfg(test)]
mod tests {
    use comity_model::{ActKind, ActorId, HybridTime};

    use super::*;

    fn change(name: u8, deps: &[u8], minute: i64) -> DecodedChange {
        let time = HybridTime { wall_ms: minute * 60_000, counter: 0 };
        DecodedChange {
            hash: ChangeHash([name; 32]),
            actor: ActorId::from_bytes(&[name; 24]),
            seq: 1,
            start_op: 1,
            deps: deps.iter().map(|name| ChangeHash([*name; 32])).collect(),
            time_s: minute * 60,
            act: Some(Act { time, policy: [0; 8], kind: ActKind::Edit }),
            ops: Vec::new(),
        }
    }

    fn heads(names: &[u8]) -> Heads {
        names.iter().map(|name| ChangeHash([*name; 32])).collect()
    }

    /// One begins, two and three do not know of each other, four has seen both; its clock is behind.
    fn past() -> Past {
        let changes = vec![change(1, &[], 1), change(2, &[1], 2), change(3, &[1], 5), change(4, &[2, 3], 3)];
        Past { changes, heads: heads(&[4]) }
    }

    fn at(minute: i64) -> Then {
        past().find(&When::Time(Timestamp::from_unix_ms(minute * 60_000))).unwrap()
    }

    #[test]
    fn moments_are_read() {
        let time = |text: &str| match When::parse(text) {
            Ok(When::Time(time)) => time.to_string(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(time("2026-11-21T12:00Z"), "2026-11-21T12:00:00.000Z");
        assert_eq!(time("2026-11-21 13:00+01:00"), "2026-11-21T12:00:00.000Z");
        assert_eq!(time("2026-11-21T12:00:01Z"), "2026-11-21T12:00:01.000Z");
        assert_eq!(time("2026-11-21"), "2026-11-21T00:00:00.000Z");
        assert_eq!(When::parse("now"), Ok(When::Now));
        assert_eq!(When::parse("ABCD+1234"), Ok(When::Changes(vec!["abcd".to_owned(), "1234".to_owned()])));
        for wrong in ["", "abc", "yesterday", "2026-11-21T12:00", "abcd+", "é+abcd", "2026-11-21T1é:00Z"] {
            assert!(When::parse(wrong).is_err(), "{wrong}");
        }
        assert!(When::parse(&"a".repeat(65)).is_err());
        assert!(When::parse(&vec!["abcd"; NAMED_MAX].join("+")).is_ok());
        assert!(When::parse(&vec!["abcd"; NAMED_MAX + 1].join("+")).is_err());
    }

    #[test]
    fn a_time_takes_what_was_written_by_then_and_nothing_that_builds_on_later() {
        assert_eq!((at(0).heads, at(1).heads, at(2).heads), (heads(&[]), heads(&[1]), heads(&[2])));
        let three = at(3);
        assert_eq!((three.heads, three.left_out), (heads(&[2]), 1), "four builds on three, which is of minute five");
        let all = at(5);
        assert_eq!((all.heads, all.left_out, all.changes.len()), (heads(&[4]), 0, 4));
    }

    #[test]
    fn a_change_names_all_that_it_builds_on() {
        let find = |text: &str| past().find(&When::parse(text).unwrap());
        assert_eq!(find("0303").unwrap().changes, [1, 3].map(|name| ChangeHash([name; 32])).into());
        assert_eq!(find("0101+0202+0303").unwrap().heads, heads(&[2, 3]), "one is part of both others");
        assert_eq!(find("now").unwrap().heads, heads(&[4]));
        assert_eq!(find("ffff").unwrap_err().kind, Kind::NotFound);
        let mut twins = past();
        twins.changes[1].hash = ChangeHash([1; 32].map(|byte: u8| byte));
        twins.changes[1].hash.0[31] = 9;
        assert_eq!(twins.find(&When::parse("0101").unwrap()).unwrap_err().kind, Kind::Ambiguous);
    }
}
