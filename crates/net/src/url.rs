//! Where to dial.

use std::fmt;
use std::str::FromStr;

/// The address of a WebSocket: `ws://host[:port][/path]` or `wss://…`.
///
/// ```
/// let url: comity_net::Url = "wss://relay.example/sync".parse()?;
/// assert_eq!((url.host(), url.port(), url.is_secure()), ("relay.example", 443, true));
/// assert!("https://relay.example".parse::<comity_net::Url>().is_err());
/// # Ok::<(), comity_net::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    secure: bool,
    /// Without brackets.
    host: String,
    port: u16,
    /// Path and query; begins with a slash.
    target: String,
}

/// Says why a text is not a WebSocket address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin as it must.
    #[error("`{0}` must begin with ws:// or wss://")]
    Scheme(String),
    /// It is not a URL.
    #[error("`{0}` is not a URL; it should look like wss://relay.example:443/sync")]
    Syntax(String),
    /// It has no host.
    #[error("`{0}` names no host")]
    Host(String),
    /// It carries a name or password, which would end in logs.
    #[error("a URL must not carry a user name or password; give a token by its own setting")]
    UserInfo,
    /// The port is not a port.
    #[error("`{0}` has no valid port; ports are 1 to 65535")]
    Port(String),
}

impl Url {
    /// Says whether TLS is used.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Gives the host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Gives the port: 80 or 443 when not written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Gives path and query; at least `/`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Gives the host, with brackets where needed, and the port where it is not the usual one.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual_port(self.secure) { host } else { format!("{host}:{}", self.port) }
    }
}

fn usual_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let secure = match text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(UrlError::Scheme(text.to_owned())),
        };
        let authority = text.split("://").nth(1).unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err(UrlError::Host(text.to_owned()));
        }
        let uri: http::Uri = text.parse().map_err(|_| UrlError::Syntax(text.to_owned()))?;
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(UrlError::Host(text.to_owned()));
        }
        if host.contains(['[', ']']) {
            return Err(UrlError::Syntax(text.to_owned()));
        }
        let port_is_written = !authority.ends_with(']') && authority.contains(':');
        let port = match uri.port_u16() {
            Some(port) if port > 0 => port,
            None if !port_is_written => usual_port(secure),
            _ => return Err(UrlError::Port(text.to_owned())),
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { secure, host: host.to_owned(), port, target })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Url, UrlError> {
        text.parse()
    }

    #[test]
    fn usual_addresses_are_understood() {
        for (text, shown) in [
            ("ws://127.0.0.1:3030", "ws://127.0.0.1:3030/"),
            ("wss://relay.example", "wss://relay.example/"),
            ("WSS://relay.example:443/sync?x=1", "wss://relay.example/sync?x=1"),
            ("ws://[::1]:8080/sync", "ws://[::1]:8080/sync"),
            ("ws://[fe80::1]", "ws://[fe80::1]/"),
            ("ws://host?x", "ws://host/?x"),
        ] {
            let url = parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(parse(shown).unwrap(), url);
        }
        assert_eq!(parse("ws://[::1]:8080/").unwrap().host(), "::1");
    }

    #[test]
    fn wrong_addresses_are_refused_with_the_reason() {
        assert!(matches!(parse("relay.example"), Err(UrlError::Scheme(_))));
        assert!(matches!(parse("http://relay.example"), Err(UrlError::Scheme(_))));
        assert!(matches!(parse("ws://"), Err(UrlError::Host(_))));
        assert!(matches!(parse("ws://:80"), Err(UrlError::Host(_))));
        assert!(matches!(parse("ws://me:secret@host"), Err(UrlError::UserInfo)));
        assert!(matches!(parse("ws://host:0"), Err(UrlError::Port(_))));
        assert!(parse("ws://host:65536").is_err());
        assert!(parse("ws://host:").is_err());
        assert!(parse("ws://ho st").is_err());
        assert!(matches!(parse("wss://-[]/sync"), Err(UrlError::Syntax(_))), "it would be shown as wss://-[/sync");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(ws://|wss://)?\\PC{0,40}") {
            if let Ok(url) = parse(&text) {
                prop_assert_eq!(parse(&url.to_string()), Ok(url));
            }
        }
    }
}
