//! Which web pages may connect.

use crate::config::ServeError;

/// Decides by the `Origin` header. It guards people whose browser visits a hostile page, not the relay: anything but a
/// browser can write whatever it likes there.
#[derive(Clone, Debug)]
pub(crate) enum Origins {
    Any,
    Only(Vec<String>),
}

impl Origins {
    pub(crate) fn parse(entries: &[String]) -> Result<Self, ServeError> {
        let mut only = Vec::new();
        for entry in entries {
            if entry == "*" {
                return Ok(Self::Any);
            }
            only.push(normal(entry).ok_or_else(|| ServeError::Origin(entry.clone()))?);
        }
        Ok(Self::Only(only))
    }

    /// `None`: no `Origin` was sent, so this is no browser.
    pub(crate) fn allow(&self, origin: Option<&str>) -> bool {
        match (self, origin) {
            (Self::Any, _) | (_, None) => true,
            (Self::Only(only), Some(origin)) => only.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)),
        }
    }
}

/// Browsers send scheme, host and port only: a trailing slash in the list would never match.
fn normal(entry: &str) -> Option<String> {
    let entry = entry.strip_suffix('/').unwrap_or(entry);
    let (scheme, rest) = entry.split_once("://")?;
    let plain = |text: &str, more: &[char]| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c))
    };
    (plain(scheme, &['+', '-', '.']) && plain(rest, &['-', '.', ':', '[', ']', '_'])).then(|| entry.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(entries: &[&str]) -> Result<Origins, ServeError> {
        Origins::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn only_listed_pages_and_programs_may_connect() {
        let listed = origins(&["https://app.example", "http://localhost:5173/"]).unwrap();
        assert!(listed.allow(None));
        assert!(listed.allow(Some("https://app.example")));
        assert!(listed.allow(Some("http://localhost:5173")));
        for other in ["http://app.example", "https://app.example:8443", "https://app.example.evil", "null", ""] {
            assert!(!listed.allow(Some(other)), "{other}");
        }
        assert!(!origins(&[]).unwrap().allow(Some("https://app.example")));
        assert!(origins(&["*"]).unwrap().allow(Some("null")));
    }

    #[test]
    fn an_entry_that_could_never_match_is_an_error() {
        for wrong in ["app.example", "https://app.example/page", "https://", "", "*.example"] {
            assert!(matches!(origins(&[wrong]), Err(ServeError::Origin(_))), "{wrong}");
        }
    }
}
