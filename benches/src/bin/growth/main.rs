//! Prints how cost grows with the operations of a document, its readers, and the documents there are, as Markdown tables,
//! each with what it has to show; ends with 1 when something is missed. `cargo xtask growth` builds and runs it.

mod active;
mod archive;
mod documents;
mod heads;
mod heap;
mod operations;
mod readers;
mod relay;
mod review;
mod stored;
mod table;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, bail};
use table::Table;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

const USAGE: &str = "\
Usage: growth [TABLE...] [--quick] [--markdown FILE]

Prints how cost grows, as Markdown; ends with 1 when a cost grows faster than it may.

  TABLE            active, readers, documents, store, operations, history,
                   conflicts, heads, reunion; all when none is named
  --quick          small sizes only: seconds instead of minutes
  --markdown FILE  writes the tables into a file, too
";

/// One table: its name, its sizes, the small ones among them, and who makes it.
struct Kind {
    name: &'static str,
    sizes: &'static [usize],
    quick: &'static [usize],
    make: fn(&[usize]) -> anyhow::Result<Table>,
}

/// `active` comes first and `reunion` last: what was once in use stays resident for long, and would hide what the others
/// take.
const KINDS: &[Kind] = &[
    Kind { name: "active", sizes: &[10, 100, 1_000, 4_000], quick: &[10, 100], make: active::table },
    Kind { name: "readers", sizes: &[10, 100, 1_000, 10_000], quick: &[10, 100], make: readers::table },
    Kind { name: "documents", sizes: &[10, 100, 1_000, 10_000, 100_000], quick: &[10, 100], make: documents::table },
    Kind { name: "store", sizes: &[10, 100, 1_000, 10_000, 100_000], quick: &[10, 100], make: stored::table },
    Kind {
        name: "operations",
        // A document may have a million of operations and changes together.
        sizes: &[100, 1_000, 10_000, 100_000, 960_000],
        quick: &[100, 1_000],
        make: operations::table,
    },
    Kind { name: "history", sizes: &[1_000, 10_000, 100_000, 960_000], quick: &[1_000, 10_000], make: review::history },
    Kind { name: "conflicts", sizes: &[100, 1_000, 10_000], quick: &[100, 1_000], make: review::conflicts },
    Kind { name: "heads", sizes: &[10, 100, 1_000, 4_000], quick: &[10, 20], make: heads::table },
    Kind { name: "reunion", sizes: &[10, 100, 1_000, 3_000], quick: &[10, 20], make: readers::reunion },
];

/// What is asked for.
#[derive(Default)]
struct Wanted {
    tables: Vec<&'static Kind>,
    quick: bool,
    markdown: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|word| matches!(word.as_str(), "--help" | "-h")) {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = parse(&arguments)?;
    let (text, missed) = run(&wanted)?;
    print!("{text}");
    if let Some(path) = &wanted.markdown {
        fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(arguments: &[String]) -> anyhow::Result<Wanted> {
    let mut wanted = Wanted::default();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => wanted.quick = true,
            "--markdown" => wanted.markdown = Some(words.next().context("--markdown needs a FILE")?.into()),
            name => match KINDS.iter().find(|kind| kind.name == name) {
                Some(kind) => wanted.tables.push(kind),
                None => bail!("there is no table or option `{name}`\n\n{USAGE}"),
            },
        }
    }
    if wanted.tables.is_empty() {
        wanted.tables = KINDS.iter().collect();
    }
    Ok(wanted)
}

/// Makes the tables that are wanted. Gives their text, and how many checks were missed.
fn run(wanted: &Wanted) -> anyhow::Result<(String, usize)> {
    let (mut text, mut checks, mut missed) = (String::from("# How cost grows\n\n"), 0, 0);
    for kind in &wanted.tables {
        let sizes = if wanted.quick { kind.quick } else { kind.sizes };
        let table = (kind.make)(sizes).with_context(|| format!("the table `{}` could not be made", kind.name))?;
        text.push_str(&table.markdown());
        text.push('\n');
        checks += table.checks().len();
        missed += table.checks().iter().filter(|check| !check.passed).count();
    }
    text.push_str(&format!("{checks} checks, {missed} missed.\n"));
    Ok((text, missed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the figures are good is not asked here: a busy machine and an unoptimised build say nothing of that.
    #[test]
    fn every_table_can_be_made_of_small_sizes() {
        let wanted = parse(&["--quick".to_owned()]).unwrap();
        let (text, _) = run(&wanted).unwrap();
        let tables = text.lines().filter(|line| line.starts_with("## ")).count();
        assert_eq!(tables, KINDS.len(), "{text}");
        assert!(text.contains("checks, "), "{text}");
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let error = parse(&["--quik".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("`--quik`") && error.contains("Usage: growth"), "{error}");
        let wanted = parse(&["store".to_owned(), "--markdown".to_owned(), "x.md".to_owned()]).unwrap();
        assert_eq!((wanted.tables.len(), wanted.markdown), (1, Some("x.md".into())));
        assert!(parse(&["--markdown".to_owned()]).is_err());
    }
}
