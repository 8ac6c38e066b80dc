//! Words and signs of an expression, with where they stand.

use super::{Expr, ExprError};

/// A word or sign.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    /// Digits. May be above the range of numbers; the parser knows the sign.
    Int(i128),
    /// A text in quotes.
    Text(String),
    /// A bare word: a name, or a reserved word.
    Word(String),
    /// A name in backticks.
    Name(String),
    /// A sign.
    Sign(&'static str),
    /// The end of the text.
    End,
}

impl Token {
    /// What it is, for messages.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Text(_) => "a text".to_owned(),
            Self::Word(word) => format!("`{}`", crate::policy::excerpt(word)),
            Self::Name(name) => format!("the name `{}`", crate::policy::excerpt(name)),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

const SIGNS: &[&str] = &["==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "(", ")", ",", "."];

/// Splits a text into tokens, each with the byte at which it begins; the last is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExprError> {
    if text.len() > Expr::BYTES_MAX {
        let what = format!("the expression has {} bytes, and may have {}", text.len(), Expr::BYTES_MAX);
        return Err(ExprError::new(0, what, "split it into several rules"));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let (token, length) = one(&text[at..], first).map_err(|error| error.shifted(at))?;
        tokens.push((at, token));
        at += length;
    }
    tokens.push((text.len(), Token::End));
    Ok(tokens)
}

fn one(rest: &str, first: char) -> Result<(Token, usize), ExprError> {
    let run = |fits: fn(&u8) -> bool| rest.bytes().take_while(fits).count();
    match first {
        '0'..='9' => {
            let length = run(u8::is_ascii_digit);
            if rest[length..].starts_with(['.', 'e', 'E'])
                && rest[length + 1..].starts_with(|c: char| c.is_ascii_digit())
            {
                let help = "use whole numbers, such as cents instead of euros";
                return Err(ExprError::new(0, "a number has a fraction".to_owned(), help));
            }
            // More digits than any number of 64 bits has.
            let value = rest[..length].parse().unwrap_or(i128::MAX);
            Ok((Token::Int(value), length))
        }
        'a'..='z' | 'A'..='Z' | '_' => {
            let length = run(|b| b.is_ascii_alphanumeric() || *b == b'_');
            Ok((Token::Word(rest[..length].to_owned()), length))
        }
        '"' | '\'' => text(rest, first),
        '`' => name(rest),
        _ => sign(rest, first),
    }
}

fn sign(rest: &str, first: char) -> Result<(Token, usize), ExprError> {
    if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        return Ok((Token::Sign(sign), sign.len()));
    }
    let help = match first {
        '=' => "write == for \"is equal to\"",
        '!' => "write != for \"differs from\", and `not` for the opposite",
        '&' => "write `and`",
        '|' => "write `or`",
        '/' | '%' => "there is no division: multiply the other side instead",
        _ => "a name that is not a plain word stands in backticks, as in `planned end`",
    };
    Err(ExprError::new(0, format!("{first:?} means nothing here"), help))
}

fn text(rest: &str, quote: char) -> Result<(Token, usize), ExprError> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == quote => return Ok((Token::Text(text), at + 1)),
            '\\' => match letters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, 't')) => text.push('\t'),
                Some((_, escaped @ ('"' | '\'' | '\\'))) => text.push(escaped),
                _ => {
                    let help = "after a backslash stands one of n r t \" ' \\";
                    return Err(ExprError::new(at, "a backslash stands before something else".to_owned(), help));
                }
            },
            other => text.push(other),
        }
    }
    Err(ExprError::new(0, "the text has no end".to_owned(), "close it with the quote that it begins with"))
}

fn name(rest: &str) -> Result<(Token, usize), ExprError> {
    let mut name = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != '`' {
            name.push(letter);
        } else if letters.next_if(|(_, next)| *next == '`').is_some() {
            name.push('`');
        } else {
            return Ok((Token::Name(name), at + 1));
        }
    }
    Err(ExprError::new(0, "the name has no end".to_owned(), "close it with a backtick"))
}
