//! What is in force: flags over environment over config file over defaults.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use comity_model::{KindSchema, Limits};
use comity_node::Url;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::error::{CommandError, CommandResult, Kind};
use crate::limits::{self, LimitsFile};
use crate::units;

/// The name of the config file in a data folder.
pub const FILE: &str = "config.toml";

/// Longest config file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The address that a relay listens on unless told.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8470);

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For reading.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// A config file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data: Option<PathBuf>,
    name: Option<String>,
    relays: Option<Vec<Spanned<String>>>,
    devices: BTreeMap<String, String>,
    kind: Vec<KindSchema>,
    limits: LimitsFile,
    relay: RelayFile,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RelayFile {
    listen: Option<Spanned<String>>,
    origins: Option<Vec<String>>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    log: Option<LogFormat>,
    drain_deadline: Option<Spanned<String>>,
    retry_spread: Option<Spanned<String>>,
}

/// Everything that is in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// The config file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// What this device is called; a label.
    pub name: Option<String>,
    /// Where to synchronise.
    pub relays: Vec<Url>,
    /// Labels of devices, by their short id.
    pub devices: BTreeMap<String, String>,
    /// Kinds beside the built-in ones.
    pub kinds: Vec<KindSchema>,
    /// Every bound.
    pub limits: Limits,
    /// For `comity relay`.
    pub relay: RelaySettings,
}

/// What only a relay needs.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// Address and port.
    pub listen: SocketAddr,
    /// Web pages that may connect.
    pub origins: Vec<String>,
    /// Certificate chain, PEM.
    pub tls_cert: Option<PathBuf>,
    /// Private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// How logs look.
    pub log: LogFormat,
    /// How long open connections may take to end at shutdown.
    pub drain_deadline: Duration,
    /// Clients are told to come back within this time.
    pub retry_spread: Duration,
}

impl Config {
    /// Reads what is in force. `data` and `file` are what flags or environment say; `default` is the name of the data
    /// folder that is used when nothing is said.
    pub fn load(data: Option<&Path>, file: Option<&Path>, default: &str) -> CommandResult<Self> {
        let mut folder = data.map(Path::to_owned);
        let (path, text) = match file {
            Some(path) => (Some(path.to_owned()), Some(read(path)?)),
            None => {
                let path = folder.clone().unwrap_or_else(|| default_data(default)).join(FILE);
                if path.is_file() { (Some(path.clone()), Some(read(&path)?)) } else { (None, None) }
            }
        };
        let (text, shown) = (text.unwrap_or_default(), path.clone().unwrap_or_default());
        let parsed: File = toml::from_str(&text).map_err(|error| wrong(&shown, &readable(&error)))?;
        if let Some(data) = &parsed.data {
            if file.is_none() {
                return Err(wrong(
                    &shown,
                    "`data` cannot stand in the data folder's own config.toml; it can in a file given with --config",
                ));
            }
            folder = folder.or_else(|| Some(data.clone()));
        }
        let place = Place { path: &shown, text: &text };
        let mut limits = Limits::default();
        parsed.limits.apply(&mut limits).map_err(|(at, reason)| place.wrong(at, &reason))?;
        let relays = match env::var("COMITY_RELAYS") {
            Ok(list) if !list.is_empty() => {
                let urls = list.split(',').map(str::trim).filter(|url| !url.is_empty());
                urls.map(parse_url).collect::<CommandResult<_>>()?
            }
            _ => {
                let listed = parsed.relays.unwrap_or_default();
                let url = |url: &Spanned<String>| {
                    url.get_ref().parse().map_err(|error| place.wrong(url.span().start, &format!("{error}")))
                };
                listed.iter().map(url).collect::<CommandResult<_>>()?
            }
        };
        for kind in &parsed.kind {
            kind.check().map_err(|error| wrong(&shown, &format!("kind {}: {error}", kind.name)))?;
        }
        let relay = parsed.relay.settings(&place)?;
        let config = Self {
            data: folder.unwrap_or_else(|| default_data(default)),
            file: path,
            name: parsed.name,
            relays,
            devices: parsed.devices,
            kinds: parsed.kind,
            limits,
            relay,
        };
        config.check()?;
        Ok(config)
    }

    /// Checks what flags may have changed.
    pub fn check(&self) -> CommandResult {
        limits::check(&self.limits)
            .map_err(|reason| CommandError::new(Kind::Usage, reason).hint("--print-config shows what is in force"))
    }

    /// Gives the folder of the store.
    pub fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// Whether the data folder has been made.
    pub fn is_initialised(&self) -> bool {
        self.data.join("device.key").exists() || self.store().exists()
    }

    /// Gives the schema of a kind; one that allows any field for a kind that nobody declared here.
    pub fn schema(&self, kind: &comity_model::KindName) -> KindSchema {
        self.declared(kind).unwrap_or_else(|| KindSchema::open(kind.clone()))
    }

