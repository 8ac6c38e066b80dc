//! What an expression comes to. Total: every case ends in a value or in a reason why there is none.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use comity_model::{EntryId, FieldName, Value};

use super::{Aggregate, Expr, Literal, Operator};

/// The fields of a live entry.
pub type Row = BTreeMap<FieldName, Value>;

/// A value while it is computed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    /// Between the least `i64` and the greatest `u64`; times are milliseconds.
    Int(i128),
    /// Never NaN.
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// Why something cannot be computed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// A result has more than 64 bits.
    Overflow,
    /// Something is calculated with a number that has a fraction.
    Fraction,
    /// A number that is none, as other applications may write it.
    NotANumber,
    /// A condition is neither true nor false.
    NotATruth(&'static str),
    /// Something is calculated with what is no number.
    NoNumber(&'static str),
    /// Values without an order.
    NoOrder(&'static str, &'static str),
    /// A register of the document has no value.
    NotSet(String),
    /// A value of a sort that this release does not know.
    Unknown,
    /// It is so in entries: the first, and how many there are.
    In(EntryId, usize, Box<Self>),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow => f.write_str("a result leaves the range of 64 bits"),
            Self::Fraction => f.write_str("a number has a fraction, and only whole numbers are calculated with"),
            Self::NotANumber => f.write_str("a number is none (NaN)"),
            Self::NotATruth(found) => write!(f, "{found} stands where true or false should"),
            Self::NoNumber(found) => write!(f, "{found} stands where a whole number should"),
            Self::NoOrder(left, right) => write!(f, "{left} is neither smaller nor larger than {right}"),
            Self::NotSet(name) => write!(f, "about.{} is not set", crate::policy::excerpt(name)),
            Self::Unknown => f.write_str("a value is of a sort that this release does not know"),
            Self::In(entry, 1, trouble) => write!(f, "in {entry}, {trouble}"),
            Self::In(entry, 2, trouble) => write!(f, "in {entry} and one more entry, {trouble}"),
            Self::In(entry, all, trouble) => write!(f, "in {entry} and {} more entries, {trouble}", all - 1),
        }
    }
}

/// What names stand for.
pub(super) trait Names {
    fn field_value(&self, _: &FieldName) -> Option<&Value> {
        None
    }

    fn about_value(&self, _: &str) -> Option<&Value> {
        None
    }

    fn answer(&self, _: &Aggregate) -> Result<Val<'_>, Trouble> {
        Ok(Val::Null)
    }
}

impl Names for Row {
    fn field_value(&self, name: &FieldName) -> Option<&Value> {
        self.get(name)
    }
}

/// Keeps a number within the range of the language.
pub(super) fn in_range(value: i128) -> Option<i128> {
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
}

/// Evaluates an expression. The parser has bounded its depth.
pub(super) fn eval<'a>(expr: &'a Expr, names: &'a dyn Names) -> Result<Val<'a>, Trouble> {
    match expr {
        Expr::Literal(Literal::Null) => Ok(Val::Null),
        Expr::Literal(Literal::Bool(value)) => Ok(Val::Bool(*value)),
        Expr::Literal(Literal::Int(value)) => Ok(Val::Int(*value)),
        Expr::Literal(Literal::Text(text)) => Ok(Val::Text(text)),
        Expr::Field(field) => Val::of(names.field_value(field)),
        Expr::About(name) => match Val::of(names.about_value(name))? {
            Val::Null => Err(Trouble::NotSet(name.clone())),
            value => Ok(value),
        },
        Expr::Aggregate(aggregate) => names.answer(aggregate),
        Expr::Negate(inner) => calculate(Operator::Subtract, Val::Int(0), eval(inner, names)?),
        Expr::Not(inner) => Ok(Val::Bool(!truth(eval(inner, names))?)),
        Expr::Binary(operator, left, right) => binary(*operator, left, right, names),
    }
}

/// Evaluates a condition.
pub(super) fn eval_truth(expr: &Expr, names: &dyn Names) -> Result<bool, Trouble> {
    truth(eval(expr, names))
}

fn truth(value: Result<Val<'_>, Trouble>) -> Result<bool, Trouble> {
    match value? {
        Val::Bool(value) => Ok(value),
        other => Err(Trouble::NotATruth(other.sort())),
    }
}

