//! The same definitions, written down once more without a thought for cost: over the set of all changes, by who had seen
//! what, and with Automerge's own answer to what stands in a register.

use std::collections::{BTreeMap, BTreeSet};

use comity_crdt::{DecodedChange, Document, ObjectId, OpId, Version};
use comity_model::{ChangeHash, EntryId, Heads, LIFE, RegisterKey, Value};
use comity_review::{Choice, ConflictId, ConflictKind, DecisionId, DecisionRecord, Place, Review, State, Subject};
use proptest::prelude::*;

use crate::random::{Happening, happenings, play};
use crate::support::{Device, declared, sync_all};

/// A conflict as the oracle finds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Expected {
    id: ConflictId,
    kind: ConflictKind,
    subject: String,
    is_agreement: bool,
    ops: Vec<OpId>,
}

struct Oracle<'a> {
    document: &'a Document,
    changes: BTreeMap<ChangeHash, DecodedChange>,
    /// Each change with all that its author had seen, itself included.
    seen: BTreeMap<ChangeHash, BTreeSet<ChangeHash>>,
}

impl<'a> Oracle<'a> {
    fn new(document: &'a Document) -> Self {
        let decoded = document.decode_since(&Heads::default());
        let mut seen: BTreeMap<ChangeHash, BTreeSet<ChangeHash>> = BTreeMap::new();
        for change in &decoded {
            let mut all: BTreeSet<ChangeHash> = change.deps.iter().flat_map(|dep| seen[dep].clone()).collect();
            all.insert(change.hash);
            seen.insert(change.hash, all);
        }
        Self { document, changes: decoded.into_iter().map(|change| (change.hash, change)).collect(), seen }
    }

    fn are_concurrent(&self, a: ChangeHash, b: ChangeHash) -> bool {
        !self.seen[&a].contains(&b) && !self.seen[&b].contains(&a)
    }

    fn is_decision(&self, change: ChangeHash) -> bool {
        self.changes[&change].ops.iter().any(|op| op.object == ObjectId::Decisions)
    }

    fn registers(&self) -> BTreeSet<RegisterKey> {
        self.changes.values().flat_map(|change| change.ops.iter().filter_map(|op| op.register())).collect()
    }

    fn entries(&self) -> BTreeSet<EntryId> {
        self.registers().into_iter().map(|register| register.entry).collect()
    }

    fn standing(&self, register: &RegisterKey) -> Vec<Version> {
        self.document.register(register, None).map_or_else(Vec::new, |register| register.versions)
    }

    fn field(&self, entry: &EntryId, field: &str) -> Vec<Version> {
        self.standing(&RegisterKey::new(entry.clone(), field.parse().unwrap()))
    }

    /// The last operation of a change on a register.
    fn op(&self, change: ChangeHash, register: &RegisterKey) -> OpId {
        let mut on = self.changes[&change].ops.iter().filter(|op| op.register().as_ref() == Some(register));
        on.next_back().unwrap().id.clone()
    }

    fn values_before(&self, change: ChangeHash, register: &RegisterKey) -> Vec<Value> {
        let heads = Heads::new(self.changes[&change].deps.clone());
        let versions = self.document.register(register, Some(&heads)).map_or_else(Vec::new, |before| before.versions);
        versions.into_iter().map(|version| version.value).collect()
    }

    fn find(&self) -> BTreeSet<Expected> {
        let mut found = BTreeSet::new();
        for register in self.registers() {
            self.register(&register, &mut found);
            self.implicit(&register, &mut found);
        }
        self.titles(&mut found);
        for entry in self.entries() {
            self.deleted(&entry, &mut found);
            self.group(&entry, &mut found);
            self.stale(&entry, &mut found);
        }
        self.duplicates(&mut found);
        found
    }

    fn expect(found: &mut BTreeSet<Expected>, kind: ConflictKind, subject: Subject, ops: &BTreeSet<OpId>, agree: bool) {
        let ops: Vec<OpId> = ops.iter().cloned().collect();
        let id = ConflictId::of(kind, &subject, &ops);
        found.insert(Expected { id, kind, subject: subject.to_string(), is_agreement: agree, ops });
    }

