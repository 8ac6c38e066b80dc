//! What two policies make of the conflicts of one document, and what people made of them.

use std::collections::{BTreeMap, BTreeSet};

use comity_model::{DeviceTag, Heads, LIFE, RegisterKey, Value};
use comity_node::View;
use comity_review::policy::Row;
use comity_review::{
    Choice, Conflict, ConflictId, ConflictKind, DecisionRecord, Declarations, Judgement, KindPolicy, Outcome, Review,
    Roles, Tally, Verdict, judge,
};

/// A conflict that is open or was decided, under both policies.
pub struct Case {
    /// The conflict, as one of them at least finds it.
    pub conflict: Conflict,
    /// What the policy in force gives; `None` when it finds no such conflict.
    pub now: Option<Judgement>,
    /// What the other would give.
    pub then: Option<Judgement>,
    /// What people decided last, when they agree on it and it has a value.
    pub decided: Option<DecisionRecord>,
}

/// What a document comes to under two policies.
pub struct Replay {
    /// The document at the time.
    pub heads: Heads,
    /// Every conflict that is open or was decided, by subject and kind.
    pub cases: Vec<Case>,
    /// The invariants of the policy in force, by name.
    pub now: Vec<(String, Verdict)>,
    /// Those of the other.
    pub then: Vec<(String, Verdict)>,
}

/// Nobody's role is verified yet.
struct NoRoles;

impl Roles for NoRoles {
    fn role(&self, _: &DeviceTag) -> Option<&str> {
        None
    }
}

impl Replay {
    /// Reads the whole history under one policy, then under the other.
    pub fn of(view: &View<'_>, now: Option<&KindPolicy>, then: Option<&KindPolicy>) -> Self {
        let declared = |policy: Option<&KindPolicy>| policy.map(Declarations::from).unwrap_or_default();
        let mut review = view.review(declared(now));
        let mut cases = BTreeMap::new();
        for (id, conflict) in of_interest(&review) {
            let (judgement, decided) = (judge(now, &conflict, &NoRoles), decided(&review, &conflict));
            cases.insert(id, Case { conflict, now: Some(judgement), then: None, decided });
        }
        review.declare(declared(then));
        for (id, conflict) in of_interest(&review) {
            let judgement = judge(then, &conflict, &NoRoles);
            let decided = decided(&review, &conflict);
            let case = cases.entry(id).or_insert(Case { conflict, now: None, then: None, decided });
            case.then = Some(judgement);
        }
        let mut cases: Vec<Case> = cases.into_values().collect();
        let order = |case: &Case| (case.conflict.subject.clone(), case.conflict.kind, case.conflict.id);
        cases.sort_by_cached_key(order);
        Self { heads: view.heads(), cases, now: verdicts(view, now), then: verdicts(view, then) }
    }
}

fn of_interest(review: &Review) -> BTreeMap<ConflictId, Conflict> {
    let all = review.conflicts(|_| true).into_iter();
    let wanted = all.filter(|conflict| conflict.state.is_open() || !conflict.decisions.is_empty());
    wanted.map(|conflict| (conflict.id, conflict)).collect()
}

/// Gives the decision that stands. Of several that differ none does.
fn decided(review: &Review, conflict: &Conflict) -> Option<DecisionRecord> {
    let records: Vec<_> =
        conflict.decisions.iter().flat_map(|id| review.decision(id).map(move |found| (id, found.0))).collect();
    let superseded: BTreeSet<_> = records.iter().flat_map(|(_, record)| &record.supersedes).collect();
    let mut standing = records.iter().filter(|(id, record)| {
        let has_value = matches!(record.choice, Choice::Current | Choice::Accept | Choice::Merged);
        has_value && !superseded.contains(id)
    });
    let (_, first) = standing.next()?;
    standing.all(|(_, other)| other.writes == first.writes).then(|| (*first).clone())
}

fn verdicts(view: &View<'_>, policy: Option<&KindPolicy>) -> Vec<(String, Verdict)> {
    let Some(policy) = policy.filter(|policy| !policy.invariants.is_empty()) else { return Vec::new() };
    let mut tally = Tally::new(&policy.invariants);
    for name in policy.invariants.iter().flat_map(|invariant| invariant.about_read()) {
        tally.about(name, view.about(name).as_ref());
    }
    for (id, entry) in view.entries().into_iter().filter(|(_, entry)| !entry.deleted) {
        let row: Row = entry.fields;
        tally.update(&id, None, Some(&row));
    }
    tally.verdicts().into_iter().map(|(name, verdict)| (name.to_owned(), verdict)).collect()
}

/// What is shown of a conflict's registers.
type Values = BTreeMap<RegisterKey, Value>;

impl Case {
    /// Whether the other policy would show something else, or ask for a person where this one does not.
    pub fn differs(&self) -> bool {
        let seen = |judgement: &Option<Judgement>| judgement.as_ref().map(|one| (sort(one), self.values(one)));
        seen(&self.now) != seen(&self.then)
    }

    /// Whether what a policy gives is what people decided; `None` when it leaves the conflict to people, or they have
    /// not decided it by a value.
    pub fn agrees(&self, judgement: Option<&Judgement>) -> Option<bool> {
        let shown = self.values(judgement?)?;
        let said = |(register, value): &(RegisterKey, Value)| match shown.get(register) {
            Some(shown) => Some(shown == value),
            // A side that wrote to the entry and did not delete it wants it to live.
            None if self.conflict.kind == ConflictKind::DeleteAgainstUpdate && register.field.as_str() == LIFE => {
                Some(value.as_text() == Some("live"))
            }
            None => None,
        };
        let said: Vec<bool> = self.decided.as_ref()?.writes.iter().filter_map(said).collect();
        (!said.is_empty()).then(|| said.into_iter().all(|same| same))
    }

    /// Gives the values that a judgement shows; `None` when a person decides, or each device has its own.
    pub fn values(&self, judgement: &Judgement) -> Option<Values> {
        let sides = match judgement.outcome {
            Outcome::Decided { side, .. } => self.conflict.sides.get(side..=side)?,
            Outcome::Merged => &self.conflict.sides,
            _ => return None,
        };
        let mut writes: Vec<_> = sides.iter().flat_map(|side| &side.writes).collect();
        writes.sort_by(|a, b| a.op.cmp(&b.op));
        let value = |write: &&comity_review::Written| Some((write.place.register()?.clone(), write.value.clone()?));
        Some(writes.iter().filter_map(value).collect())
    }
}

/// The word for what comes of a conflict.
pub const fn sort(judgement: &Judgement) -> &'static str {
    match judgement.outcome {
        Outcome::Decided { .. } => "decided",
        Outcome::Merged => "merged",
        Outcome::PerDevice => "per-device",
        _ => "manual",
    }
}
