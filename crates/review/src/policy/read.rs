//! Reads a policy, and collects what is wrong with it.

mod kind;

use std::collections::BTreeMap;
use std::ops::Range;

use comity_model::{FieldName, KindName};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::{Fault, PolicyError};
use super::{Policy, excerpt, locate, nearest};

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// When it is longer than [`BYTES_MAX`](Self::BYTES_MAX), is no TOML, or says what cannot be meant: then with line,
    /// column and advice for everything that was found.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut reader = Reader { text, faults: Vec::new() };
        if text.len() > Self::BYTES_MAX {
            let what = format!("the policy has {} bytes, and may have {}", text.len(), Self::BYTES_MAX);
            reader.fault(0, what, "remove what the space does not use");
            return Err(reader.error());
        }
        reader.dots();
        if !reader.faults.is_empty() {
            return Err(reader.error());
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            reader.syntax(error);
        }
        if !errors.is_empty() {
            return Err(reader.error());
        }
        let (epoch, kinds) = reader.policy(table.get_ref());
        if !reader.faults.is_empty() {
            return Err(reader.error());
        }
        let mut policy = Self { epoch, kinds, hash: [0; 32] };
        policy.hash = policy.compute_hash();
        Ok(policy)
    }
}

type Key<'t> = Spanned<DeString<'t>>;
type Item<'t> = Spanned<DeValue<'t>>;

/// Something read, with the byte at which it stands.
struct At<T> {
    byte: usize,
    it: T,
}

/// What is wrong, and what to do.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Wrong {
    what: String,
    help: String,
}

struct Reader<'t> {
    text: &'t str,
    /// What is wrong, with the byte at which it stands. Lines are counted only for what is told in the end: a hostile
    /// text has a fault in every line.
    faults: Vec<(usize, Wrong)>,
}

/// Most dots in one line. The TOML library bounds the parts of a key, and how deep tables nest in braces, but not the
/// product of the two, and it walks that recursively: a text of 13 KB would overflow a stack of 2 MiB. A key stands in
/// one line, so this bounds its parts whatever stands in quotes or comments.
const DOTS_MAX: usize = 20;