    fn register(&self, register: &RegisterKey, found: &mut BTreeSet<Expected>) {
        let standing = self.standing(register);
        if standing.len() < 2 {
            return;
        }
        let distinct = |versions: Vec<&Version>| {
            versions.iter().map(|version| version.value.to_string()).collect::<BTreeSet<_>>().len()
        };
        let decided = standing.iter().filter(|version| self.is_decision(version.change)).collect();
        let kind = if distinct(decided) > 1 {
            ConflictKind::ResolutionConflict
        } else if register.field.as_str() == LIFE {
            ConflictKind::DeleteAgainstUpdate
        } else {
            ConflictKind::ConcurrentUpdate
        };
        let ops = standing.iter().map(|version| self.op(version.change, register)).collect();
        let is_agreement = distinct(standing.iter().collect()) == 1;
        Self::expect(found, kind, Subject::Place(Place::Field(register.clone())), &ops, is_agreement);
    }

    fn titles(&self, found: &mut BTreeSet<Expected>) {
        let Some(title) = self.document.about_register("title", None) else { return };
        let op = |change: ChangeHash| {
            let mut on = self.changes[&change].ops.iter().filter(|op| op.object == ObjectId::About);
            on.next_back().unwrap().clone()
        };
        let values: BTreeSet<String> = title.versions.iter().map(|version| version.value.to_string()).collect();
        let decided = title.versions.iter().filter(|version| self.is_decision(version.change));
        let decided: BTreeSet<String> = decided.map(|version| version.value.to_string()).collect();
        if title.versions.len() > 1 {
            let kind =
                if decided.len() > 1 { ConflictKind::ResolutionConflict } else { ConflictKind::ConcurrentUpdate };
            let ops = title.versions.iter().map(|version| op(version.change).id).collect();
            Self::expect(found, kind, Subject::Place(Place::About("title".into())), &ops, values.len() == 1);
        }
        for change in self.changes.values() {
            let wrote = |change: &DecodedChange| change.ops.iter().any(|op| op.object == ObjectId::About);
            let overtaken = |other: &DecodedChange| {
                other.hash != change.hash && wrote(other) && self.seen[&other.hash].contains(&change.hash)
            };
            if !wrote(change) || self.is_decision(change.hash) || self.changes.values().any(overtaken) {
                continue;
            }
            let pred = op(change.hash).pred;
            let replaced: Vec<_> = self
                .changes
                .values()
                .flat_map(|other| other.ops.iter().map(move |op| (other, op)))
                .filter(|(_, op)| op.object == ObjectId::About && pred.contains(&op.id))
                .collect();
            let heads = Heads::new(change.deps.clone());
            let before = self.document.about_register("title", Some(&heads));
            let versions = before.map_or_else(Vec::new, |title| title.versions);
            let values: BTreeSet<String> = versions.iter().map(|version| version.value.to_string()).collect();
            if values.len() > 1 {
                let mut ops: BTreeSet<OpId> = replaced.iter().map(|(other, _)| op(other.hash).id).collect();
                ops.insert(op(change.hash).id);
                let subject = Subject::Place(Place::About("title".into()));
                Self::expect(found, ConflictKind::ImplicitResolution, subject, &ops, false);
            }
        }
    }

