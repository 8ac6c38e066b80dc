use comity_model::EntryId;
use proptest::prelude::*;
use serde_json::json;

use super::super::{Relation, flatten::unflatten, relation, value_of};
use super::*;

fn options() -> FlattenOptions {
    FlattenOptions::new(EntryId::new("r").unwrap())
}

fn merged(base: Json, ours: Json, theirs: Json) -> Merged {
    Merged::new(&ThreeWay { base, ours, theirs }, &options(), Moments::default()).unwrap()
}

fn fates(merged: &Merged) -> Vec<(String, Fate)> {
    merged.outcomes().iter().map(|leaf| (leaf.register.to_string(), leaf.fate)).collect()
}

fn record(merged: &Merged, rule: Rule) -> Option<Json> {
    Some(unflatten(&merged.under(rule)?, &options().root))
}

#[test]
fn two_people_change_one_record_and_every_leaf_says_what_became_of_it() {
    // S1.5, S1.7: what merges, what agrees, and what people must decide.
    let base = json!({"title": "T", "stats": {"10": "n", "11": "n", "12": "n", "13": "n", "14": "n"}});
    let ours = json!({"title": "T", "stats": {"10": "y", "11": "y", "12": "y", "14": "a"}});
    let theirs = json!({"title": "U", "stats": {"10": "y", "11": "a", "12": "n", "13": "y"}});
    let merged = merged(base, ours, theirs);
    let name = |field: &str| format!("r.stats/{field}");
    assert_eq!(
        fates(&merged),
        [
            ("r/title".to_owned(), Fate::OneSided(Who::Theirs)),
            (name("10"), Fate::Agreement),
            (name("11"), Fate::Conflict),
            (name("12"), Fate::OneSided(Who::Ours)),
            (name("13"), Fate::Conflict),
            (name("14"), Fate::Conflict),
        ]
    );
    assert_eq!(record(&merged, Rule::MergeFields), None, "three leaves are left to people");
    let kept = json!({"title": "U", "stats": {"10": "y", "11": "y", "12": "y", "14": "a"}});
    assert_eq!(record(&merged, Rule::KeepOurs), Some(kept));
    let kept = json!({"title": "U", "stats": {"10": "y", "11": "a", "12": "y", "13": "y"}});
    assert_eq!(record(&merged, Rule::KeepTheirs), Some(kept));
}

#[test]
fn a_leaf_that_both_removed_is_an_agreement() {
    let merged = merged(json!({"a": 1, "b": 2}), json!({"b": 2}), json!({"b": 2}));
    assert_eq!(fates(&merged), [("r/a".to_owned(), Fate::Agreement), ("r/b".to_owned(), Fate::Unchanged)]);
    assert_eq!(record(&merged, Rule::MergeFields), Some(json!({"b": 2})));
}

#[test]
fn last_write_wins_abstains_where_the_times_say_nothing() {
    let three = ThreeWay { base: json!({"a": 0}), ours: json!({"a": 1}), theirs: json!({"a": 2}) };
    let at = |wall_ms| Some(HybridTime { wall_ms, counter: 0 });
    let settled = |ours, theirs| {
        let moments = Moments { base: at(0), ours, theirs, uncertainty_ms: 1_000 };
        record(&Merged::new(&three, &options(), moments).unwrap(), Rule::LastWriteWins)
    };
    assert_eq!(settled(at(5_000), at(6_000)), None, "no further apart than the clocks may be");
    assert_eq!(settled(at(5_000), at(6_001)), Some(json!({"a": 2})));
    assert_eq!(settled(at(6_001), at(5_000)), Some(json!({"a": 1})));
    assert_eq!(settled(at(5_000), None), None);
}

#[test]
fn a_value_against_an_object_is_named_though_no_leaf_is_in_conflict() {
    let merged = merged(json!({}), json!({"a": {"b": 1}}), json!({"a": 2}));
    assert!(fates(&merged).iter().all(|(_, fate)| matches!(fate, Fate::OneSided(_))));
    let clash = Clash { leaf: "r/a".parse().unwrap(), below: "r.a/b".parse().unwrap() };
    assert_eq!(merged.clashes(), [clash]);
}

#[test]
fn what_people_made_of_a_conflict_is_compared_with_what_the_two_left() {
    let list = |items: &[&str]| Some(value_of(&json!(items)));
    let merged = merged(json!({"l": ["a", "b"]}), json!({"l": ["a", "b", "c"]}), json!({"l": ["b", "d"]}));
    let leaf = &merged.outcomes()[0];
    assert_eq!(leaf.fate, Fate::Conflict);
    let of = |people: Option<Value>| relation(leaf, people.as_ref());
    assert_eq!(of(list(&["a", "b", "c"])), Relation::Ours);
    assert_eq!(of(list(&["b", "d"])), Relation::Theirs);
    assert_eq!(of(list(&["a", "b"])), Relation::Base);
    assert_eq!(of(list(&["b", "c", "d"])), Relation::Combined);
    assert_eq!(of(list(&["a", "b", "c", "d"])), Relation::Neither, "what one took out is back");
    assert_eq!(of(None), Relation::Neither);
}

fn small() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![Just(Json::Null), (0..3_i64).prop_map(Json::from), Just(json!({})), Just(json!(["x"]))];
    let inner =
        prop::collection::btree_map("[ab]", leaf.clone(), 0..3).prop_map(|m| Json::Object(m.into_iter().collect()));
    prop::collection::btree_map("[abc]", prop_oneof![leaf, inner], 0..4)
        .prop_map(|members| Json::Object(members.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Against the definition: three-way comparison of the leaves, without any document.
    #[test]
    fn nothing_is_ever_lost_and_the_documents_say_what_a_comparison_says(
        base in small(), ours in small(), theirs in small()
    ) {
        let merged = merged(base.clone(), ours.clone(), theirs.clone());
        let leaves = |record| flatten(record, &options()).unwrap();
        let (base, ours, theirs) = (leaves(&base), leaves(&ours), leaves(&theirs));
        for leaf in merged.outcomes() {
            let at = |leaves: &Leaves| leaves.get(&leaf.register).cloned();
            let (b, o, t) = (at(&base), at(&ours), at(&theirs));
            let expected = match (o != b, t != b) {
                (false, false) => Fate::Unchanged,
                (true, false) => Fate::OneSided(Who::Ours),
                (false, true) => Fate::OneSided(Who::Theirs),
                (true, true) if o == t => Fate::Agreement,
                (true, true) => Fate::Conflict,
            };
            prop_assert_eq!(leaf.fate, expected, "{}", leaf.register);
            prop_assert_eq!((leaf.base, leaf.ours, leaf.theirs), (b, o, t));
        }
    }
}
