//! Random expressions that the parser accepts, and random rows.

use comity_model::{FieldName, Timestamp, Value};
use proptest::prelude::*;

use super::super::*;

/// Words that expressions are made of, to be put in any order.
pub(super) fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "count(entries",
        "sum(",
        "unique(",
        "reference(",
        "every(",
        ")",
        "(",
        "where",
        "and",
        "or",
        "not",
        "null",
        "true",
        "a",
        "about.x",
        "1",
        "-",
        "+",
        "*",
        "==",
        "!=",
        "<",
        ">=",
        ",",
        "'t'",
        "`b c`",
    ])
    .prop_map(str::to_owned)
}

fn field() -> impl Strategy<Value = FieldName> {
    let names = vec!["status", "serial", "parent", "quantity", "done", "count", "a b", "x`y", "é"];
    prop::sample::select(names).prop_map(|name| FieldName::new(name).unwrap())
}

fn binary(operator: Operator, left: Expr, right: Expr) -> Expr {
    Expr::Binary(operator, Box::new(left), Box::new(right))
}

fn literal() -> impl Strategy<Value = Expr> {
    let int = prop_oneof![-3..4_i128, Just(i64::MIN.into()), Just(u64::MAX.into()), any::<i64>().prop_map(i128::from)];
    int.prop_map(|value| Expr::Literal(Literal::Int(value)))
}

fn number(leaf: BoxedStrategy<Expr>) -> BoxedStrategy<Expr> {
    use Operator::{Add, Multiply, Subtract};
    let leaf = prop_oneof![literal(), leaf];
    leaf.prop_recursive(4, 12, 2, |inner| {
        let operator = prop::sample::select(vec![Add, Subtract, Multiply]);
        prop_oneof![
            (operator, inner.clone(), inner.clone()).prop_map(|(operator, left, right)| binary(operator, left, right)),
            inner.prop_map(|inner| Expr::Negate(Box::new(inner))),
        ]
    })
    .boxed()
}

/// Conditions over numbers made of `leaf`, values `any`, and truths `truth`.
fn condition(leaf: BoxedStrategy<Expr>, any: BoxedStrategy<Expr>, truth: BoxedStrategy<Expr>) -> BoxedStrategy<Expr> {
    use Operator::{And, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Or, Unequal};
    let compare = prop::sample::select(vec![Equal, Unequal, Less, LessOrEqual, Greater, GreaterOrEqual]);
    let equal = prop::sample::select(vec![Equal, Unequal]);
    let text = prop_oneof![Just("dead".to_owned()), "\\PC{0,6}", Just("\"\\\n\r\t'".to_owned())];
    let text = text.prop_map(|text| Expr::Literal(Literal::Text(text)));
    let base = prop_oneof![
        (compare, number(leaf.clone()), number(leaf)).prop_map(|(operator, left, right)| binary(operator, left, right)),
        (equal.clone(), any.clone(), text).prop_map(|(operator, left, right)| binary(operator, left, right)),
        (equal, any).prop_map(|(operator, value)| binary(operator, Expr::Literal(Literal::Null), value)),
        any_bool(),
        truth,
    ];
    base.prop_recursive(4, 16, 2, |inner| {
        let join = prop::sample::select(vec![And, Or, Equal]);
        prop_oneof![
            (join, inner.clone(), inner.clone()).prop_map(|(operator, left, right)| binary(operator, left, right)),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
    .boxed()
}

fn any_bool() -> impl Strategy<Value = Expr> {
    any::<bool>().prop_map(|value| Expr::Literal(Literal::Bool(value)))
}

fn row_condition() -> BoxedStrategy<Expr> {
    let field = field().prop_map(Expr::Field).boxed();
    condition(field.clone(), field.clone(), field)
}

fn with_filter(question: impl Strategy<Value = Question>) -> impl Strategy<Value = Expr> {
    (question, prop::option::of(row_condition().prop_map(Box::new)))
        .prop_map(|(question, filter)| Expr::Aggregate(Aggregate { question, filter }))
}

/// A whole invariant.
pub(super) fn document_expr() -> BoxedStrategy<Expr> {
    let about = prop::sample::select(vec!["modules", "a b", "where"]).prop_map(|name| Expr::About(name.to_owned()));
    let sum = number(field().prop_map(Expr::Field).boxed()).prop_map(|inner| Question::Sum(Box::new(inner)));
    let unique = prop::collection::btree_set(field(), 1..3).prop_map(|set| Question::Unique(set.into_iter().collect()));
    let numbers = prop_oneof![with_filter(Just(Question::Count)), with_filter(sum), about.clone()].boxed();
    let truths = prop_oneof![
        with_filter(unique),
        with_filter(field().prop_map(Question::Reference)),
        with_filter(row_condition().prop_map(|inner| Question::Every(Box::new(inner)))),
    ]
    .boxed();
    condition(numbers, about.boxed(), truths)
}

/// A row of the fields that expressions name, with values that are equal now and then.
pub(super) fn row() -> impl Strategy<Value = Row> {
    let value = prop_oneof![
        4 => (-2..3_i64).prop_map(Value::Int),
        2 => prop::sample::select(vec!["dead", "ok", "E1", "E2"]).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        1 => prop::sample::select(vec![1.0, 0.5, -0.0, f64::NAN, f64::INFINITY, 1e300]).prop_map(Value::Float),
        1 => prop::sample::select(vec![1, u64::MAX]).prop_map(Value::Uint),
        1 => Just(Value::Int(i64::MIN)),
        1 => (0..2_i64).prop_map(|ms| Value::Time(Timestamp::from_unix_ms(ms))),
        1 => Just(Value::Bytes(vec![1])),
    ];
    prop::collection::btree_map(field(), value, 0..6)
}

/// A row of few fields with few values, so that rows agree and refer to each other.
pub(super) fn dense_row() -> impl Strategy<Value = Row> {
    let serial = prop_oneof![Just(Value::Int(1)), Just(Value::Float(1.0)), Just(Value::Int(2)), Just(Value::Null)];
    let parent = prop::sample::select(vec!["E0", "E1", "E2", "E9"]).prop_map(Value::from);
    let quantity = prop_oneof![8 => (-1..3_i64).prop_map(Value::Int), 1 => Just(Value::Float(0.5))];
    let done = prop_oneof![4 => any::<bool>().prop_map(Value::Bool), 1 => Just(Value::Null)];
    let named = |name| move |value: Option<Value>| value.map(|value| (FieldName::new(name).unwrap(), value));
    let fields = (
        prop::option::weighted(0.8, serial).prop_map(named("serial")),
        prop::option::weighted(0.6, parent).prop_map(named("parent")),
        prop::option::weighted(0.8, quantity).prop_map(named("quantity")),
        prop::option::weighted(0.9, done).prop_map(named("done")),
    );
    fields.prop_map(|(serial, parent, quantity, done)| [serial, parent, quantity, done].into_iter().flatten().collect())
}
