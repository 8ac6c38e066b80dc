//! Entries by name or by range: `M050`, `M030..M040`.

use comity_model::EntryId;

use crate::error::{CommandError, CommandResult, Kind};

/// Reads an entry id, or a range of them. A range keeps the zero padding: `M030..M032` is M030, M031, M032. The end may
/// be written without the letters: `M030..32` and `M030..032` are the same.
pub fn parse(text: &str, max: usize) -> CommandResult<Vec<EntryId>> {
    let Some((from, to)) = text.split_once("..") else { return Ok(vec![entry(text)?]) };
    let wrong = |reason: String| {
        CommandError::new(Kind::Usage, format_args!("{text} is not a range of entries: {reason}"))
            .hint("write FIRST..LAST, as in M030..M040; both ends are included")
    };
    let (prefix, first) = split_number(from).ok_or_else(|| wrong(format!("{from:?} does not end in a number")))?;
    let (last_prefix, last) = split_number(to).ok_or_else(|| wrong(format!("{to:?} does not end in a number")))?;
    let is_short = last_prefix.is_empty() && !prefix.is_empty();
    if !is_short && last_prefix != prefix {
        return Err(wrong(format!("{prefix:?} and {last_prefix:?} are different names")));
    }
    let is_padded = |digits: &str| digits.len() > 1 && digits.starts_with('0');
    if !is_short && first.len() != last.len() && (is_padded(first) || is_padded(last)) {
        return Err(wrong("both ends need the same number of digits".to_owned()));
    }
    let width = if is_padded(first) { first.len() } else { 0 };
    let number = |digits: &str| digits.parse::<u64>().map_err(|_| wrong(format!("{digits} is too large")));
    let (low, high) = (number(first)?, number(last)?);
    if high < low {
        return Err(wrong("it ends before it begins".to_owned()));
    }
    // `high - low` is the count less one, so nothing can overflow.
    if usize::try_from(high - low).map_or(true, |more| more >= max) {
        return Err(wrong(format!("it is longer than the {max} writes that one change may hold")));
    }
    (low..=high).map(|number| entry(&format!("{prefix}{number:0width$}"))).collect()
}

/// Reads an entry id.
pub fn entry(text: &str) -> CommandResult<EntryId> {
    EntryId::new(text).map_err(|error| {
        CommandError::new(Kind::Usage, error).hint("entry ids are short texts without `/`, as in M050")
    })
}

/// Splits `M030` into `M` and `030`.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| text.split_at(text.len() - digits))
}

/// Writes entries as people do: those that follow each other as a range.
pub fn compress<'a>(entries: impl IntoIterator<Item = &'a EntryId>) -> Vec<String> {
    let mut runs: Vec<(&str, &str, usize)> = Vec::new();
    for entry in entries {
        let entry = entry.as_str();
        match runs.last_mut() {
            Some((_, last, length)) if follows(last, entry) => {
                *last = entry;
                *length += 1;
            }
            _ => runs.push((entry, entry, 1)),
        }
    }
    let text = |(first, last, length): (&str, &str, usize)| match length {
        1 => first.to_owned(),
        _ => format!("{first}..{last}"),
    };
    runs.into_iter().map(text).collect()
}

/// Tells whether one entry comes right after another in a range.
fn follows(before: &str, after: &str) -> bool {
    let (Some((prefix, low)), Some((next_prefix, high))) = (split_number(before), split_number(after)) else {
        return false;
    };
    let is_padded = low.len() > 1 && low.starts_with('0');
    let width = if is_padded { low.len() } else { 0 };
    let next = low.parse::<u64>().ok().and_then(|low| low.checked_add(1));
    prefix == next_prefix && next.is_some_and(|next| format!("{next:0width$}") == high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        parse(text, 1_000).unwrap().iter().map(|entry| entry.to_string()).collect()
    }

    fn refusal(text: &str) -> String {
        parse(text, 1_000).unwrap_err().message()
    }

    #[test]
    fn a_range_keeps_its_zero_padding() {
        // S2.4
        assert_eq!(names("M050"), ["M050"]);
        assert_eq!(names("M009..M011"), ["M009", "M010", "M011"]);
        assert_eq!(names("M9..M11"), ["M9", "M10", "M11"]);
        assert_eq!(names("M099..M100"), ["M099", "M100"]);
        assert_eq!(names("M030..32"), ["M030", "M031", "M032"]);
        assert_eq!(names("R1-08..R1-10"), ["R1-08", "R1-09", "R1-10"]);
        assert_eq!(names("7..9"), ["7", "8", "9"]);
        assert_eq!(names("M030..M030"), ["M030"]);
    }

    #[test]
    fn what_is_no_range_says_why() {
        for (text, reason) in [
            ("M040..M030", "it ends before it begins"),
            ("M030..N040", "different names"),
            ("M030..", "does not end in a number"),
            ("..M030", "does not end in a number"),
            ("M030..M0040", "the same number of digits"),
            ("M1..M99999999999999999999", "too large"),
        ] {
            assert!(refusal(text).contains(reason), "{text}: {}", refusal(text));
        }
    }

    #[test]
    fn a_range_is_bounded_by_what_one_change_may_hold() {
        assert_eq!(parse("M1..M1000", 1_000).unwrap().len(), 1_000);
        assert!(parse("M1..M1001", 1_000).is_err());
        assert!(parse("M0..M18446744073709551615", 1_000).is_err());
    }

    #[test]
    fn entries_that_follow_each_other_are_written_as_a_range() {
        let entries: Vec<EntryId> =
            ["M008", "M009", "M010", "M012", "x", "M7", "M8"].iter().map(|name| EntryId::new(name).unwrap()).collect();
        assert_eq!(compress(&entries), ["M008..M010", "M012", "x", "M7..M8"]);
    }
}
