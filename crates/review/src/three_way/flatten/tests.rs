use proptest::prelude::*;
use serde_json::json;

use super::*;

fn options() -> FlattenOptions {
    FlattenOptions::new(EntryId::new("record").unwrap())
}

fn by_position() -> FlattenOptions {
    FlattenOptions { arrays: Arrays::ByPosition, ..options() }
}

fn names(record: &Json, options: &FlattenOptions) -> Vec<String> {
    flatten(record, options).unwrap().iter().map(|(register, value)| format!("{register} = {value}")).collect()
}

#[test]
fn a_record_becomes_one_register_a_leaf() {
    let record = json!({"title": "T", "stats": {"chrome": {"10": "y"}}, "links": [{"url": "u"}], "notes": {}});
    let expected = [
        "record/links = json:[{\"url\":\"u\"}]",
        "record/notes = json:{}",
        "record/title = T",
        "record.stats.chrome/10 = y",
    ];
    assert_eq!(names(&record, &options()), expected);
    assert_eq!(
        names(&json!({"links": [{"url": "u"}, 2]}), &by_position()),
        ["record.links/[1] = 2", "record.links.[0]/url = u"]
    );
}

#[test]
fn every_bound_holds_at_its_value_and_refuses_one_more() {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
    let bounds = FlattenOptions { depth_max: 3, leaves_max: 3, value_bytes_max: 8, ..options() };
    assert!(flatten(&nested(3), &bounds).is_ok());
    assert!(matches!(flatten(&nested(4), &bounds), Err(InvalidRecord::TooDeep { max: 3, .. })));
    let listed = |depth: usize| json!({ "a": (0..depth).fold(json!(1), |inner, _| json!([inner])) });
    let bounds = FlattenOptions { value_bytes_max: 100, ..bounds };
    assert!(flatten(&listed(2), &bounds).is_ok());
    assert!(matches!(flatten(&listed(3), &bounds), Err(InvalidRecord::TooDeep { max: 3, .. })));
    assert!(flatten(&json!({"a": 1, "b": 2, "c": 3}), &bounds).is_ok());
    let four = json!({"a": 1, "b": 2, "c": 3, "d": 4});
    assert_eq!(flatten(&four, &bounds), Err(InvalidRecord::TooMany { max: 3 }));
    assert!(flatten(&json!({"a": "x".repeat(100)}), &bounds).is_ok());
    let long = flatten(&json!({"a": "x".repeat(101)}), &bounds);
    assert!(matches!(long, Err(InvalidRecord::ValueTooLong { actual: 101, max: 100, .. })));
    assert_eq!(flatten(&json!([1]), &bounds), Err(InvalidRecord::NotAnObject));
}

#[test]
fn a_value_where_others_have_an_object_is_named() {
    let root = options().root;
    let mut leaves = flatten(&json!({"a": {"b": 1}, "c": 2}), &options()).unwrap();
    assert_eq!(clashes(&leaves, &root), []);
    leaves.extend(flatten(&json!({"a": 7, "c": {}}), &options()).unwrap());
    let clash = Clash { leaf: "record/a".parse().unwrap(), below: "record.a/b".parse().unwrap() };
    assert_eq!(clashes(&leaves, &root), [clash], "and an empty object is only empty");
    assert_eq!(unflatten(&leaves, &root), json!({"a": {"b": 1}, "c": {}}));
    leaves.insert("record.a/b".parse().unwrap(), Value::Null);
    assert_eq!(clashes(&leaves, &root), [], "what is gone is in nobody's way");
    assert_eq!(unflatten(&leaves, &root), json!({"a": 7, "c": {}}));
}

/// Numbers with few digits: serde_json reads others back to the last bit but one.
fn json() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<i32>().prop_map(|quarters| Json::from(f64::from(quarters) / 4.0)),
        "[a-z:./%\\[\\]]{0,6}".prop_map(Json::from),
    ];
    scalar.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[a-z./%\\[\\] 0]{0,4}", inner, 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_record_reads_back_from_its_leaves(
        members in prop::collection::btree_map("[a-z./%\\[\\] 0]{0,4}", json(), 0..5)
    ) {
        let record = Json::Object(members.into_iter().collect());
        for options in [options(), by_position()] {
            let leaves = flatten(&record, &options).unwrap();
            prop_assert_eq!(clashes(&leaves, &options.root), []);
            prop_assert_eq!(unflatten(&leaves, &options.root), record.clone());
        }
    }
}
