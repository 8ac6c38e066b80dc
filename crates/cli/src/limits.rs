//! Every limit by name, for flags and the config file.

use std::time::Duration;

use comity_model::Limits;
use comity_store::CACHE_BYTES_MIN;
use serde::Deserialize;
use toml::Spanned;

use crate::units;

/// A value as the config file may write it: `10_000`, `1.5` (seconds), `"64 MiB"`, `"15s"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a number, or a text with a unit such as \"64 MiB\" or \"15s\"")]
pub enum Amount {
    /// A whole number.
    Whole(u64),
    /// A number with a fraction.
    Fraction(f64),
    /// With a unit.
    Text(String),
}

impl Amount {
    fn text(&self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Fraction(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Times that may be none at all: then something happens at once. Any other would make everything fail.
const MAY_BE_ZERO: &[&str] = &["unavailable_after"];

/// A type of limit.
trait Setting: Sized {
    fn read(name: &str, text: &str) -> Result<Self, String>;
    fn show(&self, name: &str) -> toml::Value;
}

macro_rules! whole_number {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            fn read(_: &str, text: &str) -> Result<Self, String> {
                let number = units::amount(text)?;
                if number == 0 {
                    return Err("0 would refuse everything; the least is 1".to_owned());
                }
                number.try_into().map_err(|_| format!("{number} is too large; the most is {}", Self::MAX))
            }

            fn show(&self, name: &str) -> toml::Value {
                // Every type here fits, or is far above what a limit can sensibly be.
                let number = u64::try_from(*self).unwrap_or(u64::MAX);
                match i64::try_from(number) {
                    Ok(number) if !name.contains("_bytes_") => toml::Value::Integer(number),
                    _ => toml::Value::String(units::show_bytes(number)),
                }
            }
        }
    )*};
}

whole_number!(usize, u32, u64);

impl Setting for Duration {
    fn read(name: &str, text: &str) -> Result<Self, String> {
        let duration = units::duration(text)?;
        if duration < Self::from_millis(1) && !(duration.is_zero() && MAY_BE_ZERO.contains(&name)) {
            return Err("the least is 1ms".to_owned());
        }
        Ok(duration)
    }

    fn show(&self, _: &str) -> toml::Value {
        toml::Value::String(units::show_duration(*self))
    }
}

macro_rules! limits {
    ($($name:ident)*) => {
        /// The names of all limits.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// The `[limits]` of a config file.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct LimitsFile {
            $($name: Option<Spanned<Amount>>,)*
        }

        impl LimitsFile {
            /// Puts what the file says into force. An error comes with its place in the file, in bytes.
            pub fn apply(&self, limits: &mut Limits) -> Result<(), (usize, String)> {
                $(if let Some(amount) = &self.$name {
                    limits.$name = Setting::read(stringify!($name), &amount.get_ref().text())
                        .map_err(|reason| (amount.span().start, format!("{}: {reason}", stringify!($name))))?;
                })*
                Ok(())
            }
        }

        /// Sets one limit, as the flag `--limit NAME=VALUE` says.
        pub fn set(limits: &mut Limits, name: &str, text: &str) -> Result<(), String> {
            match name {
                $(stringify!($name) => {
                    limits.$name = Setting::read(name, text).map_err(|reason| format!("{name}: {reason}"))?;
                })*
                _ => return Err(unknown(name)),
            }
            Ok(())
        }

        /// Gives all limits, as `--print-config` shows them.
        pub fn table(limits: &Limits) -> toml::Table {
            let mut table = toml::Table::new();
            $(table.insert(stringify!($name).to_owned(), limits.$name.show(stringify!($name)));)*
            table
        }
    };
}

