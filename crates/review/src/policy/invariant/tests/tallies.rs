//! S1.6: verdicts, in words and over random histories.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use comity_model::{EntryId, FieldName, Timestamp, Value};
use proptest::prelude::*;

use super::super::eval::{Key, Names, Trouble, Val, eval, eval_truth, in_range};
use super::super::*;
use super::random;

type Rows = BTreeMap<EntryId, Row>;

fn entry(name: &str) -> EntryId {
    EntryId::new(name).unwrap()
}

fn row(fields: &[(&str, Value)]) -> Row {
    fields.iter().map(|(name, value)| (FieldName::new(name).unwrap(), value.clone())).collect()
}

fn tally(expr: &str, rows: &[(&str, Row)], about: &[(&str, Value)]) -> Tally {
    let mut tally = Tally::new(&[Invariant { name: "rule".to_owned(), expr: Expr::parse(expr).unwrap() }]);
    rows.iter().for_each(|(name, row)| tally.update(&entry(name), None, Some(row)));
    about.iter().for_each(|(name, value)| tally.about(name, Some(value)));
    tally
}

fn verdict(expr: &str, rows: &[(&str, Row)], about: &[(&str, Value)]) -> Verdict {
    tally(expr, rows, about).verdicts().remove(0).1
}

fn broken(expr: &str, rows: &[(&str, Row)], about: &[(&str, Value)]) -> (String, String) {
    match verdict(expr, rows, about) {
        Verdict::Broken { because, entries } => {
            (because, entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }
        other => panic!("{expr} is {other:?}"),
    }
}

fn unknown(expr: &str, rows: &[(&str, Row)], about: &[(&str, Value)]) -> String {
    match verdict(expr, rows, about) {
        Verdict::Unknown { why } => why,
        other => panic!("{expr} is {other:?}"),
    }
}

fn two(field: &str, first: impl Into<Value>, second: impl Into<Value>) -> [(&'static str, Row); 2] {
    [("M001", row(&[(field, first.into())])), ("M002", row(&[(field, second.into())]))]
}

#[test]
fn a_broken_invariant_says_so_with_its_numbers_and_entries() {
    let rows = two("status", "dead", "ok");
    let cases = [
        (
            "count(entries) == about.modules",
            "count(entries) == about.modules is false: count(entries) is 2; about.modules is 3",
            "",
        ),
        (
            "count(entries where status == 'dead') < 1",
            "count(entries where status == \"dead\") < 1 is false: count(entries where status == \"dead\") is 1",
            "",
        ),
        (
            "every(status != 'dead' or comment != null)",
            "every(status != \"dead\" or comment != null) is false: status != \"dead\" or comment != null is false in M001",
            "M001",
        ),
        (
            "unique(comment) and reference(status)",
            "unique(comment) and reference(status) is false: unique(comment) is true; \
             status is dead, which is no live entry, in M001; status is ok, which is no live entry, in M002",
            "M001 M002",
        ),
    ];
    for (expr, because, entries) in cases {
        let modules = [("modules", Value::Int(3))];
        assert_eq!(broken(expr, &rows, &modules), (because.to_owned(), entries.to_owned()));
    }
    let (because, entries) = broken("unique(serial)", &two("serial", 7, 7.0), &[]);
    assert_eq!(because, "unique(serial) is false: serial is 7 in M001, M002");
    assert_eq!(entries, "M001 M002");
    assert_eq!(verdict("unique(serial)", &two("serial", 7, "7"), &[]), Verdict::Holds);
}

#[test]
fn a_verdict_names_a_bounded_number_of_entries() {
    let many = |n: usize| {
        let mut tally = Tally::new(&[Invariant { name: "x".to_owned(), expr: Expr::parse("every(false)").unwrap() }]);
        (0..n).for_each(|i| tally.update(&entry(&format!("M{i:03}")), None, Some(&Row::new())));
        match tally.verdicts().remove(0).1 {
            Verdict::Broken { because, entries } => (because, entries.len()),
            other => panic!("{other:?}"),
        }
    };
    let (because, entries) = many(Tally::ENTRIES_NAMED_MAX);
    assert_eq!(entries, 8);
    assert!(because.ends_with("M006, M007"), "{because}");
    let (because, entries) = many(Tally::ENTRIES_NAMED_MAX + 1);
    assert_eq!(entries, 8);
    assert!(because.ends_with("M006, M007 and 1 more"), "{because}");
}

#[test]
fn what_cannot_be_computed_is_neither_true_nor_false() {
    let huge = two("n", i64::MAX, i64::MAX);
    assert_eq!(verdict("sum(n) > 0", &huge, &[]), Verdict::Holds, "numbers have 64 bits, signed or not");
    assert_eq!(
        unknown("sum(n * 4) > 0", &huge, &[]),
        "in M001 and one more entry, a result leaves the range of 64 bits"
    );
    assert_eq!(unknown("sum(n) * 2 > 0", &huge, &[]), "a result leaves the range of 64 bits");
    let half = two("n", 1, 0.5);
    let fraction = "in M002, a number has a fraction, and only whole numbers are calculated with";
    assert_eq!(unknown("sum(n) > 0", &half, &[]), fraction);
    assert_eq!(verdict("every(n > 0) and every(n < 2)", &half, &[]), Verdict::Holds, "they are compared exactly");
    assert_eq!(unknown("sum(n) > 0", &two("n", 1, "x"), &[]), "in M002, a text stands where a whole number should");
    assert_eq!(
        unknown("every(n > 0)", &two("n", 1, "x"), &[]),
        "in M002, a text is neither smaller nor larger than a number"
    );
    assert_eq!(unknown("every(n)", &two("n", true, 1), &[]), "in M002, a number stands where true or false should");
    assert_eq!(unknown("every(n == 1)", &two("n", 1, f64::NAN), &[]), "in M002, a number is none (NaN)");
    assert_eq!(unknown("count(entries) == about.modules", &[], &[]), "about.modules is not set");
    let guarded = "about.modules == null or count(entries) == about.modules";
    assert_eq!(verdict(guarded, &[], &[]), Verdict::Holds);
    assert_eq!(broken(guarded, &[], &[("modules", Value::Int(1))]).1, "");
}

#[test]
fn one_side_may_settle_what_the_other_cannot() {
    let rows = two("n", 1, "x");
    assert_eq!(verdict("count(entries) == 2 or sum(n) > 0", &rows, &[]), Verdict::Holds);
    assert!(matches!(verdict("sum(n) > 0 and count(entries) == 3", &rows, &[]), Verdict::Broken { .. }));
    assert!(matches!(verdict("every(n > 2)", &rows, &[]), Verdict::Broken { .. }), "M001 breaks it, whatever M002 is");
    assert_eq!(verdict("every(n != null and n == 'x' or n == 1)", &rows, &[]), Verdict::Holds);
}

#[test]
fn null_and_what_was_never_written_are_the_same() {
    let rows = [("M001", row(&[("serial", Value::Null)])), ("M002", Row::new()), ("M003", row(&[("n", 2.into())]))];
    for expr in [
        "every(serial == null)",
        "every(serial != 'x')",
        "unique(serial)",
        "reference(serial)",
        "sum(n) == 2",
        "count(entries where n == 2) == 1",
    ] {
        assert_eq!(verdict(expr, &rows, &[]), Verdict::Holds, "{expr}");
    }
}

#[test]
fn numbers_are_compared_exactly() {
    let above = 9_007_199_254_740_993_i64;
    assert_eq!(verdict("every(n > 9007199254740992)", &two("n", above, above), &[]), Verdict::Holds);
    let (_, entries) = broken("every(n == 9007199254740993)", &two("n", above, 9_007_199_254_740_992.0), &[]);
    assert_eq!(entries, "M002", "a float cannot say that number");
    let times =
        [("P1", row(&[("start", Timestamp::from_unix_ms(5).into()), ("end", Timestamp::from_unix_ms(4).into())]))];
    assert_eq!(broken("every(end >= start)", &times, &[]).1, "P1");
    let infinite = two("n", f64::INFINITY, f64::NEG_INFINITY);
    assert_eq!(broken("every(n > -9223372036854775808)", &infinite, &[]).1, "M002");
}

#[test]
fn a_reference_follows_the_life_of_what_it_names() {
    let child = row(&[("parent", "P".into())]);
    let mut tally = tally("reference(parent)", &[("C", child.clone())], &[]);
    let holds = |tally: &Tally| tally.verdicts()[0].1 == Verdict::Holds;
    assert!(!holds(&tally));
    tally.update(&entry("P"), None, Some(&Row::new()));
    assert!(holds(&tally));
    tally.update(&entry("P"), Some(&Row::new()), None);
    assert!(!holds(&tally));
    tally.update(&entry("C"), Some(&child), None);
    assert!(holds(&tally), "nobody names it any more");
    let narcissus = row(&[("parent", "N".into())]);
    tally.update(&entry("N"), None, Some(&narcissus));
    assert!(holds(&tally));
}

/// Answers by looking at every row again, pairwise where pairs matter.
struct Brute<'a> {
    rows: &'a Rows,
    about: &'a BTreeMap<String, Value>,
}

impl Names for Brute<'_> {
    fn about_value(&self, name: &str) -> Option<&Value> {
        self.about.get(name)
    }

    fn answer(&self, aggregate: &Aggregate) -> Result<Val<'_>, Trouble> {
        let mut trouble = None;
        let mut asked: Vec<&Row> = Vec::new();
        for row in self.rows.values() {
            match aggregate.filter.as_ref().map_or(Ok(true), |filter| eval_truth(filter, row)) {
                Ok(true) => asked.push(row),
                Ok(false) => {}
                Err(found) => trouble = Some(found),
            }
        }
        let mut holds = true;
        let mut number = 0_i128;
        let mut note = |result: Result<(), Trouble>| {
            if let Err(found) = result {
                trouble = Some(found);
            }
        };
        match &aggregate.question {
            Question::Count => number = asked.len().try_into().unwrap(),
            Question::Sum(inner) => {
                asked.iter().for_each(|row| {
                    let value = eval(inner, *row);
                    note(value.and_then(
                        |value| if value == Val::Null { Ok(()) } else { value.number().map(|n| number += n) },
                    ));
                })
            }
            Question::Every(inner) => {
                asked.iter().for_each(|row| note(eval_truth(inner, *row).map(|truth| holds &= truth)))
            }
            Question::Reference(field) => asked.iter().for_each(|row| {
                note(Val::of(row.get(field)).map(|value| {
                    let name = row.get(field).map(ToString::to_string).unwrap_or_default();
                    holds &= value == Val::Null || self.rows.keys().any(|entry| entry.as_str() == name);
                }));
            }),
            Question::Unique(fields) => {
                let keys: Vec<Option<Vec<Key>>> = asked.iter().map(|row| key(fields, row, &mut note)).collect();
                for (i, key) in keys.iter().enumerate() {
                    holds &= key.is_none() || !keys[..i].contains(key);
                }
            }
        }
        match (&aggregate.question, trouble) {
            (Question::Count | Question::Sum(_), None) => in_range(number).map(Val::Int).ok_or(Trouble::Overflow),
            (Question::Count | Question::Sum(_), Some(trouble)) => Err(trouble),
            (_, Some(trouble)) if holds => Err(trouble),
            _ => Ok(Val::Bool(holds)),
        }
    }
}

