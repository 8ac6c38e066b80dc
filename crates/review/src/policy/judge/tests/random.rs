//! Random conflicts.

use super::*;

fn write() -> impl Strategy<Value = Written> {
    let register = prop::sample::select(vec!["M050/status", "M050/comment", "M050/life"]);
    let value =
        prop_oneof![prop::sample::select(vec!["ok", "dead"]).prop_map(Value::from), (0..2_i64).prop_map(Value::Int),];
    let seconds = prop_oneof![-200..200_i64, any::<i64>()];
    (0..7_u8, 1..9_u64, seconds, register, prop::option::weighted(0.9, value), any::<u8>()).prop_map(
        |(device, counter, seconds, register, value, sort)| {
            let mut write = if sort < 40 {
                foreign(device, seconds, register, "x")
            } else {
                ours(device, seconds.clamp(-1_000_000, 1_000_000), register, "x")
            };
            write.op.counter = counter;
            write.value = value;
            write
        },
    )
}

fn policy() -> impl Strategy<Value = String> {
    let rules = prop::sample::subsequence(
        vec!["merge-fields", "suggested", "user-priority", "last-write-wins", "device-specific"],
        0..=5,
    )
    .prop_shuffle();
    (rules, prop::sample::select(vec!["0s", "10s", "60s"]), any::<bool>()).prop_map(|(rules, clock, careful)| {
        let order = if rules.contains(&"user-priority") { "order = ['expert', 'regular']\n" } else { "" };
        let careful = if careful { "[kind.audit.field.status]\nalways-manual = ['dead', 1]" } else { "" };
        format!("default = {rules:?}\n{order}clock-uncertainty = '{clock}'\n{careful}")
    })
}

fn random_conflict() -> impl Strategy<Value = Conflict> {
    let sides = prop::collection::vec(prop::collection::vec(write(), 0..4), 0..5);
    (sides, prop::sample::select(ConflictKind::ALL.to_vec()), 0..3_u8).prop_map(|(sides, kind, subject)| {
        // An operation is one write.
        let mut seen = std::collections::BTreeSet::new();
        let fresh = |writes: Vec<Written>, seen: &mut std::collections::BTreeSet<OpId>| {
            writes.into_iter().filter(|write| seen.insert(write.op.clone())).collect::<Vec<_>>()
        };
        let sides: Vec<Vec<Written>> = sides.into_iter().map(|writes| fresh(writes, &mut seen)).collect();
        let entry = EntryId::new("M050").unwrap();
        let field = |name| FieldName::new(name).unwrap();
        let subject = match subject {
            0 => Subject::Place(Place::Field("M050/status".parse().unwrap())),
            1 => Subject::Entry(entry),
            _ => Subject::Fields { entry, fields: vec![field("comment"), field("status")] },
        };
        conflict(kind, subject, sides)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_order_of_the_sides_does_not_matter(
        (conflict, order) in random_conflict().prop_flat_map(|conflict| {
            let sides: Vec<usize> = (0..conflict.sides.len()).collect();
            (Just(conflict), Just(sides).prop_shuffle())
        }),
        policy in policy(),
        backwards in any::<bool>(),
    ) {
        let policy = kind(&policy);
        let mut turned = conflict.clone();
        turned.sides = order.iter().map(|side| conflict.sides[*side].clone()).collect();
        if backwards {
            turned.sides.iter_mut().for_each(|side| side.writes.reverse());
        }
        let here = judge(Some(&policy), &conflict, &roles());
        prop_assert_eq!(&here, &judge(Some(&policy), &conflict, &roles()), "the same twice");
        let mut there = judge(Some(&policy), &turned, &roles());
        if let Outcome::Decided { side, .. } = &mut there.outcome {
            *side = order[*side];
        }
        prop_assert_eq!(here, there);
    }
}
