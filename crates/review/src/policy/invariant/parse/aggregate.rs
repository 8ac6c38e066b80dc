//! Reads what is asked of all entries: `count(entries where …)` and the like.

use comity_model::FieldName;

use super::{Parser, Sort, check_field, node};
use crate::policy::excerpt;
use crate::policy::invariant::{Aggregate, Expr, ExprError, Question};

impl Parser {
    pub(super) fn aggregate(&mut self, function: &str, at: usize) -> Result<super::Node, ExprError> {
        if self.row {
            let what = format!("{function}(…) stands inside of another aggregate");
            return Err(ExprError::new(at, what, "join the two with `and`, or compare them, outside"));
        }
        self.must_sign("(", &format!("write {function}(…); a field of that name stands in backticks"))?;
        self.row = true;
        let mut depth = 0;
        let (question, sort) = self.nested(at, |parser| parser.question(function, &mut depth))?;
        let filter = if self.take_word("where") {
            let filter = self.nested(at, Self::or)?;
            filter.must_be(Sort::Truth)?;
            depth = depth.max(filter.depth);
            Some(Box::new(filter.expr))
        } else {
            None
        };
        self.row = false;
        self.close()?;
        node(Expr::Aggregate(Aggregate { question, filter }), sort, depth, at)
    }

    fn question(&mut self, function: &str, depth: &mut usize) -> Result<(Question, Sort), ExprError> {
        match function {
            "count" => {
                let at = self.at();
                if !self.take_word("entries") {
                    let what = format!("{} stands where `entries` should", self.peek().in_words());
                    let help = "write count(entries) or count(entries where status == \"dead\")";
                    return Err(ExprError::new(at, what, help));
                }
                Ok((Question::Count, Sort::Number))
            }
            "sum" => {
                let inner = self.sum()?;
                inner.must_be(Sort::Number)?;
                *depth = inner.depth;
                Ok((Question::Sum(Box::new(inner.expr)), Sort::Number))
            }
            "every" => {
                let inner = self.or()?;
                inner.must_be(Sort::Truth)?;
                *depth = inner.depth;
                Ok((Question::Every(Box::new(inner.expr)), Sort::Truth))
            }
            "reference" => {
                let (name, at) = self.name("write reference(FIELD)")?;
                Ok((Question::Reference(check_field(&name, at)?), Sort::Truth))
            }
            _ => Ok((Question::Unique(self.unique_fields()?), Sort::Truth)),
        }
    }

    fn unique_fields(&mut self) -> Result<Vec<FieldName>, ExprError> {
        let mut fields = Vec::new();
        loop {
            let (name, at) = self.name("write unique(FIELD) or unique(FIELD, FIELD)")?;
            let field = check_field(&name, at)?;
            if fields.contains(&field) {
                let what = format!("{} stands twice", excerpt(&name));
                return Err(ExprError::new(at, what, "name it once"));
            }
            fields.push(field);
            if fields.len() > Expr::UNIQUE_FIELDS_MAX {
                let what = format!("unique(…) may name {} fields", Expr::UNIQUE_FIELDS_MAX);
                return Err(ExprError::new(at, what, "name fewer"));
            }
            if !self.take_sign(",") {
                return Ok(fields);
            }
        }
    }
}
