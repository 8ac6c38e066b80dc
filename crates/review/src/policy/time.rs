//! Durations in a policy: `60s`, `500ms`, `2min`, `1h`.

const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000)];

/// Reads a duration as milliseconds.
pub(super) fn parse_ms(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = text[digits..].trim_start();
    let (_, factor) = UNITS.iter().find(|(known, _)| *known == unit)?;
    text[..digits].parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes milliseconds in the largest unit that fits exactly.
pub(super) fn show_ms(ms: u64) -> String {
    let fits = UNITS.iter().rev().find(|(_, factor)| ms >= *factor && ms.is_multiple_of(*factor));
    let (unit, factor) = fits.unwrap_or(&("s", 1_000));
    format!("{} {unit}", ms / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, ms, shown) in [
            ("60s", 60_000, "1 min"),
            ("0s", 0, "0 s"),
            ("500ms", 500, "500 ms"),
            ("2 min", 120_000, "2 min"),
            ("24h", 86_400_000, "24 h"),
        ] {
            assert_eq!(parse_ms(text), Some(ms), "{text}");
            assert_eq!(show_ms(ms), shown);
        }
        for wrong in ["", "60", "s", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h", "1m"] {
            assert_eq!(parse_ms(wrong), None, "{wrong}");
        }
    }
}
