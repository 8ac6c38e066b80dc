//! Paths of JSON as names of registers, and back.

use comity_model::{EntryId, FieldName, InvalidKey, LIFE, RegisterKey};

/// One step on the way to a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A key of an object.
    Key(String),
    /// A place in a list.
    Index(usize),
}

/// What separates the steps within an entry.
const JOIN: char = '.';
/// How an empty key is written: a lone `%`, which nothing else is written as.
const EMPTY: &str = "%";

/// Names the register of a leaf. `steps` has at least one.
pub(super) fn to_register(root: &EntryId, steps: &[Step]) -> Result<RegisterKey, InvalidKey> {
    let (last, before) = steps.split_last().expect("a leaf has a path");
    let mut entry = root.as_str().to_owned();
    for step in before {
        entry.push(JOIN);
        entry.push_str(&write(step, true));
    }
    Ok(RegisterKey::new(EntryId::new(&entry)?, FieldName::new(&write(last, false))?))
}

/// Gives the steps back; `None` when the register is not one below this root.
pub(super) fn from_register(root: &EntryId, register: &RegisterKey) -> Option<Vec<Step>> {
    let rest = register.entry.as_str().strip_prefix(root.as_str())?;
    let mut steps = Vec::new();
    if let Some(rest) = rest.strip_prefix(JOIN) {
        for part in rest.split(JOIN) {
            steps.push(read(part)?);
        }
    } else if !rest.is_empty() {
        return None;
    }
    steps.push(read(register.field.as_str())?);
    Some(steps)
}

fn write(step: &Step, is_inner: bool) -> String {
    match step {
        Step::Index(index) => format!("[{index}]"),
        Step::Key(key) if key.is_empty() => EMPTY.to_owned(),
        Step::Key(key) => escape(key, is_inner),
    }
}

fn escape(key: &str, is_inner: bool) -> String {
    // `life` says whether an entry is deleted, so a leaf of that name goes by another.
    let is_reserved = key == LIFE && !is_inner;
    let mut out = String::with_capacity(key.len());
    for (at, c) in key.char_indices() {
        let is_first = at == 0;
        let is_last = at + c.len_utf8() == key.len();
        let special = matches!(c, '/' | '%') || c.is_control() || (is_inner && c == JOIN);
        let edge = (c.is_whitespace() && (is_first || is_last)) || (is_first && (c == '[' || is_reserved));
        if special || edge {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn read(part: &str) -> Option<Step> {
    if part == EMPTY {
        return Some(Step::Key(String::new()));
    }
    if let Some(index) = part.strip_prefix('[') {
        return index.strip_suffix(']')?.parse().ok().map(Step::Index);
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().map(Step::Key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn root() -> EntryId {
        EntryId::new("record").unwrap()
    }

    fn name(steps: &[Step]) -> String {
        to_register(&root(), steps).unwrap().to_string()
    }

    fn key(text: &str) -> Step {
        Step::Key(text.to_owned())
    }

    #[test]
    fn paths_stay_readable_and_what_may_not_stand_in_a_name_is_escaped() {
        assert_eq!(name(&[key("title")]), "record/title");
        assert_eq!(name(&[key("stats"), key("chrome"), key("4.4.3-4.4.4")]), "record.stats.chrome/4.4.3-4.4.4");
        assert_eq!(name(&[key("a.b"), key("c/d")]), "record.a%2Eb/c%2Fd");
        assert_eq!(name(&[key("links"), Step::Index(3), key("url")]), "record.links.[3]/url");
        assert_eq!(name(&[key("links"), key("[3]")]), "record.links/%5B3]");
        assert_eq!(name(&[key("life")]), "record/%6Cife");
        assert_eq!(name(&[key("")]), "record/%");
    }

    #[test]
    fn a_name_that_would_be_too_long_is_refused() {
        assert!(to_register(&root(), &[key(&"x".repeat(128))]).is_ok());
        assert!(to_register(&root(), &[key(&"x".repeat(129))]).is_err());
        let inner = 256 - "record.".len();
        assert!(to_register(&root(), &[key(&"x".repeat(inner)), key("y")]).is_ok());
        assert!(to_register(&root(), &[key(&"x".repeat(inner + 1)), key("y")]).is_err());
    }

    #[test]
    fn registers_of_other_roots_are_not_read() {
        for foreign in ["recorder/title", "other/title", "record.%zz/a", "record/[x]"] {
            assert_eq!(from_register(&root(), &foreign.parse().unwrap()), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn every_path_reads_back(keys in prop::collection::vec(any::<String>().prop_filter("short", |k| k.len() < 40), 1..4)) {
            let steps: Vec<Step> = keys.into_iter().map(Step::Key).collect();
            if let Ok(register) = to_register(&root(), &steps) {
                let printed: RegisterKey = register.to_string().parse().unwrap();
                prop_assert_eq!(from_register(&root(), &printed), Some(steps));
            }
        }
    }
}
