//! The syntax tree of an invariant, and its canonical text.

use std::fmt;

use comity_model::FieldName;

/// A constant in an expression.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Literal {
    /// `null`: nothing known, or never written.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 64 bits, signed or unsigned.
    Int(i128),
    /// A text, in quotes.
    Text(String),
}

/// What joins two expressions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Operator {
    /// `or`
    Or,
    /// `and`
    And,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
}

impl Operator {
    /// The sign or word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
        }
    }

    const fn binds(self) -> u8 {
        match self {
            Self::Or => OR,
            Self::And => AND,
            Self::Add | Self::Subtract => SUM,
            Self::Multiply => PRODUCT,
            _ => COMPARISON,
        }
    }
}

/// What is asked of all live entries together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Question {
    /// `count(entries)`: how many there are.
    Count,
    /// `sum(quantity)`: the sum of a whole number of each. An entry in which it is null adds nothing.
    Sum(Box<Expr>),
    /// `unique(serial)`: no two have the same values there. An entry in which one is null is left out.
    Unique(Vec<FieldName>),
    /// `reference(parent)`: each value is the id of a live entry of this document. Null refers to nothing.
    Reference(FieldName),
    /// `every(end >= start)`: it is true in each.
    Every(Box<Expr>),
}

/// A question, and of which entries it is asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Aggregate {
    /// What is asked.
    pub question: Question,
    /// `where …`: only of entries in which this is true.
    pub filter: Option<Box<Expr>>,
}

/// An expression. [`Display`](fmt::Display) gives its canonical text, which reads back as the same expression.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Expr {
    /// A constant.
    Literal(Literal),
    /// A field of the entry that is looked at; only inside an aggregate.
    Field(FieldName),
    /// `about.modules`: one of the document's own registers; only outside of aggregates.
    About(String),
    /// Something about all live entries.
    Aggregate(Aggregate),
    /// `-x`
    Negate(Box<Expr>),
    /// `not x`
    Not(Box<Expr>),
    /// Two expressions, joined.
    Binary(Operator, Box<Expr>, Box<Expr>),
}

const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARISON: u8 = 4;
const SUM: u8 = 5;
const PRODUCT: u8 = 6;
const NEGATION: u8 = 7;
const ATOM: u8 = 8;

/// Words that a bare name cannot be. A field of such a name stands in backticks.
pub(super) const RESERVED: &[&str] = &[
    "about",
    "and",
    "count",
    "entries",
    "every",
    "false",
    "not",
    "null",
    "or",
    "reference",
    "sum",
    "true",
    "unique",
    "where",
];

impl Expr {
    /// Calls a function with this expression and with everything in it.
    pub fn visit<'e>(&'e self, see: &mut dyn FnMut(&'e Self)) {
        see(self);
        match self {
            Self::Literal(_) | Self::Field(_) | Self::About(_) => {}
            Self::Aggregate(aggregate) => {
                if let Question::Sum(inner) | Question::Every(inner) = &aggregate.question {
                    inner.visit(see);
                }
                if let Some(filter) = &aggregate.filter {
                    filter.visit(see);
                }
            }
            Self::Negate(inner) | Self::Not(inner) => inner.visit(see),
            Self::Binary(_, left, right) => {
                left.visit(see);
                right.visit(see);
            }
        }
    }

    const fn binds(&self) -> u8 {
        match self {
            Self::Not(_) => NOT,
            Self::Negate(_) => NEGATION,
            Self::Binary(operator, ..) => operator.binds(),
            _ => ATOM,
        }
    }

    /// Writes it where at least this binding is needed, in parentheses if it has less.
    fn write(&self, f: &mut fmt::Formatter<'_>, needed: u8) -> fmt::Result {
        if self.binds() < needed { write!(f, "({self})") } else { fmt::Display::fmt(self, f) }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(literal) => fmt::Display::fmt(literal, f),
            Self::Field(field) => write_name(f, field.as_str()),
            Self::About(name) => {
                f.write_str("about.")?;
                write_name(f, name)
            }
            Self::Aggregate(aggregate) => fmt::Display::fmt(aggregate, f),
            Self::Not(inner) => {
                f.write_str("not ")?;
                inner.write(f, NOT)
            }
            Self::Negate(inner) => match &**inner {
                // `-5` is the constant.
                Self::Literal(Literal::Int(0..)) => write!(f, "-({inner})"),
                _ => {
                    f.write_str("-")?;
                    inner.write(f, NEGATION)
                }
            },
            Self::Binary(operator, left, right) => {
                let binds = operator.binds();
                // Sums and the like group from the left; comparisons do not chain.
                left.write(f, if binds == COMPARISON { binds + 1 } else { binds })?;
                write!(f, " {} ", operator.as_str())?;
                right.write(f, binds + 1)
            }
        }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.question {
            Question::Count => f.write_str("count(entries")?,
            Question::Sum(inner) => write!(f, "sum({inner}")?,
            Question::Unique(fields) => {
                for (i, field) in fields.iter().enumerate() {
                    f.write_str(if i == 0 { "unique(" } else { ", " })?;
                    write_name(f, field.as_str())?;
                }
            }
            Question::Reference(field) => {
                f.write_str("reference(")?;
                write_name(f, field.as_str())?;
            }
            Question::Every(inner) => write!(f, "every({inner}")?,
        }
        if let Some(filter) = &self.filter {
            write!(f, " where {filter}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Text(text) => {
                f.write_str("\"")?;
                for letter in text.chars() {
                    match letter {
                        '"' => f.write_str("\\\"")?,
                        '\\' => f.write_str("\\\\")?,
                        '\n' => f.write_str("\\n")?,
                        '\r' => f.write_str("\\r")?,
                        '\t' => f.write_str("\\t")?,
                        other => write!(f, "{other}")?,
                    }
                }
                f.write_str("\"")
            }
        }
    }
}

/// Writes a name, in backticks unless it is a plain word. Only ASCII letters count as plain: what else is a letter
/// changes from one edition of Unicode to the next.
pub(super) fn write_name(f: &mut dyn fmt::Write, name: &str) -> fmt::Result {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !RESERVED.contains(&name);
    if plain { f.write_str(name) } else { write!(f, "`{}`", name.replace('`', "``")) }
}