    /// Whoever wrote over several different values, while nobody who knew it has written since.
    fn implicit(&self, register: &RegisterKey, found: &mut BTreeSet<Expected>) {
        let wrote = |change: &&DecodedChange| change.ops.iter().any(|op| op.register().as_ref() == Some(register));
        for change in self.changes.values().filter(wrote) {
            let overtaken =
                |other: &DecodedChange| other.hash != change.hash && self.seen[&other.hash].contains(&change.hash);
            if self.is_decision(change.hash) || self.changes.values().filter(wrote).any(overtaken) {
                continue;
            }
            let before = self.values_before(change.hash, register);
            let distinct: BTreeSet<String> = before.iter().map(ToString::to_string).collect();
            let heads = Heads::new(self.changes[&change.hash].deps.clone());
            let versions = self.document.register(register, Some(&heads)).map_or_else(Vec::new, |one| one.versions);
            let own = self.op(change.hash, register);
            let is_put = self.changes[&change.hash].ops.iter().any(|op| op.id == own && op.value().is_some());
            if distinct.len() < 2 {
                continue;
            }
            // What it left standing, when it only deleted the others, is not among what it wrote over.
            let kept = versions.last().map(|winner| winner.change).filter(|_| !is_put);
            let mut ops: BTreeSet<OpId> = versions
                .iter()
                .filter(|version| Some(version.change) != kept)
                .map(|version| self.op(version.change, register))
                .collect();
            ops.insert(own);
            let subject = Subject::Place(Place::Field(register.clone()));
            Self::expect(found, ConflictKind::ImplicitResolution, subject, &ops, false);
        }
    }

    fn deleted(&self, entry: &EntryId, found: &mut BTreeSet<Expected>) {
        let life = RegisterKey::life(entry.clone());
        let mut ops = BTreeSet::new();
        for deletion in self.standing(&life).iter().filter(|version| version.value.as_text() == Some("deleted")) {
            for register in self.registers().iter().filter(|one| one.entry == *entry && one.field.as_str() != LIFE) {
                for update in self.standing(register) {
                    if self.are_concurrent(deletion.change, update.change) {
                        ops.insert(self.op(deletion.change, &life));
                        ops.insert(self.op(update.change, register));
                    }
                }
            }
        }
        if !ops.is_empty() {
            let subject = Subject::Entry(entry.clone());
            Self::expect(found, ConflictKind::DeleteAgainstUpdate, subject, &ops, false);
        }
    }

    fn group(&self, entry: &EntryId, found: &mut BTreeSet<Expected>) {
        let fields = ["comment", "status"].map(|field| field.parse().unwrap());
        let [comment, status] = fields.clone().map(|field| RegisterKey::new(entry.clone(), field));
        let ops = self.against(&comment, &status, |_, _| true);
        if !ops.is_empty() {
            let subject = Subject::Fields { entry: entry.clone(), fields: fields.to_vec() };
            Self::expect(found, ConflictKind::FieldGroup, subject, &ops, false);
        }
    }

    fn stale(&self, entry: &EntryId, found: &mut BTreeSet<Expected>) {
        let fields = ["verdict", "status"].map(|field| field.parse().unwrap());
        let [verdict, status] = fields.clone().map(|field| RegisterKey::new(entry.clone(), field));
        let changed = |_: &Version, other: &Version| {
            self.values_before(other.change, &status).iter().any(|before| *before != other.value)
        };
        let ops = self.against(&verdict, &status, changed);
        if !ops.is_empty() {
            let subject = Subject::Fields { entry: entry.clone(), fields: fields.to_vec() };
            Self::expect(found, ConflictKind::StaleDecision, subject, &ops, false);
        }
    }

    /// What stands in two registers of different devices that did not know of each other.
    fn against(&self, a: &RegisterKey, b: &RegisterKey, counts: impl Fn(&Version, &Version) -> bool) -> BTreeSet<OpId> {
        let mut ops = BTreeSet::new();
        for one in self.standing(a) {
            for other in self.standing(b) {
                let strangers = one.actor.device() != other.actor.device();
                if strangers && self.are_concurrent(one.change, other.change) && counts(&one, &other) {
                    ops.insert(self.op(one.change, a));
                    ops.insert(self.op(other.change, b));
                }
            }
        }
        ops
    }

