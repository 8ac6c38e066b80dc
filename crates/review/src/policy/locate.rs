//! Where something stands in the text of a policy.

/// Gives line and column, from 1, of a byte; the column in characters.
pub(super) fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(byte)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
    (line, 1 + before[line_start..].chars().count())
}

/// Gives the byte of a TOML string, quotes included, at which a byte of its value stands.
pub(super) fn byte_in_string(raw: &str, value_byte: usize) -> usize {
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
    let mut at = quotes;
    if quotes == 3 {
        // The first line break does not belong to the value.
        let body = &raw[at..];
        let rest = body.strip_prefix("\r\n").or_else(|| body.strip_prefix('\n')).unwrap_or(body);
        at += body.len() - rest.len();
    }
    if raw.starts_with('\'') {
        return (at + value_byte).min(raw.len());
    }
    let mut done = 0;
    while done < value_byte {
        let Some((length, gives)) = letter(&raw[at..]) else { break };
        at += length;
        done += gives;
    }
    at
}

/// Gives the bytes of the first letter of a basic string, and the bytes that it stands for.
fn letter(raw: &str) -> Option<(usize, usize)> {
    let first = raw.chars().next()?;
    if first != '\\' {
        return Some((first.len_utf8(), first.len_utf8()));
    }
    let escaped = raw[1..].chars().next()?;
    let digits = match escaped {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ if escaped.is_whitespace() => {
            // A backslash at the end of a line swallows all white space after it.
            return Some((raw.len() - raw[1..].trim_start().len(), 0));
        }
        _ => return Some((1 + escaped.len_utf8(), 1)),
    };
    let code = raw.get(2..2 + digits).and_then(|code| u32::from_str_radix(code, 16).ok());
    Some((2 + digits, code.and_then(char::from_u32).map_or(1, char::len_utf8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        let text = "a = 1\nü = 'x'\n";
        assert_eq!(line_and_column(text, 0), (1, 1));
        assert_eq!(line_and_column(text, text.find('x').unwrap()), (2, 6));
        assert_eq!(line_and_column(text, text.len()), (3, 1));
    }

    #[test]
    fn a_byte_of_a_value_is_found_again_in_every_sort_of_string() {
        for raw in [
            "'a b ! c'",
            "\"a b ! c\"",
            r#""\"dead\" \\ \u00fc \x41 \U0001F600 ! c""#,
            "'''\na b ! c'''",
            "'''a b ! c'''",
            "\"\"\"\r\na \\\n   b ! c\"\"\"",
            "\"\"\"\n\na ! c\"\"\"",
        ] {
            let text = format!("x = {raw}");
            let table: toml::Table = text.parse().unwrap();
            let value = table["x"].as_str().unwrap();
            let found = byte_in_string(raw, value.find('!').unwrap());
            assert_eq!(&raw[found..=found], "!", "{raw}");
        }
    }
}
