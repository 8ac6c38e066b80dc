//! The clock on the wall: read here and nowhere else in this crate.

use std::time::{SystemTime, UNIX_EPOCH};

use comity_model::Timestamp;

/// Gives the time of day.
pub(crate) fn now() -> Timestamp {
    timestamp(time())
}

/// Gives the time of day as the operating system has it.
pub(crate) fn time() -> SystemTime {
    SystemTime::now()
}

/// Puts a time into milliseconds. A clock that is set before 1970 counts as 1970.
fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp::from_unix_ms(i64::try_from(since).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_far_off_gives_a_time_all_the_same() {
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(1_795_269_301_123)).unix_ms, 1_795_269_301_123);
        assert_eq!(timestamp(UNIX_EPOCH).unix_ms, 0);
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)).unix_ms, 0);
    }

    fn who_reads(folder: &Path, readers: &mut Vec<String>) {
        // Put together, or this file would be found for the words alone.
        let words = ["SystemTime", "now()"].join("::");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                who_reads(&path, readers);
            } else if std::fs::read_to_string(&path).unwrap().contains(&words) {
                readers.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }

    #[test]
    fn the_clock_is_read_in_one_place() {
        let mut readers = Vec::new();
        who_reads(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut readers);
        assert_eq!(readers, ["clock.rs"]);
    }
}