limits! {
    message_bytes_max received_bytes_max envelope_bytes_max ephemeral_bytes_max cbor_depth_max storage_ids_max
    hashes_max have_max bloom_entries_max chunks_max inflated_bytes_max change_operations_max message_operations_max
    price_free_bytes_max price_per_byte_max price_bytes_max chunk_actors_max dependencies_max orphan_bytes_max
    document_operations_max document_changes_max
    edit_writes_max value_bytes_max
    connections_max connections_per_address_max connections_per_identity_max documents_per_link_max
    link_queue_messages_max link_queue_bytes_max queued_bytes_max header_deadline header_bytes_max headers_max
    join_deadline ping_interval dead_after
    ephemeral_per_second ephemeral_burst ephemeral_sessions_max
    documents_loaded_max asked_max unavailable_after loaded_bytes_max waiting_inputs_max waiting_bytes_max loads_max sessions_per_document_max idle_after
    compaction_bytes_min cache_bytes_max evidence_max evidence_bytes_max
    evidence_total_bytes_max evidence_per_minute
}

/// Sets one limit from the text of a flag, `NAME=VALUE`.
pub fn set_from_flag(limits: &mut Limits, flag: &str) -> Result<(), String> {
    let (name, text) = flag.split_once('=').ok_or_else(|| format!("{flag:?} must be NAME=VALUE"))?;
    set(limits, name.trim(), text)
}

/// Says that there is no limit of a name, and which one may be meant.
pub fn unknown(name: &str) -> String {
    // What is longer than any limit's name is no slip of the finger.
    let short: String = name.chars().take(64).collect();
    let closest = NAMES.iter().map(|known| (distance(known, &short), known)).min();
    match closest {
        Some((edits, known)) if edits <= 4 => format!("there is no limit {short:?}; did you mean {known}?"),
        _ => format!("there is no limit {short:?}; --print-config lists them all"),
    }
}

/// Counts the letters to add, drop or change to get from one word to another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Checks that the limits make sense together.
pub fn check(limits: &Limits) -> Result<(), String> {
    if limits.cache_bytes_max < CACHE_BYTES_MIN {
        let least = units::show_bytes(CACHE_BYTES_MIN);
        return Err(format!("cache_bytes_max must not be below {least}, or the store's engine cannot work"));
    }
    if limits.dead_after <= limits.ping_interval {
        return Err("dead_after must be longer than ping_interval, or every idle link dies".to_owned());
    }
    if limits.envelope_bytes_max > limits.message_bytes_max {
        return Err(
            "envelope_bytes_max must not be above message_bytes_max: an envelope is a part of a message".to_owned()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_of_the_model_is_here() {
        let printed = format!("{:#?}", Limits::default());
        let names = printed.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
        let names: Vec<&str> = names.map(|(name, _)| name).filter(|name| !name.starts_with(' ')).collect();
        assert_eq!(NAMES, names, "a limit was added to the model: add it to the table");
    }

    #[test]
    fn what_is_printed_reads_back() {
        let mut limits = Limits::default();
        for name in NAMES {
            let text = match &table(&limits)[*name] {
                toml::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            set(&mut limits, name, &text).unwrap();
        }
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn flags_say_what_is_wrong() {
        let mut limits = Limits::default();
        set_from_flag(&mut limits, "message_bytes_max=1MiB").unwrap();
        set_from_flag(&mut limits, "ping_interval=500ms").unwrap();
        set_from_flag(&mut limits, "unavailable_after=0s").unwrap();
        assert!(limits.unavailable_after.is_zero());
        assert_eq!((limits.message_bytes_max, limits.ping_interval), (1 << 20, Duration::from_millis(500)));
        for (flag, reason) in [
            ("message_bytes_max", "must be NAME=VALUE"),
            ("mesage_bytes_max=1", "did you mean message_bytes_max?"),
            ("xyz=1", "--print-config"),
            ("headers_max=0", "the least is 1"),
            ("ping_interval=0", "the least is 1ms"),
            ("bloom_entries_max=5000000000", "too large"),
        ] {
            let error = set_from_flag(&mut limits, flag).unwrap_err();
            assert!(error.contains(reason), "{flag}: {error}");
        }
    }

    #[test]
    fn a_cache_that_the_engine_cannot_work_with_is_refused() {
        let mut limits = Limits::default();
        set_from_flag(&mut limits, "cache_bytes_max=1MiB").unwrap();
        assert_eq!(check(&limits), Ok(()));
        set_from_flag(&mut limits, "cache_bytes_max=1048575").unwrap();
        let error = check(&limits).unwrap_err();
        assert!(error.contains("cache_bytes_max must not be below 1 MiB"), "{error}");
    }
}
