//! S1.6: every rule decides and abstains, and nothing depends on the order of the sides.

use std::collections::BTreeMap;

use comity_model::{Act, ActKind, ActorId, ChangeHash, EntryId, HybridTime, RegisterKey};
use proptest::prelude::*;

use super::*;
use crate::policy::Policy;
use crate::{Conflict, ConflictId, Side, State, Written};
use comity_crdt::OpId;

mod random;

struct Table(BTreeMap<DeviceTag, &'static str>);

impl Roles for Table {
    fn role(&self, device: &DeviceTag) -> Option<&str> {
        self.0.get(device).copied()
    }
}

/// Devices 1 and 4 are experts, 2 is regular, 3 occasional; 5 has a role that no policy names; the rest have none.
fn roles() -> Table {
    let roles = [(1, "expert"), (4, "expert"), (2, "regular"), (3, "occasional"), (5, "guest")];
    Table(roles.map(|(device, role)| (DeviceTag([device; 16]), role)).into())
}

fn kind(text: &str) -> KindPolicy {
    let policy = Policy::parse(&format!("[kind.audit]\n{text}")).unwrap();
    let kind = policy.kinds().next().unwrap().1;
    kind.clone()
}

/// A write by one of our devices.
fn ours(device: u8, seconds: i64, register: &str, value: impl Into<Value>) -> Written {
    Written {
        place: Place::Field(register.parse::<RegisterKey>().unwrap()),
        op: OpId { counter: 7, actor: ActorId::for_session(DeviceTag([device; 16]), [0; 8]) },
        value: Some(value.into()),
        change: ChangeHash([device; 32]),
        act: Some(Act {
            time: HybridTime { wall_ms: seconds.saturating_mul(1_000), counter: device.into() },
            policy: [0; 8],
            kind: ActKind::Edit,
        }),
        time_s: seconds,
        remark: None,
        seen: Vec::new(),
    }
}

/// A write by another application.
fn foreign(actor: u8, time_s: i64, register: &str, value: impl Into<Value>) -> Written {
    let write = ours(actor, time_s, register, value);
    Written { op: OpId { counter: 7, actor: ActorId::from_bytes(&[actor; 4]) }, act: None, ..write }
}

fn conflict(kind: ConflictKind, subject: Subject, sides: Vec<Vec<Written>>) -> Conflict {
    let ops: Vec<OpId> = sides.iter().flatten().map(|write| write.op.clone()).collect();
    Conflict {
        id: ConflictId::of(kind, &subject, &ops),
        kind,
        subject,
        state: State::Open,
        base: Vec::new(),
        sides: sides.into_iter().map(|writes| Side { writes }).collect(),
        reopens: None,
        decisions: Vec::new(),
    }
}

fn update(sides: Vec<Vec<Written>>) -> Conflict {
    let subject = Subject::Place(sides[0][0].place.clone());
    conflict(ConflictKind::ConcurrentUpdate, subject, sides)
}

fn group(sides: Vec<Vec<Written>>) -> Conflict {
    let mut fields: Vec<FieldName> =
        sides.iter().flatten().filter_map(|write| Some(write.place.register()?.field.clone())).collect();
    fields.sort();
    fields.dedup();
    conflict(ConflictKind::FieldGroup, Subject::Fields { entry: EntryId::new("M050").unwrap(), fields }, sides)
}

/// What the last rule that was asked said.
fn said(policy: &str, conflict: &Conflict) -> String {
    let judgement = judge(Some(&kind(policy)), conflict, &roles());
    let last = judgement.steps.last().map(|step| step.why.clone()).unwrap_or_default();
    match judgement.outcome {
        Outcome::Decided { side, rule } => format!("side {side} by {rule}: {last}"),
        Outcome::PerDevice => format!("per device: {last}"),
        Outcome::Merged => format!("merged: {last}"),
        Outcome::Manual { reason } if reason == last => format!("manual: {last}"),
        Outcome::Manual { reason } => format!("manual, {reason}: {last}"),
    }
}

fn statuses(first: Written, second: Written) -> Conflict {
    update(vec![vec![first], vec![second]])
}

const LAST: &str = "default = ['last-write-wins']\nclock-uncertainty = '30s'";
const PRIORITY: &str = "default = ['user-priority']\norder = ['expert', 'regular', 'occasional']";

#[test]
fn last_write_wins_when_the_clocks_can_tell() {
    let later =
        |seconds: i64| statuses(ours(1, 1_000, "M050/status", "ok"), ours(2, 1_000 + seconds, "M050/status", "dead"));
    assert_eq!(
        said(LAST, &later(61)),
        "side 1 by last-write-wins: \"dead\" by device 02020202 was written 61 s after all others, and clocks may \
         differ by 1 min"
    );
    assert_eq!(
        said(LAST, &later(60)),
        "manual, no rule could decide: \"ok\" by device 01010101 and \"dead\" by device 02020202 were written within \
         1 min of each other, by which clocks may differ"
    );
    assert!(said(LAST, &later(-61)).starts_with("side 0 by last-write-wins"));
    let exact = "default = ['last-write-wins']\nclock-uncertainty = '0s'";
    assert!(said(exact, &later(0)).starts_with("manual"), "a tie is nobody's");
    assert!(said(exact, &later(1)).starts_with("side 1"));
}

#[test]
fn last_write_wins_looks_at_the_last_write_of_each_side() {
    let sides = |last| {
        let corroborated = vec![ours(1, 1_000, "M050/status", "ok"), ours(4, last, "M050/status", "ok")];
        update(vec![corroborated, vec![ours(2, 2_000, "M050/status", "dead")]])
    };
    assert!(said(LAST, &sides(1_001)).starts_with("side 1"));
    assert!(said(LAST, &sides(3_000)).starts_with("side 0 by last-write-wins: \"ok\" by device 01010101 and 1 more"));
    assert!(said(LAST, &sides(2_050)).starts_with("manual"));
}

#[test]
fn last_write_wins_abstains_when_nobody_says_when() {
    let unknown = statuses(ours(1, 1_000, "M050/status", "ok"), foreign(9, 0, "M050/status", "dead"));
    assert_eq!(
        said(LAST, &unknown),
        "manual, no rule could decide: \"dead\" has a write of which nobody says when it was made"
    );
    // Another application counts in whole seconds, so its write may be almost a second later than it says.
    let known = |time_s| statuses(ours(1, 1_000, "M050/status", "ok"), foreign(9, time_s, "M050/status", "dead"));
    assert!(said(LAST, &known(1_061)).starts_with("side 1 by last-write-wins"));
    assert!(said(LAST, &known(1_060)).starts_with("manual"));
    assert!(said(LAST, &known(940)).starts_with("manual"), "it may have been at 940.999");
    assert!(said(LAST, &known(939)).starts_with("side 0 by last-write-wins"));
    assert!(said(LAST, &known(i64::MAX)).starts_with("side 1"));
    assert!(said(LAST, &known(i64::MIN)).starts_with("side 0"));
}

#[test]
fn last_writes_that_say_the_same_are_no_tie() {
    let equal = |first, second| {
        update(vec![vec![ours(first, 1_000, "M050/status", "ok")], vec![ours(second, 1_000, "M050/status", "ok")]])
    };
    assert_eq!(
        said(LAST, &equal(1, 2)),
        "side 1 by last-write-wins: the last writes all say \"ok\" by device 02020202"
    );
    assert!(said(LAST, &equal(2, 1)).starts_with("side 0 "), "the greatest operation, in any order");
}

#[test]
fn the_higher_verified_role_goes_first() {
    let by = |first, second| {
        statuses(ours(first, 1_000, "M050/status", "ok"), ours(second, 9_000, "M050/status", "inequality"))
    };
    assert_eq!(
        said(PRIORITY, &by(1, 3)),
        "side 0 by user-priority: \"ok\" by device 01010101 is from the role expert, which goes before occasional"
    );
    assert!(said(PRIORITY, &by(3, 2)).starts_with("side 1 by user-priority"));
    let abstains = |conflict: &Conflict, why: &str| {
        assert_eq!(said(PRIORITY, conflict), format!("manual, no rule could decide: {why}"));
    };
    abstains(&by(1, 4), "more than one side is from the role expert");
    abstains(&by(1, 9), "device 09090909 has no verified role");
    abstains(&by(1, 5), "the role guest of device 05050505 has no place in the order");
    let from_elsewhere = statuses(ours(1, 1_000, "M050/status", "ok"), foreign(9, 1_000, "M050/status", "dead"));
    abstains(&from_elsewhere, "\"dead\" was written by another application, which has no role");
    // Whoever found the same value brings their role along, if it is known.
    let with = |device| {
        let found = vec![ours(3, 1_000, "M050/status", "ok"), ours(device, 1_000, "M050/status", "ok")];
        update(vec![found, vec![ours(2, 1_000, "M050/status", "dead")]])
    };
    assert!(said(PRIORITY, &with(1)).starts_with("side 0"));
    assert!(said(PRIORITY, &with(3)).starts_with("side 1"));
    abstains(&with(9), "device 09090909 has no verified role");
}

#[test]
fn a_field_has_its_own_rules_and_order() {
    let policy = "default = ['last-write-wins']\n[kind.audit.field.status]\npolicy = ['user-priority']\n\
                  order = ['regular', 'expert']";
    let by = |register| statuses(ours(1, 1_000, register, "a"), ours(2, 1, register, "b"));
    assert!(said(policy, &by("M050/status")).starts_with("side 1 by user-priority"));
    assert!(said(policy, &by("M050/comment")).starts_with("side 0 by last-write-wins"));
}

#[test]
fn values_of_devices_stand_side_by_side() {
    let policy = "default = ['device-specific']";
    let theme = |first: Written, second: Written| statuses(first, second);
    assert_eq!(
        said(policy, &theme(ours(1, 1, "ui/theme", "dark"), ours(2, 1, "ui/theme", "light"))),
        "per device: each device wrote one value, which stands for that device"
    );
    assert_eq!(
        said(policy, &theme(ours(1, 1, "ui/theme", "dark"), ours(1, 1, "ui/theme", "light"))),
        "manual, no rule could decide: device 01010101 wrote 2 values"
    );
    assert_eq!(
        said(policy, &theme(ours(1, 1, "ui/theme", "dark"), foreign(2, 1, "ui/theme", "light"))),
        "manual, no rule could decide: another application wrote, and does not say from which device"
    );
}

#[test]
fn a_merge_of_different_fields_is_accepted_and_one_of_the_same_is_not() {
    let policy = "default = ['merge-fields']\ngroups = [['comment', 'status']]";
    let status = ours(1, 1, "M050/status", "dead");
    let comment = ours(2, 1, "M050/comment", "fine");
    let apart = group(vec![vec![status.clone()], vec![comment.clone()]]);
    assert_eq!(said(policy, &apart), "merged: no field was written by two sides");
    let overlap = group(vec![vec![status, ours(1, 1, "M050/comment", "x")], vec![comment]]);
    assert_eq!(said(policy, &overlap), "manual, no rule could decide: M050/comment was written by 2 sides");
    let same = statuses(ours(1, 1, "M050/status", "ok"), ours(2, 1, "M050/status", "dead"));
    assert_eq!(said(policy, &same), "manual, no rule could decide: all sides wrote the same field");
    let other = said("default = ['last-write-wins']", &apart);
    assert_eq!(
        other,
        "manual, no rule could decide: the sides wrote different fields, and choosing one would hide the other"
    );
}

#[test]
fn a_group_is_for_a_person_when_one_of_its_fields_is() {
    let policy = "default = ['merge-fields']\ngroups = [['comment', 'status']]\n\
                  [kind.audit.field.status]\npolicy = ['manual']";
    let apart = group(vec![vec![ours(1, 1, "M050/status", "ok")], vec![ours(2, 1, "M050/comment", "fine")]]);
    let judgement = judge(Some(&kind(policy)), &apart, &roles());
    let reason = "for status: the policy says that a person decides".to_owned();
    assert_eq!(judgement.outcome, Outcome::Manual { reason });
    let steps: Vec<&str> = judgement.steps.iter().map(|step| step.why.as_str()).collect();
    assert_eq!(
        steps,
        ["for comment: no field was written by two sides", "for status: the policy says that a person decides"]
    );
}

#[test]
fn a_deletion_has_the_rules_of_life() {
    let subject = Subject::Entry(EntryId::new("M050").unwrap());
    let sides = vec![vec![ours(1, 1_000, "M050/life", "deleted")], vec![ours(2, 2_000, "M050/status", "ok")]];
    let against = conflict(ConflictKind::DeleteAgainstUpdate, subject, sides);
    assert_eq!(
        said(LAST, &against),
        "side 1 by last-write-wins: the update by device 02020202 was written 1000 s after all others, and clocks may \
         differ by 1 min"
    );
    assert!(said(PRIORITY, &against).starts_with("side 0 by user-priority: the deletion by device 01010101"));
    let life = format!("{LAST}\n[kind.audit.field.life]\npolicy = ['manual']");
    assert_eq!(said(&life, &against), "manual: the policy says that a person decides");
    let listed = format!("{LAST}\n[kind.audit.field.life]\nalways-manual = ['deleted']");
    assert_eq!(said(&listed, &against), "manual: life = \"deleted\" is always for a person");
    assert!(said("default = ['merge-fields']", &against).ends_with("do not stand side by side"));
    assert!(
        said("default = ['device-specific']", &against).ends_with("it is about values of one field, and this is not")
    );
}

#[test]
fn a_value_that_is_always_for_a_person_stops_every_rule() {
    let policy = format!("{LAST}\n[kind.audit.field.status]\nalways-manual = ['dead', 3, true]");
    let with = |value: Value| statuses(ours(1, 1, "M050/status", "ok"), ours(2, 9_000, "M050/status", value));
    assert_eq!(said(&policy, &with("dead".into())), "manual: status = \"dead\" is always for a person");
    for value in [Value::Int(3), Value::Uint(3), Value::Bool(true)] {
        assert!(said(&policy, &with(value)).starts_with("manual: status = "));
    }
    for value in [Value::Int(2), Value::from("3"), Value::Uint(u64::MAX), Value::Null] {
        assert!(said(&policy, &with(value)).starts_with("side 1"));
    }
}

#[test]
fn some_conflicts_are_for_people_under_every_policy() {
    let sides = vec![vec![ours(1, 1, "M050/status", "ok")], vec![ours(2, 9_000, "M050/status", "dead")]];
    let subject = Subject::Place(sides[0][0].place.clone());
    for kind in ConflictKind::ALL {
        let judged = said(LAST, &conflict(kind, subject.clone(), sides.clone()));
        let ruled = matches!(
            kind,
            ConflictKind::ConcurrentUpdate | ConflictKind::FieldGroup | ConflictKind::DeleteAgainstUpdate
        );
        assert_eq!(!judged.starts_with("manual: "), ruled, "{kind}: {judged}");
    }
    let decided = conflict(ConflictKind::ResolutionConflict, subject, sides);
    assert_eq!(said(LAST, &decided), "manual: people decided it differently, and no rule stands above them");
}

#[test]
fn without_rules_a_person_decides_and_says_why() {
    let conflict = statuses(ours(1, 1, "M050/status", "ok"), ours(2, 9_000, "M050/status", "dead"));
    let none = judge(None, &conflict, &roles());
    let reason = "no policy says anything about this kind of document".to_owned();
    assert_eq!(none.outcome, Outcome::Manual { reason });
    assert_eq!(said("", &conflict), "manual, the policy gives no rule for this: ");
    let agreed = update(vec![vec![ours(1, 1, "M050/status", "ok"), ours(2, 2, "M050/status", "ok")]]);
    assert_eq!(said(LAST, &agreed), "merged: everybody wrote the same");
    assert_eq!(
        said(LAST, &self::conflict(conflict.kind, conflict.subject, Vec::new())),
        "manual: it has no sides to choose from"
    );
}

#[test]
fn the_first_rule_that_decides_wins_and_the_others_are_not_asked() {
    let policy = "default = ['suggested', 'user-priority', 'last-write-wins', 'manual']\norder = ['expert', 'regular']";
    let conflict = |second| statuses(ours(1, 1, "M050/status", "ok"), ours(second, 9_000, "M050/status", "dead"));
    let asked = |conflict: &Conflict| {
        let judgement = judge(Some(&kind(policy)), conflict, &roles());
        assert!(judgement.suggest);
        let rules = judgement.steps.into_iter().map(|step| (step.rule.unwrap().as_str(), step.decided));
        rules.collect::<Vec<_>>()
    };
    assert_eq!(asked(&conflict(2)), [("suggested", false), ("user-priority", true)]);
    assert_eq!(asked(&conflict(4)), [("suggested", false), ("user-priority", false), ("last-write-wins", true)]);
    assert!(!judge(Some(&kind(LAST)), &conflict(2), &roles()).suggest);
}