impl Reader<'_> {
    fn dots(&mut self) {
        let mut line_start = 0;
        for line in self.text.split_inclusive('\n') {
            if let Some((at, _)) = line.match_indices('.').nth(DOTS_MAX) {
                let what = format!("a line has more than {DOTS_MAX} dots");
                self.fault(line_start + at, what, "break it, or write a table as [kind.NAME.field.FIELD]");
                return;
            }
            line_start += line.len();
        }
    }

    fn policy(&mut self, table: &DeTable<'_>) -> (u64, BTreeMap<KindName, super::KindPolicy>) {
        let (mut epoch, mut kinds) = (1, BTreeMap::new());
        for (key, item) in table {
            match key.get_ref().as_ref() {
                "epoch" => epoch = self.epoch(item),
                "kind" => kinds = self.kinds(key, item),
                _ => self.unknown(key, "a policy", &["epoch", "kind"]),
            }
        }
        (epoch, kinds)
    }

    fn epoch(&mut self, item: &Item<'_>) -> u64 {
        let read = item.get_ref().as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        read.unwrap_or_else(|| {
            let help = "write a whole number from 0, greater than that of the policy before";
            self.fault(item.span().start, format!("epoch is {}", describe(item)), help);
            1
        })
    }

    fn kinds(&mut self, key: &Key<'_>, item: &Item<'_>) -> BTreeMap<KindName, super::KindPolicy> {
        let mut kinds = BTreeMap::new();
        let Some(table) = self.table(key, item, "[kind.NAME]") else { return kinds };
        for (key, item) in self.bounded(table, Policy::KINDS_MAX, "kinds") {
            let name = KindName::new(key.get_ref());
            if let Err(error) = &name {
                self.fault(key.span().start, error.to_string(), "use the name of a kind, such as audit");
            }
            if let Some(table) = self.table(key, item, "[kind.NAME]") {
                let kind = self.kind(table);
                kinds.extend(name.ok().map(|name| (name, kind)));
            }
        }
        kinds
    }

    fn table<'a, 't>(&mut self, key: &Key<'_>, item: &'a Item<'t>, heading: &str) -> Option<&'a DeTable<'t>> {
        let table = item.get_ref().as_table();
        if table.is_none() {
            let what = format!("{} is {}", excerpt(key.get_ref()), describe(item));
            self.fault(key.span().start, what, &format!("write a table, {heading}"));
        }
        table
    }

    /// Gives the members of a table, unless there are too many.
    fn bounded<'a, 't>(
        &mut self,
        table: &'a DeTable<'t>,
        max: usize,
        what: &str,
    ) -> impl Iterator<Item = (&'a Key<'t>, &'a Item<'t>)> + use<'a, 't> {
        if table.len() > max {
            // The last in the text is the one too many.
            let last = table.keys().map(|key| key.span().start).max().unwrap_or_default();
            self.too_many(last, table.len(), max, what);
        }
        table.iter().take(max)
    }

    fn too_many(&mut self, byte: usize, actual: usize, max: usize, what: &str) {
        self.fault(byte, format!("there are {actual} {what}, and there may be {max}"), "remove some");
    }

    /// Reads a list of texts, all different; not longer than `max`.
    fn words(&mut self, key: &Key<'_>, item: &Item<'_>, max: usize) -> Vec<At<String>> {
        let name = excerpt(key.get_ref());
        let Some(list) = item.get_ref().as_array() else {
            let what = format!("{name} is {}", describe(item));
            self.fault(item.span().start, what, &format!("write a list of texts, as in {name} = [\"…\"]"));
            return Vec::new();
        };
        if let Some(extra) = list.get(max) {
            self.too_many(extra.span().start, list.len(), max, &format!("members in {name}"));
        }
        let mut words: Vec<At<String>> = Vec::new();
        for item in list.iter().take(max) {
            let byte = item.span().start;
            match item.get_ref().as_str() {
                Some(word) if words.iter().any(|known| known.it == word) => {
                    self.fault(byte, format!("{:?} stands twice in {name}", excerpt(word)), "name it once");
                }
                Some(word) => words.push(At { byte, it: word.to_owned() }),
                None => {
                    let what = format!("{name} holds {}", describe(item));
                    self.fault(byte, what, "write a text in quotes");
                }
            }
        }
        words
    }

    /// Reads a list of fields, ascending.
    fn field_list(&mut self, key: &Key<'_>, item: &Item<'_>) -> Vec<FieldName> {
        let words = self.words(key, item, super::KindPolicy::FIELDS_TOGETHER_MAX);
        let mut fields: Vec<FieldName> = words.iter().filter_map(|word| self.field_name(&word.it, word.byte)).collect();
        fields.sort();
        fields
    }

    /// Reads the name of a field that has values.
    fn field_name(&mut self, name: &str, byte: usize) -> Option<FieldName> {
        if name == comity_model::LIFE {
            let what = format!("{name} says whether an entry is deleted, and is none of its fields");
            self.fault(byte, what, "leave it out here; [kind.NAME.field.life] may have rules");
            return None;
        }
        FieldName::new(name).map_err(|error| self.fault(byte, error.to_string(), "use the name of a field")).ok()
    }

    fn word_fits(&mut self, what: &str, word: &At<&str>) -> bool {
        let max = super::KindPolicy::WORD_BYTES_MAX;
        let fits = (1..=max).contains(&word.it.len()) && !word.it.chars().any(char::is_control);
        if !fits {
            let what = format!("{what} {:?} has {} bytes", excerpt(word.it), word.it.len());
            self.fault(word.byte, what, &format!("write 1 to {max} bytes without control characters"));
        }
        fits
    }

    fn unknown(&mut self, key: &Key<'_>, whose: &str, known: &[&str]) {
        let word = key.get_ref();
        let what = format!("{whose} has no member {:?}", excerpt(word));
        self.fault(key.span().start, what, &nearest::advice(word, known));
    }

    fn syntax(&mut self, error: &toml::de::Error) {
        let Range { start, .. } = error.span().unwrap_or_default();
        let (what, help) = match error.message() {
            "duplicate key" => ("the same name stands twice".to_owned(), "keep one of the two"),
            "recursion limit" => ("it is nested too deep".to_owned(), "write tables, as in [kind.audit]"),
            message => (format!("this is no TOML: {}", excerpt(message)), "correct it here, or just before"),
        };
        self.fault(start, what, help);
    }

    fn fault(&mut self, byte: usize, what: String, help: &str) {
        self.faults.push((byte, Wrong { what, help: help.to_owned() }));
    }

    fn error(mut self) -> PolicyError {
        self.faults.sort();
        self.faults.dedup();
        let more = self.faults.len().saturating_sub(PolicyError::FAULTS_MAX);
        let told = self.faults.into_iter().take(PolicyError::FAULTS_MAX);
        let faults = told.map(|(byte, Wrong { what, help })| {
            let (line, column) = locate::line_and_column(self.text, byte);
            Fault { line, column, what, help }
        });
        PolicyError::new(faults.collect(), more)
    }
}

/// Says what an item is, for messages.
fn describe(item: &Item<'_>) -> String {
    match item.get_ref() {
        DeValue::String(text) => format!("the text {:?}", excerpt(text)),
        DeValue::Integer(number) => format!("the number {}", excerpt(&number.to_string())),
        DeValue::Float(_) => "a number with a fraction".to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
