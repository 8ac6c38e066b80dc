//! Amounts with units: `15 s`, `64 MiB`, `10_000`.

use std::time::Duration;

/// Reads a duration: `15s`, `500 ms`, `2min`, `1 h`, or seconds as a bare number.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write 15s, 500ms, 2min, 1h, or seconds as 1.5");
    let (number, unit) = split(text);
    let per_unit = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * per_unit).map_err(|_| wrong())
}

/// Reads a number of things or bytes: `4096`, `10_000`, `64MiB`, `16 KiB`.
pub fn amount(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a number; write 4096, or bytes as 16KiB, 64MiB, 1GiB");
    let (number, unit) = split(text);
    let per_unit: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.replace('_', "").parse().map_err(|_| wrong())?;
    number.checked_mul(per_unit).ok_or_else(wrong)
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    (text[..end].trim_end(), &text[end..])
}

/// Writes a duration so that [`duration`] reads it back.
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let is_whole_ms = duration.subsec_nanos().is_multiple_of(1_000_000);
    if ms.is_multiple_of(1_000) && is_whole_ms {
        format!("{}s", ms / 1_000)
    } else if is_whole_ms {
        format!("{ms}ms")
    } else {
        format!("{}s", duration.as_secs_f64())
    }
}

/// Writes a number of bytes so that [`amount`] reads it back.
pub fn show_bytes(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
    }
    format!("{bytes} B")
}

/// Writes a number of bytes for a person, rounded.
pub fn about_bytes(bytes: u64) -> String {
    for (unit, name) in [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit {
            // Rounded for reading: the lost digits do not matter.
            return format!("{:.1} {name}", bytes as f64 / unit as f64);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_back_what_they_print() {
        for text in ["15s", "0.5", "250ms", "2min", "1h"] {
            let read = duration(text).unwrap();
            assert_eq!(duration(&show_duration(read)), Ok(read), "{text}");
        }
        for text in ["0", "4096", "10_000", "64MiB", "3 KiB", "1025"] {
            let read = amount(text).unwrap();
            assert_eq!(amount(&show_bytes(read)), Ok(read), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "s", "-1s", "1 week", "1e400", "NaN", "inf"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["", "-1", "1.5MiB", "64MB", "99999999999GiB"] {
            assert!(amount(text).is_err(), "{text}");
        }
    }
}