fn key(fields: &[FieldName], row: &Row, note: &mut impl FnMut(Result<(), Trouble>)) -> Option<Vec<Key>> {
    let mut keys = Vec::new();
    for field in fields {
        match Val::of(row.get(field)) {
            Ok(value) => keys.push(Key::of(value)?),
            Err(trouble) => {
                note(Err(trouble));
                return None;
            }
        }
    }
    Some(keys)
}

fn sort_of(verdict: &Verdict) -> Option<bool> {
    match verdict {
        Verdict::Holds => Some(true),
        Verdict::Broken { .. } => Some(false),
        Verdict::Unknown { .. } => None,
    }
}

type Update = (usize, Option<Row>);

/// Applies updates to a tally, and looks at everything again after each.
fn follow(exprs: Vec<Expr>, updates: Vec<Update>, modules: Option<i64>) -> Result<(), TestCaseError> {
    let named = exprs.into_iter().enumerate();
    let invariants: Vec<Invariant> = named.map(|(i, expr)| Invariant { name: format!("rule {i}"), expr }).collect();
    let mut tally = Tally::new(&invariants);
    let mut rows = Rows::new();
    let about: BTreeMap<String, Value> = modules.map(|n| ("modules".to_owned(), n.into())).into_iter().collect();
    tally.about("modules", Some(&"before".into()));
    tally.about("modules", about.get("modules"));
    for (which, new) in updates {
        let entry = entry(&format!("E{which}"));
        tally.update(&entry, rows.get(&entry), new.as_ref());
        match new {
            Some(row) => rows.insert(entry, row),
            None => rows.remove(&entry),
        };
        let mut fresh = Tally::new(&invariants);
        rows.iter().rev().for_each(|(entry, row)| fresh.update(entry, None, Some(row)));
        about.iter().for_each(|(name, value)| fresh.about(name, Some(value)));
        prop_assert_eq!(tally.verdicts(), fresh.verdicts());
        let brute = Brute { rows: &rows, about: &about };
        for (invariant, (_, verdict)) in invariants.iter().zip(tally.verdicts()) {
            prop_assert_eq!(sort_of(&verdict), eval_truth(&invariant.expr, &brute).ok(), "{}", &invariant.expr);
        }
    }
    Ok(())
}