fn binary<'a>(operator: Operator, left: &'a Expr, right: &'a Expr, names: &'a dyn Names) -> Result<Val<'a>, Trouble> {
    use Operator::{Add, And, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Multiply, Or, Subtract, Unequal};
    match operator {
        And | Or => {
            // One side may settle it although the other cannot be computed.
            let settles = operator == Or;
            match (truth(eval(left, names)), truth(eval(right, names))) {
                (Ok(value), _) | (_, Ok(value)) if value == settles => Ok(Val::Bool(settles)),
                (Err(trouble), _) | (_, Err(trouble)) => Err(trouble),
                _ => Ok(Val::Bool(!settles)),
            }
        }
        Equal | Unequal => {
            let equal = match (left, right) {
                // Whether it is set at all: the one question that an unset register answers.
                (Expr::About(name), Expr::Literal(Literal::Null))
                | (Expr::Literal(Literal::Null), Expr::About(name)) => {
                    Val::of(names.about_value(name)).is_ok_and(|value| value == Val::Null)
                }
                _ => eval(left, names)?.equals(eval(right, names)?),
            };
            Ok(Val::Bool(equal == (operator == Equal)))
        }
        Less | LessOrEqual | Greater | GreaterOrEqual => {
            let order = eval(left, names)?.order(eval(right, names)?)?;
            Ok(Val::Bool(match operator {
                Less => order.is_lt(),
                LessOrEqual => order.is_le(),
                Greater => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        Add | Subtract | Multiply => calculate(operator, eval(left, names)?, eval(right, names)?),
    }
}

fn calculate<'a>(operator: Operator, left: Val<'_>, right: Val<'_>) -> Result<Val<'a>, Trouble> {
    let (left, right) = (left.number()?, right.number()?);
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        _ => left.checked_mul(right),
    };
    result.and_then(in_range).map(Val::Int).ok_or(Trouble::Overflow)
}

impl<'a> Val<'a> {
    /// Takes what stands in a register. What was never written is null.
    pub(super) fn of(value: Option<&'a Value>) -> Result<Self, Trouble> {
        Ok(match value {
            None | Some(Value::Null) => Self::Null,
            Some(Value::Bool(value)) => Self::Bool(*value),
            Some(Value::Int(value) | Value::Counter(value)) => Self::Int((*value).into()),
            Some(Value::Uint(value)) => Self::Int((*value).into()),
            Some(Value::Time(time)) => Self::Int(time.unix_ms.into()),
            Some(Value::Float(value)) if value.is_nan() => return Err(Trouble::NotANumber),
            Some(Value::Float(value)) => Self::Float(*value),
            Some(Value::Text(text)) => Self::Text(text),
            Some(Value::Bytes(bytes)) => Self::Bytes(bytes),
            Some(_) => return Err(Trouble::Unknown),
        })
    }

    pub(super) const fn sort(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
        }
    }

    pub(super) const fn number(self) -> Result<i128, Trouble> {
        match self {
            Self::Int(value) => Ok(value),
            Self::Float(_) => Err(Trouble::Fraction),
            other => Err(Trouble::NoNumber(other.sort())),
        }
    }

    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(_) | Self::Float(_), Self::Int(_) | Self::Float(_)) => self.order(other) == Ok(Ordering::Equal),
            _ => self == other,
        }
    }

    fn order(self, other: Self) -> Result<Ordering, Trouble> {
        Ok(match (self, other) {
            (Self::Int(left), Self::Int(right)) => left.cmp(&right),
            (Self::Int(left), Self::Float(right)) => int_to_float(left, right),
            (Self::Float(left), Self::Int(right)) => int_to_float(right, left).reverse(),
            (Self::Float(left), Self::Float(right)) => {
                return left.partial_cmp(&right).ok_or(Trouble::NotANumber);
            }
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            _ => return Err(Trouble::NoOrder(self.sort(), other.sort())),
        })
    }
}

/// Compares exactly: no whole number is rounded. `float` is not NaN, and `int` has 65 bits.
fn int_to_float(int: i128, float: f64) -> Ordering {
    // 2^70 is beyond every whole number of the language, and what is below it converts exactly once it is whole.
    const BEYOND: f64 = (1_u128 << 70) as f64;
    if float >= BEYOND {
        return Ordering::Less;
    }
    if float <= -BEYOND {
        return Ordering::Greater;
    }
    let whole = float.floor();
    int.cmp(&(whole as i128)).then(if float > whole { Ordering::Less } else { Ordering::Equal })
}

/// A value as a key: equal exactly when `==` says so.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Key {
    Bool(bool),
    Int(i128),
    /// The bits of a number that equals no whole number in range.
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Key {
    /// Makes a key of a value; `None` for null.
    pub(super) fn of(value: Val<'_>) -> Option<Self> {
        Some(match value {
            Val::Null => return None,
            Val::Bool(value) => Self::Bool(value),
            Val::Int(value) => Self::Int(value),
            Val::Float(value) => {
                let whole = value as i128;
                if int_to_float(whole, value).is_eq() { Self::Int(whole) } else { Self::Float(value.to_bits()) }
            }
            Val::Text(text) => Self::Text(text.to_owned()),
            Val::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(bits) => f64::from_bits(*bits).fmt(f),
            Self::Text(text) => write!(f, "\"{}\"", crate::policy::excerpt(text)),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}
