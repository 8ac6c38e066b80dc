//! Reads an expression. Nesting is bounded while it is read, and so is everything that walks the tree later.

mod aggregate;

use comity_model::{FieldName, LIFE};

use super::token::{Token, tokens};
use super::{Expr, ExprError, Literal, Operator};
use crate::policy::{excerpt, nearest};

impl Expr {
    /// Longest text, in bytes.
    pub const BYTES_MAX: usize = 4096;
    /// Deepest tree: a constant or name has depth 1, and `a + b + c` has depth 3.
    pub const DEPTH_MAX: usize = 64;
    /// Most fields in one `unique`.
    pub const UNIQUE_FIELDS_MAX: usize = 16;

    /// Reads an expression that is true or false of a whole document.
    ///
    /// # Errors
    /// Where it cannot be read, and where it could never be computed: a text added to a number, a field outside of an
    /// aggregate.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        let mut parser = Parser { tokens: tokens(text)?, next: 0, nesting: 0, row: false };
        let node = parser.or()?;
        parser.end()?;
        node.must_be(Sort::Truth)?;
        Ok(node.expr)
    }
}

/// What an expression gives, as far as that is known before there are values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Null,
    Truth,
    Number,
    Text,
    /// A value of a register.
    Any,
}

impl Sort {
    const fn in_words(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Truth => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Any => "a value",
        }
    }
}

struct Node {
    expr: Expr,
    sort: Sort,
    depth: usize,
    /// Where it begins, in bytes.
    at: usize,
}

impl Node {
    fn must_be(&self, wanted: Sort) -> Result<(), ExprError> {
        if self.sort == wanted || self.sort == Sort::Any {
            return Ok(());
        }
        let what = format!("this is {}, and must be {}", self.sort.in_words(), wanted.in_words());
        let help = match (wanted, self.sort) {
            (Sort::Truth, _) => "compare it with something, as in count(entries) == about.modules",
            _ => "only whole numbers are added, subtracted and multiplied",
        };
        Err(ExprError::new(self.at, what, help))
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    nesting: usize,
    /// Whether it is inside an aggregate, where names are fields.
    row: bool,
}

const COMPARISONS: &[Operator] = &[
    Operator::Equal,
    Operator::Unequal,
    Operator::LessOrEqual,
    Operator::GreaterOrEqual,
    Operator::Less,
    Operator::Greater,
];

const FUNCTIONS: &[&str] = &["count", "every", "reference", "sum", "unique"];

impl Parser {
    fn or(&mut self) -> Result<Node, ExprError> {
        self.chain(&[Operator::Or], Sort::Truth, Sort::Truth, Self::and)
    }

    fn and(&mut self) -> Result<Node, ExprError> {
        self.chain(&[Operator::And], Sort::Truth, Sort::Truth, Self::not)
    }

    fn not(&mut self) -> Result<Node, ExprError> {
        let at = self.at();
        if !self.take_word("not") {
            return self.comparison();
        }
        let inner = self.nested(at, Self::not)?;
        inner.must_be(Sort::Truth)?;
        node(Expr::Not(Box::new(inner.expr)), Sort::Truth, inner.depth, at)
    }

    fn comparison(&mut self) -> Result<Node, ExprError> {
        let left = self.sum()?;
        let Some((at, operator)) = self.take_operator(COMPARISONS) else { return Ok(left) };
        let right = self.sum()?;
        comparable(operator, &left, &right, at)?;
        if let Some((at, _)) = self.take_operator(COMPARISONS) {
            let what = "comparisons do not chain".to_owned();
            return Err(ExprError::new(at, what, "join two of them with `and`, as in a < b and b < c"));
        }
        join(operator, Sort::Truth, left, right)
    }

    fn sum(&mut self) -> Result<Node, ExprError> {
        self.chain(&[Operator::Add, Operator::Subtract], Sort::Number, Sort::Number, Self::product)
    }

    fn product(&mut self) -> Result<Node, ExprError> {
        self.chain(&[Operator::Multiply], Sort::Number, Sort::Number, Self::unary)
    }