/// One of each question, with and without a filter; over rows in which values meet.
const QUESTIONS: &[&str] = &[
    "unique(serial)",
    "unique(serial, parent where done == true)",
    "reference(parent)",
    "reference(parent where done)",
    "every(quantity >= 0 where done == true)",
    "count(entries where parent == 'E1') == about.modules",
    "sum(quantity) == about.modules",
    "sum(quantity * 2 where serial == 1) <= 2",
];

fn updates(row: impl Strategy<Value = Row>) -> impl Strategy<Value = Vec<Update>> {
    prop::collection::vec((0..5_usize, prop::option::weighted(0.7, row)), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_tally_is_what_looking_at_everything_gives(
        exprs in prop::collection::vec(random::document_expr(), 1..4),
        updates in updates(random::row()),
        modules in prop::option::of(0..3_i64),
    ) {
        follow(exprs, updates, modules)?;
    }

    #[test]
    fn the_tally_of_each_question_is_what_looking_at_everything_gives(
        updates in updates(random::dense_row()),
        modules in prop::option::of(0..3_i64),
    ) {
        follow(QUESTIONS.iter().map(|text| Expr::parse(text).unwrap()).collect(), updates, modules)?;
    }

    #[test]
    fn keys_are_equal_exactly_when_values_are(left in random::row(), right in random::row()) {
        let equal = Expr::parse("every(a == b)").unwrap();
        for (left, right) in left.values().flat_map(|left| right.values().map(move |right| (left, right))) {
            let row = row(&[("a", left.clone()), ("b", right.clone())]);
            let mut tally = Tally::new(&[Invariant { name: "x".to_owned(), expr: equal.clone() }]);
            tally.update(&entry("M001"), None, Some(&row));
            if let (Ok(a), Ok(b)) = (Val::of(Some(left)), Val::of(Some(right))) {
                let same = Key::of(a) == Key::of(b);
                prop_assert_eq!(tally.verdicts()[0].1 == Verdict::Holds, same);
                prop_assert!(!same || Key::of(a).cmp(&Key::of(b)) == Ordering::Equal);
            }
        }
    }
}