    /// Gives the schema of a kind that is declared here or built in.
    pub fn declared(&self, kind: &comity_model::KindName) -> Option<KindSchema> {
        self.all_kinds().into_iter().find(|schema| schema.name == *kind)
    }

    /// Gives all schemas, by name.
    pub fn all_kinds(&self) -> Vec<KindSchema> {
        let mut kinds: BTreeMap<String, KindSchema> = BTreeMap::new();
        for schema in KindSchema::built_in().into_iter().chain(self.kinds.iter().cloned()) {
            kinds.insert(schema.name.to_string(), schema);
        }
        kinds.into_values().collect()
    }

    /// Gives what is in force as a config file.
    pub fn to_toml(&self) -> CommandResult<String> {
        let shown = Shown {
            data: &self.data,
            name: self.name.as_deref(),
            relays: self.relays.iter().map(ToString::to_string).collect(),
            relay: ShownRelay {
                listen: self.relay.listen.to_string(),
                origins: &self.relay.origins,
                tls_cert: self.relay.tls_cert.as_deref(),
                tls_key: self.relay.tls_key.as_deref(),
                log: self.relay.log,
                drain_deadline: units::show_duration(self.relay.drain_deadline),
                retry_spread: units::show_duration(self.relay.retry_spread),
            },
            limits: limits::table(&self.limits),
            devices: &self.devices,
            kind: &self.kinds,
        };
        let from = match &self.file {
            Some(file) => format!("# What is in force, with {}.\n", file.display()),
            None => "# What is in force; there is no config file.\n".to_owned(),
        };
        let text = toml::to_string_pretty(&shown).map(|text| from + &text);
        text.map_err(|error| CommandError::new(Kind::NotDone, format_args!("cannot write the config as TOML: {error}")))
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    data: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    relays: Vec<String>,
    relay: ShownRelay<'a>,
    limits: toml::Table,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    devices: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    kind: &'a [KindSchema],
}

#[derive(Serialize)]
struct ShownRelay<'a> {
    listen: String,
    origins: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_key: Option<&'a Path>,
    log: LogFormat,
    drain_deadline: String,
    retry_spread: String,
}

impl RelayFile {
    fn settings(self, place: &Place<'_>) -> CommandResult<RelaySettings> {
        let duration = |text: Option<Spanned<String>>, default: u64| match text {
            None => Ok(Duration::from_secs(default)),
            Some(text) => units::duration(text.get_ref()).map_err(|reason| place.wrong(text.span().start, &reason)),
        };
        let listen = match self.listen {
            None => LISTEN,
            Some(text) => text.get_ref().parse().map_err(|_| {
                place.wrong(
                    text.span().start,
                    &format!("{:?} is not ADDRESS:PORT, as in 127.0.0.1:8470", text.get_ref()),
                )
            })?,
        };
        Ok(RelaySettings {
            listen,
            origins: self.origins.unwrap_or_default(),
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            log: self.log.unwrap_or_default(),
            drain_deadline: duration(self.drain_deadline, 10)?,
            retry_spread: duration(self.retry_spread, 15)?,
        })
    }
}

/// Reads the address of a relay.
pub fn parse_url(text: &str) -> CommandResult<Url> {
    text.parse().map_err(|error| {
        CommandError::new(Kind::Usage, error)
            .hint("a relay's address looks like ws://127.0.0.1:8470 or wss://relay.example/sync")
    })
}

/// Gives the data folder that is used unless told: in `$XDG_DATA_HOME`, or in `~/.local/share`.
fn default_data(name: &str) -> PathBuf {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local/share"));
    match absolute("XDG_DATA_HOME").or_else(home) {
        Some(folder) => folder.join(name),
        None => PathBuf::from(format!("{name}-data")),
    }
}

/// Where in a config file something stands.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn wrong(&self, at: usize, reason: &str) -> CommandError {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        wrong(self.path, &format!("line {line}, column {column}: {reason}"))
    }
}

/// Gives a parser's message; in place of a list of all limits, those that are meant.
fn readable(error: &toml::de::Error) -> String {
    let text = error.to_string().trim_end().to_owned();
    let unknown = error.message().strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    match unknown {
        Some((name, rest)) if rest.contains(limits::NAMES[0]) => text.replace(error.message(), &limits::unknown(name)),
        _ => text,
    }
}

fn wrong(path: &Path, reason: &str) -> CommandError {
    CommandError::new(Kind::Usage, format_args!("{} cannot be used: {reason}", path.display()))
        .hint("`comity --print-config` without that file shows every key with its default")
}

fn read(path: &Path) -> CommandResult<String> {
    let read = || {
        if fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(std::io::Error::other(format!("it is longer than {FILE_BYTES_MAX} bytes")));
        }
        fs::read_to_string(path)
    };
    read().map_err(|error| {
        if error.kind() == std::io::ErrorKind::InvalidData {
            return wrong(path, "it is not UTF-8 text");
        }
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let error = CommandError::file("read the config file", path, error);
        if missing { CommandError { kind: Kind::Missing, ..error } } else { error }
    })
}
