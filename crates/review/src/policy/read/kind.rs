//! Reads what a policy says of one kind.

use std::collections::{BTreeMap, BTreeSet};

use comity_model::{FieldName, Value};
use toml::de::{DeTable, DeValue};

use super::{At, Item, Key, Reader, describe};
use crate::policy::{Expr, FieldPolicy, Invariant, KindPolicy, Rule, excerpt, locate, time};

const KIND_MEMBERS: &[&str] = &["default", "order", "groups", "natural-key", "clock-uncertainty", "field", "invariant"];
const FIELD_MEMBERS: &[&str] = &["policy", "order", "always-manual", "second-reviewer", "depends-on"];
const INVARIANT_MEMBERS: &[&str] = &["name", "expr"];

/// An order of roles, and where it stands, to say later whether it is needed.
type Order = At<Vec<String>>;

impl Reader<'_> {
    pub(super) fn kind(&mut self, table: &DeTable<'_>) -> KindPolicy {
        let clock_uncertainty_ms = KindPolicy::CLOCK_UNCERTAINTY_MS;
        let mut kind = KindPolicy { clock_uncertainty_ms, ..KindPolicy::default() };
        let (mut default, mut order, mut fields) = (None, None, Vec::new());
        for (key, item) in table {
            match key.get_ref().as_ref() {
                "default" => default = Some(self.rules(key, item)),
                "order" => order = Some(self.order(key, item)),
                "groups" => kind.groups = self.groups(item),
                "natural-key" => kind.natural_key = self.field_list(key, item),
                "clock-uncertainty" => kind.clock_uncertainty_ms = self.clock_uncertainty(item),
                "field" => fields = self.fields(key, item),
                "invariant" => kind.invariants = self.invariants(key, item),
                _ => self.unknown(key, "a kind", KIND_MEMBERS),
            }
        }
        self.orders(default.as_ref(), order.as_ref(), &fields);
        kind.default = default.map(|rules| rules.it).unwrap_or_default();
        kind.order = order.map(|order| order.it).unwrap_or_default();
        kind.fields = fields.into_iter().filter_map(FieldRead::named).collect::<BTreeMap<_, _>>();
        kind
    }

    /// Reads a list of rules. A rule that could never be reached is a fault: whoever wrote it expects something of it.
    fn rules(&mut self, key: &Key<'_>, item: &Item<'_>) -> At<Vec<Rule>> {
        let mut rules: Vec<Rule> = Vec::new();
        for word in self.words(key, item, Rule::ALL.len()) {
            match word.it.parse::<Rule>() {
                Err(error) => {
                    self.fault(word.byte, format!("there is no rule {:?}", excerpt(&word.it)), &error.help);
                }
                Ok(rule) if rules.last() == Some(&Rule::Manual) => {
                    let what = format!("{rule} stands after manual, which always decides");
                    self.fault(word.byte, what, "put manual last");
                }
                Ok(rule) => rules.push(rule),
            }
        }
        At { byte: key.span().start, it: rules }
    }

    fn order(&mut self, key: &Key<'_>, item: &Item<'_>) -> Order {
        let words = self.words(key, item, KindPolicy::ROLES_MAX);
        for word in &words {
            self.word_fits("the role", &At { byte: word.byte, it: &word.it });
        }
        At { byte: key.span().start, it: words.into_iter().map(|word| word.it).collect() }
    }

    /// Checks that every `user-priority` has an order of roles, and every order a `user-priority`.
    fn orders(&mut self, default: Option<&At<Vec<Rule>>>, order: Option<&Order>, fields: &[FieldRead]) {
        let wants = |rules: Option<&At<Vec<Rule>>>| {
            rules.filter(|rules| rules.it.contains(&Rule::UserPriority)).map(|rules| rules.byte)
        };
        let mut used = false;
        let inherited = fields.iter().map(|field| (field.rules.as_ref().or(default), field.order.as_ref()));
        for (rules, own) in inherited.chain([(default, None)]) {
            match (wants(rules), own.or(order)) {
                (Some(byte), None) => {
                    let help = "add the roles, the first before the others: order = [\"expert\", \"regular\"]";
                    self.fault(byte, "user-priority has no order of roles".to_owned(), help);
                }
                (Some(_), Some(_)) => used |= own.is_none(),
                (None, _) => {
                    if let Some(own) = own {
                        self.idle_order(own.byte);
                    }
                }
            }
        }
        if let Some(order) = order
            && !used
        {
            self.idle_order(order.byte);
        }
    }

    fn idle_order(&mut self, byte: usize) {
        let what = "order is for user-priority, which is not among the rules here".to_owned();
        self.fault(byte, what, "add \"user-priority\" to the rules, or remove the order");
    }

    fn groups(&mut self, item: &Item<'_>) -> Vec<Vec<FieldName>> {
        let help = "write a list of lists of fields, as in groups = [[\"status\", \"comment\"]]";
        let Some(list) = item.get_ref().as_array() else {
            self.fault(item.span().start, format!("groups is {}", describe(item)), help);
            return Vec::new();
        };
        if let Some(extra) = list.get(KindPolicy::GROUPS_MAX) {
            self.too_many(extra.span().start, list.len(), KindPolicy::GROUPS_MAX, "groups");
        }
        let mut groups: Vec<Vec<FieldName>> = Vec::new();
        for item in list.iter().take(KindPolicy::GROUPS_MAX) {
            let byte = item.span().start;
            if item.get_ref().as_array().is_none() {
                self.fault(byte, format!("groups holds {}", describe(item)), help);
                continue;
            }
            let faults = self.faults.len();
            let group = self.field_list(&Key::new(item.span(), "a group".into()), item);
            if self.faults.len() > faults {
                continue;
            }
            if group.len() < 2 {
                self.fault(
                    byte,
                    format!("a group has {} fields", group.len()),
                    "name two or more that belong together",
                );
            } else if groups.contains(&group) {
                self.fault(byte, "the same group stands twice".to_owned(), "keep one of the two");
            } else {
                groups.push(group);
            }
        }
        groups.sort();
        groups
    }

    fn clock_uncertainty(&mut self, item: &Item<'_>) -> u64 {
        let max = KindPolicy::CLOCK_UNCERTAINTY_MS_MAX;
        let read = item.get_ref().as_str().and_then(time::parse_ms).filter(|ms| *ms <= max);
        read.unwrap_or_else(|| {
            let what = format!("clock-uncertainty is {}", describe(item));
            let help = format!("write how far a clock may be off, 0s to {}, as in \"60s\"", time::show_ms(max));
            self.fault(item.span().start, what, &help);
            0
        })
    }

    fn fields(&mut self, key: &Key<'_>, item: &Item<'_>) -> Vec<FieldRead> {
        let Some(table) = self.table(key, item, "[kind.NAME.field.FIELD]") else { return Vec::new() };
        let mut fields = Vec::new();
        for (key, item) in self.bounded(table, KindPolicy::FIELDS_MAX, "fields") {
            let name = FieldName::new(key.get_ref());
            if let Err(error) = &name {
                self.fault(key.span().start, error.to_string(), "use the name of a field");
            }
            if let Some(table) = self.table(key, item, "[kind.NAME.field.FIELD]") {
                fields.push(self.field(name.ok(), table));
            }
        }
        fields
    }

    fn field(&mut self, name: Option<FieldName>, table: &DeTable<'_>) -> FieldRead {
        let mut read = FieldRead { name, rules: None, order: None, rest: FieldPolicy::default() };
        for (key, item) in table {
            match key.get_ref().as_ref() {
                "policy" => read.rules = Some(self.rules(key, item)),
                "order" => read.order = Some(self.order(key, item)),
                "always-manual" => read.rest.always_manual = self.values(item),
                "second-reviewer" => match item.get_ref().as_bool() {
                    Some(needed) => read.rest.second_reviewer = needed,
                    None => {
                        let what = format!("second-reviewer is {}", describe(item));
                        self.fault(item.span().start, what, "write true or false");
                    }
                },
                "depends-on" => {
                    read.rest.depends_on = self.field_list(key, item);
                    if read.name.as_ref().is_some_and(|name| read.rest.depends_on.contains(name)) {
                        self.fault(item.span().start, "a field depends on itself".to_owned(), "leave it out");
                    }
                }
                _ => self.unknown(key, "a field", FIELD_MEMBERS),
            }
        }
        read
    }

    /// Reads the values about which a person decides always.
    fn values(&mut self, item: &Item<'_>) -> Vec<Value> {
        let help = "write a list of values, as in always-manual = [\"dead\"]";
        let Some(list) = item.get_ref().as_array() else {
            self.fault(item.span().start, format!("always-manual is {}", describe(item)), help);
            return Vec::new();
        };
        if let Some(extra) = list.get(FieldPolicy::ALWAYS_MANUAL_MAX) {
            self.too_many(extra.span().start, list.len(), FieldPolicy::ALWAYS_MANUAL_MAX, "values in always-manual");
        }
        let mut values: Vec<Value> = Vec::new();
        for item in list.iter().take(FieldPolicy::ALWAYS_MANUAL_MAX) {
            let byte = item.span().start;
            let value = match item.get_ref() {
                DeValue::String(text) if self.word_fits("the value", &At { byte, it: text.as_ref() }) => {
                    Some(Value::Text(text.to_string()))
                }
                DeValue::String(_) => continue,
                DeValue::Boolean(value) => Some(Value::Bool(*value)),
                DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().map(Value::Int),
                _ => None,
            };
            match value {
                None => {
                    let what = format!("always-manual holds {}", describe(item));
                    self.fault(byte, what, "write texts, whole numbers, true or false");
                }
                Some(value) if values.contains(&value) => {
                    self.fault(byte, format!("{} stands twice in always-manual", describe(item)), "name it once");
                }
                Some(value) => values.push(value),
            }
        }
        values.sort_by_key(|value| (value.type_name(), value.to_string()));
        values
    }

    fn invariants(&mut self, key: &Key<'_>, item: &Item<'_>) -> Vec<Invariant> {
        let heading = "write [[kind.NAME.invariant]], with name and expr";
        let Some(list) = item.get_ref().as_array() else {
            self.fault(key.span().start, format!("invariant is {}", describe(item)), heading);
            return Vec::new();
        };
        if let Some(extra) = list.get(KindPolicy::INVARIANTS_MAX) {
            self.too_many(extra.span().start, list.len(), KindPolicy::INVARIANTS_MAX, "invariants");
        }
        let mut invariants: Vec<Invariant> = Vec::new();
        let mut names = BTreeSet::new();
        for item in list.iter().take(KindPolicy::INVARIANTS_MAX) {
            let Some(table) = item.get_ref().as_table() else {
                self.fault(item.span().start, format!("invariant holds {}", describe(item)), heading);
                continue;
            };
            let (name, expr) = self.invariant(table, item.span().start);
            if let Some(At { byte, it: name }) = name {
                if !names.insert(name.clone()) {
                    self.fault(byte, format!("two invariants are called {:?}", excerpt(&name)), "rename one");
                }
                invariants.extend(expr.map(|expr| Invariant { name, expr }));
            }
        }
        invariants.sort_by(|left, right| left.name.cmp(&right.name));
        invariants
    }

    fn invariant(&mut self, table: &DeTable<'_>, byte: usize) -> (Option<At<String>>, Option<Expr>) {
        let (mut name, mut expr) = (None, None);
        for (key, item) in table {
            let member = key.get_ref().as_ref();
            if !INVARIANT_MEMBERS.contains(&member) {
                self.unknown(key, "an invariant", INVARIANT_MEMBERS);
                continue;
            }
            let Some(text) = item.get_ref().as_str() else {
                self.fault(item.span().start, format!("{member} is {}", describe(item)), "write a text in quotes");
                continue;
            };
            let at = At { byte: item.span().start, it: text };
            if member == "expr" {
                expr = Some(self.expression(item, text));
            } else {
                self.word_fits("the name", &at);
                name = Some(At { byte: at.byte, it: text.to_owned() });
            }
        }
        for (member, missing) in [("name", !table.contains_key("name")), ("expr", !table.contains_key("expr"))] {
            if missing {
                let help = "an invariant has a name and an expr, as in expr = 'count(entries) == about.modules'";
                self.fault(byte, format!("an invariant has no {member}"), help);
            }
        }
        (name, expr.flatten())
    }

    fn expression(&mut self, item: &Item<'_>, text: &str) -> Option<Expr> {
        Expr::parse(text)
            .map_err(|error| {
                let raw = &self.text[item.span()];
                let byte = item.span().start + locate::byte_in_string(raw, error.at);
                self.fault(byte, error.what, &error.help);
            })
            .ok()
    }
}

/// A field as it was read, before it is known whether its order of roles makes sense.
struct FieldRead {
    name: Option<FieldName>,
    rules: Option<At<Vec<Rule>>>,
    order: Option<Order>,
    rest: FieldPolicy,
}

impl FieldRead {
    /// A field of which nothing special is said is as if it were not there.
    fn named(self) -> Option<(FieldName, FieldPolicy)> {
        let rules = self.rules.map(|rules| rules.it);
        let policy = FieldPolicy { rules, order: self.order.map(|order| order.it), ..self.rest };
        (policy != FieldPolicy::default()).then_some((self.name?, policy))
    }
}
