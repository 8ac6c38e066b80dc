//! S1.6: what can be written as an invariant, and what is said of what cannot.

use proptest::prelude::*;

use super::super::*;
use super::random;

fn error(text: &str) -> String {
    Expr::parse(text).unwrap_err().to_string()
}

#[test]
fn an_expression_prints_in_its_canonical_form() {
    for (text, canonical) in [
        ("count(entries)==about.modules", "count(entries) == about.modules"),
        ("((count( entries where status=='dead' )))<3", "count(entries where status == \"dead\") < 3"),
        ("sum(quantity where region == \"north\") >= -5", "sum(quantity where region == \"north\") >= -5"),
        ("unique(a,b) and (reference(parent))", "unique(a, b) and reference(parent)"),
        ("every((status != 'dead') or comment != null)", "every(status != \"dead\" or comment != null)"),
        ("every(not (a and b) and not c)", "every(not (a and b) and not c)"),
        ("sum((a - b) - c) == sum(a - (b - c))", "sum(a - b - c) == sum(a - (b - c))"),
        ("sum(a * (b + 1)) == -(5)", "sum(a * (b + 1)) == -(5)"),
        ("every(`planned end` >= `count`)", "every(`planned end` >= `count`)"),
        ("every(`plain` == 1)", "every(plain == 1)"),
        ("about.`total kg` == 18446744073709551615", "about.`total kg` == 18446744073709551615"),
        ("every((not a) == b)", "every((not a) == b)"),
        ("about.ready", "about.ready"),
    ] {
        assert_eq!(Expr::parse(text).unwrap().to_string(), canonical);
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_what_to_do() {
    for (text, message) in [
        (
            "",
            "at byte 0: the end stands where a value should: write a number, a \"text\", a field, about.NAME or count(entries)",
        ),
        (
            "count(entries)",
            "at byte 0: this is a number, and must be true or false: compare it with something, as in count(entries) == about.modules",
        ),
        ("count(entries) = 3", "at byte 15: '=' means nothing here: write == for \"is equal to\""),
        ("count(entries) == 'x'", "at byte 15: a number and a text are never equal: compare values of one sort"),
        (
            "count(entries) / 2 > 1",
            "at byte 15: '/' means nothing here: there is no division: multiply the other side instead",
        ),
        ("sum(kg) < 0.5", "at byte 10: a number has a fraction: use whole numbers, such as cents instead of euros"),
        ("cuont(entries) == 3", "at byte 0: there is no function cuont: did you mean count?"),
        (
            "count(modules) == 3",
            "at byte 6: `modules` stands where `entries` should: write count(entries) or count(entries where status == \"dead\")",
        ),
        (
            "every(life == 'deleted')",
            "at byte 6: life says whether an entry is deleted: rules see live entries only, so leave it out",
        ),
        (
            "every(count(entries) == 3)",
            "at byte 6: count(…) stands inside of another aggregate: join the two with `and`, or compare them, outside",
        ),
        (
            "every(a == about.b)",
            "at byte 11: about.b stands inside of an aggregate: compare it outside, as in count(entries where …) == about.NAME",
        ),
        (
            "every(1 < a < 3)",
            "at byte 12: comparisons do not chain: join two of them with `and`, as in a < b and b < c",
        ),
        ("every(a < null)", "at byte 10: null is neither smaller nor larger than anything: compare it with == or !="),
        (
            "every(a and 3)",
            "at byte 12: this is a number, and must be true or false: compare it with something, as in count(entries) == about.modules",
        ),
        ("unique(a, a)", "at byte 10: a stands twice: name it once"),
        ("every(a == 'x)", "at byte 11: the text has no end: close it with the quote that it begins with"),
        ("every(a == 1", "at byte 12: the end stands where `)` should: close the parenthesis"),
        ("every(a == 1))", "at byte 13: `)` closes nothing: remove it, or open it before"),
        ("unique(a) unique(b)", "at byte 10: `unique` does not belong here: join two conditions with `and` or `or`"),
        ("about.x == 18446744073709551616", "at byte 11: the number is too large: numbers have 64 bits"),
        ("about.x == -9223372036854775809", "at byte 11: the number is too large: numbers have 64 bits"),
        ("about == 3", "at byte 6: `==` stands where `.` should: write about.NAME, as in about.modules"),
        ("every(`a/b` == 1)", "at byte 6: field name \"a/b\" must not hold '/' there: correct the name"),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
    assert!(error("status == 'dead'").contains("status has a value in every entry: say what of all entries is meant"));
}

#[test]
fn an_expression_may_be_as_long_and_as_deep_as_its_bounds_and_no_more() {
    let long = |bytes: usize| format!("about.x == '{}'", "x".repeat(bytes - 13));
    assert_eq!(long(100).len(), 100);
    assert!(Expr::parse(&long(Expr::BYTES_MAX)).is_ok());
    assert!(error(&long(Expr::BYTES_MAX + 1)).contains("has 4097 bytes, and may have 4096"));

    // A chain of n terms has depth n, and so has a chain of n - 1 negations of a name.
    let chain = |depth: usize| vec!["about.x"; depth].join(" and ");
    let negations = |depth: usize| format!("{}about.x", "not ".repeat(depth - 1));
    for text in [chain, negations] {
        assert!(Expr::parse(&text(Expr::DEPTH_MAX)).is_ok());
        assert!(error(&text(Expr::DEPTH_MAX + 1)).contains("nested more than 64 deep"));
    }
    let parentheses = |n: usize| format!("{}about.x{}", "(".repeat(n), ")".repeat(n));
    assert!(Expr::parse(&parentheses(2 * Expr::DEPTH_MAX)).is_ok());
    assert!(error(&parentheses(2 * Expr::DEPTH_MAX + 1)).contains("nested more than 64 deep"));

    let unique = |n: usize| format!("unique({})", (0..n).map(|i| format!("f{i}")).collect::<Vec<_>>().join(","));
    assert!(Expr::parse(&unique(Expr::UNIQUE_FIELDS_MAX)).is_ok());
    assert!(error(&unique(Expr::UNIQUE_FIELDS_MAX + 1)).contains("may name 16 fields"));
}

#[test]
fn an_invariant_knows_what_it_reads() {
    let expr = "sum(quantity where region == 'north') < about.max and unique(a, b) and reference(c) and every(d)";
    let invariant = Invariant { name: "x".to_owned(), expr: Expr::parse(expr).unwrap() };
    let fields: Vec<String> = invariant.fields_read().iter().map(ToString::to_string).collect();
    assert_eq!(fields, ["a", "b", "c", "d", "quantity", "region"]);
    assert_eq!(invariant.about_read().into_iter().collect::<Vec<_>>(), ["max"]);
    assert!(invariant.reads_entries());
    let about = Invariant { name: "x".to_owned(), expr: Expr::parse("about.x == 1").unwrap() };
    assert!(!about.reads_entries() && about.fields_read().is_empty());
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(expr in random::document_expr()) {
        let text = expr.to_string();
        prop_assert_eq!(Expr::parse(&text), Ok(expr), "{}", text);
    }

    #[test]
    fn no_text_panics(text in "[a-z0-9 ()=!<>+*\"'`.,\\\\é-]{0,80}") {
        let _ = Expr::parse(&text);
    }

    #[test]
    fn no_words_panic(words in prop::collection::vec(random::word(), 0..30)) {
        if let Ok(expr) = Expr::parse(&words.join(" ")) {
            prop_assert_eq!(Expr::parse(&expr.to_string()).unwrap(), expr);
        }
    }
}
