//! Which column becomes what.

use comity_model::{EntryId, FieldName, LIFE};

use crate::error::{CommandError, CommandResult, Kind};
use crate::output::one_line;

/// Names that a header may use for the column of entry ids.
const ENTRY_NAMES: [&str; 2] = ["entry", "id"];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A column, from 0.
    Column(usize),
    /// The same text in every row.
    Constant(String),
}

/// Numbers entries: `M{:03}` gives M001, M002, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    before: String,
    width: usize,
    after: String,
}

impl Pattern {
    /// Reads a pattern: text around `{}`, or `{:03}` for three digits with leading zeros.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a pattern; write one {{}} for the number, or {{:03}} to fill up with zeros, as in M{{:03}}"
            )
        };
        let (before, rest) = text.split_once('{').ok_or_else(wrong)?;
        let (inside, after) = rest.split_once('}').ok_or_else(wrong)?;
        if before.contains('}') || after.contains(['{', '}']) {
            return Err(wrong());
        }
        let width = match inside.strip_prefix(":0") {
            None if inside.is_empty() => 0,
            Some(width) => width.parse().ok().filter(|width| (1..=20).contains(width)).ok_or_else(wrong)?,
            None => return Err(wrong()),
        };
        let pattern = Self { before: before.to_owned(), width, after: after.to_owned() };
        EntryId::new(&pattern.name(1)).map_err(|error| error.to_string())?;
        Ok(pattern)
    }

    /// Gives the entry of a number.
    pub fn name(&self, number: u64) -> String {
        format!("{}{number:0width$}{}", self.before, self.after, width = self.width)
    }
}

/// What each row becomes.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The column of the entry id; numbered when there is none.
    pub entry: Option<usize>,
    /// The fields of the entry.
    pub fields: Vec<(FieldName, Source)>,
}

impl Mapping {
    /// Reads `--map`: pairs `FIELD=COLUMN`, where COLUMN is a number from 1 or a name of the header, or
    /// `FIELD=:TEXT` for the same text in every row. `entry=COLUMN` says where the entry id stands. Without pairs the
    /// header says it all.
    pub fn resolve(
        pairs: &[String],
        header: Option<&[String]>,
        is_numbered: bool,
        columns: usize,
    ) -> CommandResult<Self> {
        let mapping = if pairs.is_empty() {
            Self::from_header(header, is_numbered, columns)?
        } else {
            Self::from_pairs(pairs, header, columns)?
        };
        match (mapping.entry, is_numbered) {
            (None, false) => Err(wrong("nothing says which column names the entry".to_owned())
                .hint("add entry=COLUMN to --map, or number the entries with --number 'M{:03}'")),
            (Some(_), true) => Err(wrong("--number and a column for the entry id do not go together".to_owned())
                .hint("leave one of them out")),
            _ if mapping.fields.is_empty() => {
                Err(wrong("no column becomes a field".to_owned()).hint("add FIELD=COLUMN to --map, as in status=2"))
            }
            _ => Ok(mapping),
        }
    }

    fn from_header(header: Option<&[String]>, is_numbered: bool, columns: usize) -> CommandResult<Self> {
        let Some(header) = header else {
            return Err(wrong("a file without a header needs --map".to_owned())
                .hint(format!("its first row has {columns} columns; number them from 1, as in --map entry=1,status=2"))
                .hint("if the first row is a header, add --header"));
        };
        let mut mapping = Self { entry: None, fields: Vec::new() };
        if !is_numbered {
            let position = |name: &str| header.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
            mapping.entry = ENTRY_NAMES.into_iter().find_map(position);
            if mapping.entry.is_none() {
                return Err(wrong("the header has no column `entry` or `id`".to_owned())
                    .hint(format!("its columns are {}", listed(header)))
                    .hint("say which column names the entry: --map 'entry=COLUMN,FIELD=COLUMN'; or number the entries: --number 'M{:03}'"));
            }
        }
        let entry = mapping.entry;
        for (index, name) in header.iter().enumerate().filter(|(index, _)| Some(*index) != entry) {
            let name = name.trim();
            if name.is_empty() {
                return Err(wrong(format!("column {} has no name in the header", index + 1))
                    .hint("choose columns by number: --map entry=1,status=2"));
            }
            mapping.add(name, Source::Column(index))?;
        }
        Ok(mapping)
    }

    fn from_pairs(pairs: &[String], header: Option<&[String]>, columns: usize) -> CommandResult<Self> {
        let mut mapping = Self { entry: None, fields: Vec::new() };
        for pair in pairs.iter().map(|pair| pair.trim()).filter(|pair| !pair.is_empty()) {
            let (name, source) = pair.split_once('=').ok_or_else(|| {
                wrong(format!("{pair:?} in --map is no pair"))
                    .hint("write FIELD=COLUMN, with commas between, as in entry=1,status=2")
            })?;
            let (name, source) = (name.trim(), source.trim());
            let source = match source.strip_prefix(':') {
                Some(constant) => Source::Constant(constant.to_owned()),
                None => Source::Column(column(source, header, columns)?),
            };
            match (name, source) {
                ("entry", Source::Column(index)) if mapping.entry.is_none() => mapping.entry = Some(index),
                ("entry", Source::Column(_)) => return Err(wrong("--map names the entry twice".to_owned())),
                ("entry", Source::Constant(_)) => {
                    return Err(wrong("every row would have the same entry".to_owned())
                        .hint("name a column, or number the entries with --number 'M{:03}'"));
                }
                (name, source) => mapping.add(name, source)?,
            }
        }
        Ok(mapping)
    }