    fn duplicates(&self, found: &mut BTreeSet<Expected>) {
        let mut by_serial: BTreeMap<String, Vec<EntryId>> = BTreeMap::new();
        for entry in self.entries() {
            let life = self.field(&entry, LIFE).pop();
            let is_deleted = life.is_some_and(|version| version.value.as_text() == Some("deleted"));
            if let (false, Some(serial)) = (is_deleted, self.field(&entry, "serial").pop()) {
                by_serial.entry(serial.value.to_string()).or_default().push(entry);
            }
        }
        for entries in by_serial.into_values() {
            let is_twin = |entry: &&EntryId| {
                entries.iter().any(|other| {
                    other != *entry
                        && self
                            .makers(entry)
                            .iter()
                            .any(|one| self.makers(other).iter().any(|two| self.are_concurrent(*one, *two)))
                })
            };
            let twins: Vec<EntryId> = entries.iter().filter(is_twin).cloned().collect();
            if twins.len() > 1 {
                let serial = |entry: &EntryId| RegisterKey::new(entry.clone(), "serial".parse().unwrap());
                let op = |entry: &EntryId| {
                    let shown = self.standing(&serial(entry)).pop().unwrap();
                    self.op(shown.change, &serial(entry))
                };
                let ops = twins.iter().map(op).collect();
                Self::expect(found, ConflictKind::Duplicate, Subject::Entries(twins), &ops, false);
            }
        }
    }

    /// The changes that wrote to an entry knowing nothing of it.
    fn makers(&self, entry: &EntryId) -> Vec<ChangeHash> {
        let writes = |change: &DecodedChange| {
            change.ops.iter().any(|op| op.register().is_some_and(|register| register.entry == *entry))
        };
        let knew = |change: &DecodedChange| {
            self.seen[&change.hash].iter().any(|seen| *seen != change.hash && writes(&self.changes[seen]))
        };
        self.changes.values().filter(|change| writes(change) && !knew(change)).map(|change| change.hash).collect()
    }

    /// The rules that are broken: at most three live entries, and no two with the same note.
    fn broken(&self) -> BTreeSet<String> {
        let entries = self.document.entries(None);
        let live: Vec<_> = entries.values().filter(|entry| !entry.deleted).collect();
        let notes: Vec<String> =
            live.iter().filter_map(|entry| entry.fields.get("note")).map(ToString::to_string).collect();
        let mut broken = BTreeSet::new();
        if live.len() > 3 {
            broken.insert("rule:at-most-three".to_owned());
        }
        if notes.iter().collect::<BTreeSet<_>>().len() < notes.len() {
            broken.insert("rule:own-note".to_owned());
        }
        broken
    }

    /// The choices about a conflict that no other decision took the place of.
    fn choices(&self, id: ConflictId) -> Vec<Choice> {
        let mut records: Vec<(DecisionId, DecisionRecord)> = Vec::new();
        for op in self.changes.values().flat_map(|change| &change.ops) {
            if let (ObjectId::Decisions, comity_crdt::OpKey::Map(key), Some(Value::Text(text))) =
                (&op.object, &op.key, op.value())
            {
                records.push((DecisionId::new(key).unwrap(), DecisionRecord::from_text(text).unwrap()));
            }
        }
        let superseded: BTreeSet<DecisionId> =
            records.iter().flat_map(|(_, record)| record.supersedes.iter().cloned()).collect();
        let about = records.iter().filter(|(key, record)| record.conflict == id && !superseded.contains(key));
        about.map(|(_, record)| record.choice).collect()
    }
}

