//! The hash of a policy, over what it says and not over how it is written.

use std::fmt::Display;

use comity_model::{FieldName, Value};
use sha2::{Digest, Sha256};

use super::{FieldPolicy, KindPolicy, Policy};

impl Policy {
    /// Hashes a canonical form: every member in a fixed order with its default filled in, every part preceded by its
    /// length, and every list by its number. Sets were sorted when the policy was read, and expressions are printed
    /// from their trees.
    pub(super) fn compute_hash(&self) -> [u8; 32] {
        let mut form = Form(Sha256::new());
        form.text("comity policy 1");
        form.number(self.epoch);
        form.list(&self.kinds, |form, (name, kind)| {
            form.text(name.as_str());
            form.kind(kind);
        });
        form.0.finalize().into()
    }
}

struct Form(Sha256);

impl Form {
    fn kind(&mut self, kind: &KindPolicy) {
        let KindPolicy { default, order, groups, natural_key, clock_uncertainty_ms, fields, invariants } = kind;
        self.texts(default);
        self.texts(order);
        self.list(groups, |form, group| form.texts(group));
        self.texts(natural_key);
        self.number(*clock_uncertainty_ms);
        self.list(fields, |form, (name, field)| form.field(name, field));
        self.list(invariants, |form, invariant| {
            form.text(&invariant.name);
            form.text(&invariant.expr.to_string());
        });
    }

    fn field(&mut self, name: &FieldName, field: &FieldPolicy) {
        let FieldPolicy { rules, order, always_manual, second_reviewer, depends_on } = field;
        self.text(name.as_str());
        self.list(rules.as_slice(), |form, rules| form.texts(rules));
        self.list(order.as_slice(), |form, order| form.texts(order));
        self.list(always_manual, |form, value| form.value(value));
        self.number((*second_reviewer).into());
        self.texts(depends_on);
    }

    /// Only the sorts of values that a policy can name occur.
    fn value(&mut self, value: &Value) {
        self.text(value.type_name());
        self.text(&value.to_string());
    }

    fn texts<T: Display>(&mut self, texts: &[T]) {
        self.list(texts, |form, text| form.text(&text.to_string()));
    }

    fn list<T>(&mut self, items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>, put: impl Fn(&mut Self, T)) {
        let items = items.into_iter();
        self.number(u64::try_from(items.len()).unwrap_or(u64::MAX));
        items.for_each(|item| put(self, item));
    }

    fn text(&mut self, text: &str) {
        self.number(u64::try_from(text.len()).unwrap_or(u64::MAX));
        self.0.update(text);
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }
}