    /// Reads operands joined by operators of one strength, grouped from the left.
    fn chain(
        &mut self,
        operators: &[Operator],
        takes: Sort,
        gives: Sort,
        operand: fn(&mut Self) -> Result<Node, ExprError>,
    ) -> Result<Node, ExprError> {
        let mut left = operand(self)?;
        while let Some((_, operator)) = self.take_operator(operators) {
            let right = operand(self)?;
            left.must_be(takes)?;
            right.must_be(takes)?;
            left = join(operator, gives, left, right)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, ExprError> {
        let at = self.at();
        if !self.take_sign("-") {
            return self.atom();
        }
        if let Token::Int(value) = *self.peek() {
            self.next += 1;
            return number(-value, at);
        }
        let inner = self.nested(at, Self::unary)?;
        inner.must_be(Sort::Number)?;
        node(Expr::Negate(Box::new(inner.expr)), Sort::Number, inner.depth, at)
    }

    fn atom(&mut self) -> Result<Node, ExprError> {
        let at = self.at();
        let token = self.peek().clone();
        if token != Token::End {
            self.next += 1;
        }
        match token {
            Token::Int(value) => number(value, at),
            Token::Text(text) => node(Expr::Literal(Literal::Text(text)), Sort::Text, 0, at),
            Token::Sign("(") => {
                let inner = self.nested(at, Self::or)?;
                self.close()?;
                Ok(Node { at, ..inner })
            }
            Token::Word(word) => self.word(&word, at),
            Token::Name(name) => self.field(&name, at),
            other => {
                let what = format!("{} stands where a value should", other.in_words());
                Err(ExprError::new(at, what, "write a number, a \"text\", a field, about.NAME or count(entries)"))
            }
        }
    }

    fn word(&mut self, word: &str, at: usize) -> Result<Node, ExprError> {
        match word {
            "null" => node(Expr::Literal(Literal::Null), Sort::Null, 0, at),
            "true" | "false" => node(Expr::Literal(Literal::Bool(word == "true")), Sort::Truth, 0, at),
            "about" => self.about(at),
            _ if FUNCTIONS.contains(&word) => self.aggregate(word, at),
            _ if super::expr::RESERVED.contains(&word) => {
                let what = format!("`{word}` stands where a value should");
                Err(ExprError::new(at, what, "a field of that name stands in backticks"))
            }
            _ if *self.peek() == Token::Sign("(") => {
                let known = nearest::advice(word, FUNCTIONS);
                Err(ExprError::new(at, format!("there is no function {}", excerpt(word)), &known))
            }
            _ => self.field(word, at),
        }
    }

    fn field(&mut self, name: &str, at: usize) -> Result<Node, ExprError> {
        let field = check_field(name, at)?;
        if !self.row {
            let what = format!("{} has a value in every entry", excerpt(name));
            let help = "say what of all entries is meant, as in sum(quantity) or every(end >= start); a register of \
                        the document is about.NAME, and a text stands in quotes";
            return Err(ExprError::new(at, what, help));
        }
        node(Expr::Field(field), Sort::Any, 0, at)
    }

    fn about(&mut self, at: usize) -> Result<Node, ExprError> {
        self.must_sign(".", "write about.NAME, as in about.modules")?;
        let (name, _) = self.name("write about.NAME, as in about.modules")?;
        if self.row {
            let what = format!("about.{} stands inside of an aggregate", excerpt(&name));
            let help = "compare it outside, as in count(entries where …) == about.NAME";
            return Err(ExprError::new(at, what, help));
        }
        node(Expr::About(name), Sort::Any, 0, at)
    }

    fn name(&mut self, help: &str) -> Result<(String, usize), ExprError> {
        let at = self.at();
        let name = match self.peek() {
            Token::Word(word) if !super::expr::RESERVED.contains(&word.as_str()) => word.clone(),
            Token::Name(name) => name.clone(),
            other => {
                let what = format!("{} stands where a name should", other.in_words());
                return Err(ExprError::new(at, what, help));
            }
        };
        self.next += 1;
        FieldName::new(&name).map_err(|error| ExprError::new(at, error.to_string(), help))?;
        Ok((name, at))
    }

    /// Reads something that is one level deeper.
    fn nested<T>(&mut self, at: usize, read: impl FnOnce(&mut Self) -> Result<T, ExprError>) -> Result<T, ExprError> {
        // Parentheses are not in the tree, so there may be as many again; the depth of the tree is checked by itself.
        if self.nesting == 2 * Expr::DEPTH_MAX {
            return Err(too_deep(at));
        }
        self.nesting += 1;
        let result = read(self);
        self.nesting -= 1;
        result
    }

    fn end(&self) -> Result<(), ExprError> {
        let help = "join two conditions with `and` or `or`";
        match self.peek() {
            Token::End => Ok(()),
            Token::Sign(")") => {
                Err(ExprError::new(self.at(), "`)` closes nothing".to_owned(), "remove it, or open it before"))
            }
            other => Err(ExprError::new(self.at(), format!("{} does not belong here", other.in_words()), help)),
        }
    }

    fn close(&mut self) -> Result<(), ExprError> {
        self.must_sign(")", "close the parenthesis")
    }

    fn must_sign(&mut self, sign: &'static str, help: &str) -> Result<(), ExprError> {
        if self.take_sign(sign) {
            return Ok(());
        }
        let what = format!("{} stands where `{sign}` should", self.peek().in_words());
        Err(ExprError::new(self.at(), what, help))
    }

    fn take_sign(&mut self, sign: &'static str) -> bool {
        let found = *self.peek() == Token::Sign(sign);
        self.next += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(found) if found == word);
        self.next += usize::from(found);
        found
    }

    fn take_operator(&mut self, operators: &[Operator]) -> Option<(usize, Operator)> {
        let word = match self.peek() {
            Token::Sign(sign) => sign,
            Token::Word(word) => word.as_str(),
            _ => return None,
        };
        let operator = operators.iter().find(|operator| operator.as_str() == word)?;
        let at = self.at();
        self.next += 1;
        Some((at, *operator))
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn at(&self) -> usize {
        self.tokens[self.next].0
    }
}

fn node(expr: Expr, sort: Sort, depth_inside: usize, at: usize) -> Result<Node, ExprError> {
    if depth_inside >= Expr::DEPTH_MAX {
        return Err(too_deep(at));
    }
    Ok(Node { expr, sort, depth: depth_inside + 1, at })
}

fn join(operator: Operator, sort: Sort, left: Node, right: Node) -> Result<Node, ExprError> {
    let depth = left.depth.max(right.depth);
    node(Expr::Binary(operator, Box::new(left.expr), Box::new(right.expr)), sort, depth, left.at)
}

fn too_deep(at: usize) -> ExprError {
    let what = format!("the expression is nested more than {} deep", Expr::DEPTH_MAX);
    ExprError::new(at, what, "split it into several rules")
}

fn number(value: i128, at: usize) -> Result<Node, ExprError> {
    match super::eval::in_range(value) {
        Some(value) => node(Expr::Literal(Literal::Int(value)), Sort::Number, 0, at),
        None => Err(ExprError::new(at, "the number is too large".to_owned(), "numbers have 64 bits")),
    }
}

fn check_field(name: &str, at: usize) -> Result<FieldName, ExprError> {
    if name == LIFE {
        let help = "rules see live entries only, so leave it out";
        return Err(ExprError::new(at, format!("{LIFE} says whether an entry is deleted"), help));
    }
    FieldName::new(name).map_err(|error| ExprError::new(at, error.to_string(), "correct the name"))
}

fn comparable(operator: Operator, left: &Node, right: &Node, at: usize) -> Result<(), ExprError> {
    let ordered = !matches!(operator, Operator::Equal | Operator::Unequal);
    if ordered && let Some(side) = [left, right].into_iter().find(|n| matches!(n.sort, Sort::Null | Sort::Truth)) {
        let what = format!("{} is neither smaller nor larger than anything", side.sort.in_words());
        return Err(ExprError::new(side.at, what, "compare it with == or !="));
    }
    if left.sort != right.sort && left.sort != Sort::Any && right.sort != Sort::Any {
        let what = format!("{} and {} are never equal", left.sort.in_words(), right.sort.in_words());
        return Err(ExprError::new(at, what, "compare values of one sort"));
    }
    Ok(())
}