/// Compares what the review says with the definitions.
fn check(device: &Device) {
    let oracle = Oracle::new(&device.document);
    let expected = oracle.find();
    let mut states: BTreeMap<ConflictId, State> = device.review.briefs().map(|brief| (brief.id, brief.state)).collect();
    let rules: Vec<_> = device.review.briefs().filter(|one| one.kind == ConflictKind::Invariant).collect();
    let broken = oracle.broken();
    for rule in &broken {
        assert!(rules.iter().any(|one| one.subject.to_string() == *rule), "{rule} is broken and not listed");
    }
    for rule in rules.iter().filter(|one| one.state.is_open()) {
        assert!(broken.contains(&rule.subject.to_string()), "{rule:?} holds");
    }
    states.retain(|id, _| device.review.conflict(*id).is_none_or(|one| one.kind != ConflictKind::Invariant));
    for conflict in &expected {
        let said = states.remove(&conflict.id);
        let choices = oracle.choices(conflict.id);
        let has = |wanted: &[Choice]| choices.iter().any(|choice| wanted.contains(choice));
        let right = if has(&[Choice::Confirmed, Choice::Linked]) {
            vec![State::Resolved]
        } else if has(&[Choice::Dismissed]) {
            vec![State::Dismissed]
        } else if conflict.is_agreement {
            vec![State::Agreed]
        } else {
            vec![State::Open, State::Reopened]
        };
        let all = || {
            let lines = oracle
                .changes
                .values()
                .map(|change| format!("{:?} of {:?}: {:?}\n", change.hash, change.deps, change.ops));
            lines.collect::<String>()
        };
        assert!(
            said.is_some_and(|state| right.contains(&state)),
            "{conflict:?} is {said:?}, not one of {right:?}\n{}",
            all()
        );
    }
    // All others are over: somebody decided them, and wrote over what stood.
    for (id, state) in states {
        let choices = oracle.choices(id);
        let said = device.review.conflict(id);
        assert!(!choices.is_empty(), "{said:?} is {state}, and nobody finds or decided it: {expected:#?}");
        assert!(!matches!(state, State::Open | State::Agreed), "{id} is {state}, and nothing stands against anything");
        assert!(state != State::Reopened || choices.contains(&Choice::Undone), "{id}");
    }
    let all = device.review.conflicts(|_| true);
    assert_eq!(all.len(), device.review.briefs().count(), "each conflict of the list can be shown");
    for conflict in &all {
        let least = if conflict.kind == ConflictKind::Invariant { 1 } else { 2 };
        assert!(conflict.writes().count() >= least, "{conflict:?}");
    }
}

/// Feeds a document's changes in another order in which each comes after what it depends on, in groups, some twice.
pub fn in_another_order(document: &Document, seed: u64) -> Review {
    let mut left = document.decode_since(&Heads::default());
    let mut dice = seed;
    let mut roll = move |below: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap() % below
    };
    let mut review = Review::new(declared());
    let mut known: BTreeSet<ChangeHash> = BTreeSet::new();
    let mut group: Vec<DecodedChange> = Vec::new();
    while !left.is_empty() {
        let ready = |change: &DecodedChange| change.deps.iter().all(|dep| known.contains(dep));
        let ready: Vec<usize> = (0..left.len()).filter(|at| ready(&left[*at])).collect();
        let change = left.remove(ready[roll(ready.len())]);
        known.insert(change.hash);
        if roll(4) == 0 {
            group.push(change.clone());
        }
        group.push(change);
        if roll(3) == 0 {
            review.feed(&group);
            // What was delivered once may come again.
            group.truncate(roll(2));
        }
    }
    review.feed(&group);
    review
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn conflicts_are_what_the_definitions_say_whatever_came_first(happenings in happenings(), seed in any::<u64>()) {
        // S1.5: found on every device the same, whoever it met in which order.
        compare(&happenings, seed);
    }
}

fn compare(happenings: &[Happening], seed: u64) {
    let mut devices = play(happenings);
    devices.iter().for_each(check);
    sync_all(&mut devices);
    check(&devices[0]);
    for turn in 0..3 {
        let other = in_another_order(&devices[0].document, seed.wrapping_add(turn));
        for (theirs, ours) in other.conflicts(|_| true).iter().zip(devices[0].review.conflicts(|_| true)) {
            assert_eq!(*theirs, ours);
        }
        assert_eq!(other.digest(), devices[0].review.digest());
    }
    let anew = Review::of(&devices[0].document, declared());
    assert_eq!(anew.digest(), devices[0].review.digest());
}
