//! Configuration: the config file, limits given by flag, amounts, ids and addresses that people type.

use std::fmt::{Debug, Display};
use std::fs;
use std::path::Path;
use std::str::FromStr;

use comity::config::{Config, parse_url};
use comity::{limits, units};
use comity_model::{DocumentId, EntryId, FieldName, HybridTime, KindName, Limits, RegisterKey, SpaceId};

/// Reads the bytes as a config file, and as everything else that people type. Asserts that whatever is understood is
/// shown in a form that is understood in the same way, and that what is refused is refused with a reason.
pub fn run(data: &[u8]) {
    config(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    amounts(text);
    limit(text);
    reads_back::<DocumentId>(text);
    reads_back::<SpaceId>(text);
    reads_back::<KindName>(text);
    reads_back::<EntryId>(text);
    reads_back::<FieldName>(text);
    reads_back::<RegisterKey>(text);
    reads_back::<HybridTime>(text);
    if let Ok(url) = parse_url(text) {
        let again = parse_url(&url.to_string()).expect("an address that is shown can be read");
        assert_eq!(again.to_string(), url.to_string());
    }
}

fn config(data: &[u8]) {
    let folder = crate::scratch();
    let path = folder.path().join("config.toml");
    fs::write(&path, data).expect("the folder for scratch work can be written to");
    match read(&path) {
        Ok(config) => {
            let shown = show(&config);
            fs::write(&path, &shown).expect("the folder for scratch work can be written to");
            let again = read(&path).unwrap_or_else(|reason| panic!("what is shown cannot be read: {reason}\n{shown}"));
            assert_eq!(show(&again), shown);
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
}

fn read(path: &Path) -> Result<Config, String> {
    Config::load(None, Some(path), "comity").map_err(|error| error.error.to_string())
}

fn show(config: &Config) -> String {
    config.to_toml().unwrap_or_else(|error| panic!("what is in force cannot be shown: {:?}", error.error))
}

fn amounts(text: &str) {
    if let Ok(bytes) = units::amount(text) {
        assert_eq!(units::amount(&units::show_bytes(bytes)), Ok(bytes));
    }
    if let Ok(duration) = units::duration(text) {
        let shown = units::show_duration(duration);
        let again = units::duration(&shown).unwrap_or_else(|reason| panic!("{shown} is shown: {reason}"));
        assert_eq!(units::show_duration(again), shown);
    }
}

fn limit(text: &str) {
    let mut set = Limits::default();
    match limits::set_from_flag(&mut set, text) {
        Ok(()) => drop(limits::check(&set)),
        Err(reason) => assert!(!reason.is_empty() && set == Limits::default()),
    }
}

fn reads_back<T: FromStr<Err: Display> + Display + PartialEq + Debug>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => {
            let again = value.to_string().parse::<T>();
            assert!(again.is_ok_and(|again| again == value), "{value} does not read back");
        }
        Err(reason) => assert!(!reason.to_string().is_empty()),
    }
}
