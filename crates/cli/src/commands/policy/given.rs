//! Where a policy comes from: a file, what is piped in, or what is shipped.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use comity_review::{Policy, PolicyError};
use serde_json::{Value as Json, json};

use crate::error::{CommandError, CommandResult, Kind};

/// A policy on the command line.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Given {
    /// A file with the policy, or `-` for what comes in
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// One that is shipped, instead of a file; several are taken together
    #[arg(long, value_name = "NAME")]
    example: Vec<String>,
}

/// A policy that was read.
pub struct Source {
    /// What it is called in messages.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What it says.
    pub policy: Policy,
}

impl Given {
    /// Whether it is shipped, and not a file.
    pub fn is_shipped(&self) -> bool {
        self.file.is_none()
    }

    /// Reads the policy. Shipped ones say nothing of an epoch, and take this one.
    pub fn read(&self, epoch: u64) -> CommandResult<Source> {
        if let Some(path) = &self.file {
            return file(path);
        }
        let texts = self.example.iter().map(|name| Ok(example(name)?.1)).collect::<CommandResult<Vec<_>>>()?;
        let text = format!("epoch = {epoch}\n\n{}", texts.join("\n"));
        parse(self.example.join(" and "), text)
    }
}

/// Finds a shipped policy.
pub fn example(name: &str) -> CommandResult<(&'static str, &'static str)> {
    let found = Policy::examples().iter().find(|(known, _)| *known == name);
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = Policy::examples().iter().map(|(known, _)| *known).collect();
        CommandError::new(Kind::NotFound, format_args!("no policy {name:?} is shipped"))
            .hint(format!("there are: {}", names.join(", ")))
    })
}

/// Reads a policy from a file, or from what comes in when that is `-`.
pub fn file(path: &Path) -> CommandResult<Source> {
    let failed = |error| CommandError::file("read", path, error);
    let mut bytes = Vec::new();
    // One byte more than there may be, so that what is too long is told from what is cut.
    let max = u64::try_from(Policy::BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    if path == Path::new("-") {
        std::io::stdin().lock().take(max).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        File::open(path).map_err(failed)?.take(max).read_to_end(&mut bytes).map_err(failed)?;
    }
    let name = if path == Path::new("-") { "what came in".to_owned() } else { path.display().to_string() };
    if bytes.len() > Policy::BYTES_MAX {
        return Err(CommandError::new(
            Kind::Usage,
            format_args!("{name} is no policy: it has more than {} bytes", Policy::BYTES_MAX),
        )
        .hint("check that it is the file that you meant"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CommandError::new(Kind::Usage, format_args!("{name} is no policy: byte {at} is not part of a UTF-8 text"))
            .hint("save it as UTF-8")
    })?;
    parse(name, text)
}

fn parse(name: String, text: String) -> CommandResult<Source> {
    match Policy::parse(&text) {
        Ok(policy) => Ok(Source { name, text, policy }),
        Err(error) => Err(wrong(&name, &error)),
    }
}

/// Says all that is wrong with a policy, and where.
pub fn wrong(name: &str, error: &PolicyError) -> CommandError {
    let fault = |fault: &comity_review::policy::Fault| json!({ "line": fault.line, "column": fault.column, "what": fault.what, "help": fault.help });
    let faults: Vec<Json> = error.faults().iter().map(fault).collect();
    CommandError::new(Kind::Usage, format_args!("{name} is no policy\n{error}"))
        .hint("`comity policy example audits` prints one that is")
        .details(json!({ "faults": faults, "more": error.more() }))
}