    fn add(&mut self, name: &str, source: Source) -> CommandResult {
        let field = FieldName::new(name).map_err(|error| {
            wrong(error.to_string()).hint("rename it with --map FIELD=COLUMN, choosing the column by its number")
        })?;
        if name == LIFE {
            return Err(wrong("field `life` says whether an entry is deleted and cannot be imported".to_owned())
                .hint("map that column to another field, or leave it out of --map"));
        }
        if self.fields.iter().any(|(known, _)| *known == field) {
            return Err(wrong(format!("field {name:?} is given twice"))
                .hint("choose columns by number: --map entry=1,status=2"));
        }
        self.fields.push((field, source));
        Ok(())
    }
}

/// Finds a column by number or name.
fn column(text: &str, header: Option<&[String]>, columns: usize) -> CommandResult<usize> {
    if let Some(index) = header.and_then(|header| header.iter().position(|name| name.trim() == text)) {
        return Ok(index);
    }
    match (text.parse::<usize>(), header) {
        (Ok(number), _) if (1..=columns).contains(&number) => Ok(number - 1),
        (Ok(number), _) => {
            Err(wrong(format!("there is no column {number}; the file has {columns}"))
                .hint("columns are numbered from 1"))
        }
        (Err(_), Some(header)) => {
            Err(wrong(format!("the header has no column {text:?}")).hint(format!("its columns are {}", listed(header))))
        }
        (Err(_), None) => Err(wrong(format!("without a header there is no column {text:?}"))
            .hint("number the columns from 1; add --header if the first row is one")),
    }
}

fn listed(header: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut names: Vec<String> = header.iter().take(SHOWN).map(|name| one_line(name.trim(), 30)).collect();
    if header.len() > SHOWN {
        names.push(format!("… and {} more", header.len() - SHOWN));
    }
    names.join(", ")
}

fn wrong(message: String) -> CommandError {
    CommandError::new(Kind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(pairs: &[&str], header: Option<&[&str]>, is_numbered: bool) -> CommandResult<Mapping> {
        let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let header = header.map(strings);
        Mapping::resolve(&strings(pairs), header.as_deref(), is_numbered, header.as_ref().map_or(3, Vec::len))
    }

    #[test]
    fn the_header_says_it_all() {
        let mapping = resolve(&[], Some(&["status", "ID", "comment"]), false).unwrap();
        assert_eq!(mapping.entry, Some(1));
        let fields: Vec<_> = mapping.fields.iter().map(|(field, source)| (field.as_str(), source.clone())).collect();
        assert_eq!(fields, [("status", Source::Column(0)), ("comment", Source::Column(2))]);
        // `entry` comes before `id`, wherever it stands.
        assert_eq!(resolve(&[], Some(&["id", "entry"]), false).unwrap().entry, Some(1));
    }

    #[test]
    fn pairs_take_numbers_names_and_constants() {
        let mapping =
            resolve(&["entry=module", "status=2", "site=:Roof 7"], Some(&["module", "grade"]), false).unwrap();
        assert_eq!(mapping.entry, Some(0));
        assert_eq!(mapping.fields[0].1, Source::Column(1));
        assert_eq!(mapping.fields[1].1, Source::Constant("Roof 7".to_owned()));
    }

    #[test]
    fn newcomers_mistakes_are_explained() {
        for (pairs, header, is_numbered, reason) in [
            (&[][..], None, false, "a file without a header needs --map"),
            (&[], Some(&["module", "status"][..]), false, "no column `entry` or `id`"),
            (&["status=2"], None, false, "which column names the entry"),
            (&["entry=1"], None, false, "no column becomes a field"),
            (&["entry=1", "status=4"], None, false, "there is no column 4; the file has 3"),
            (&["entry=0", "status=1"], None, false, "there is no column 0"),
            (&["entry=module"], None, false, "without a header there is no column"),
            (&["entry=1", "status=stat"], Some(&["a", "status"]), false, "the header has no column \"stat\""),
            (&["entry=1", "a=2"], None, true, "do not go together"),
            (&["entry=:x", "a=2"], None, false, "same entry"),
            (&["entry=1", "a=2", "a=3"], None, false, "given twice"),
            (&["entry=1", "life=2"], None, false, "cannot be imported"),
            (&["entry=1", "a/b=2"], None, false, "must not hold '/'"),
            (&["entry"], None, false, "is no pair"),
            (&[], Some(&["id", ""]), false, "column 2 has no name"),
        ] {
            let error = resolve(pairs, header, is_numbered).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.message().contains(reason), "{pairs:?} {header:?}: {}", error.message());
        }
    }

    #[test]
    fn patterns_number_entries() {
        assert_eq!(Pattern::parse("M{:03}").unwrap().name(7), "M007");
        assert_eq!(Pattern::parse("M{:03}").unwrap().name(2_624), "M2624");
        assert_eq!(Pattern::parse("row {}").unwrap().name(12), "row 12");
        for wrong in ["M", "M{", "M{:3}", "M{:0x}", "M{}{}", "{:00}", "a/{}", "}{}"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
