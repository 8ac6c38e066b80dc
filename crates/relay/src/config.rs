//! What the relay is told, and what can be wrong with it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use comity_model::Limits;

/// How to serve.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Bounds on everything that a stranger can make grow.
    pub limits: Limits,
    /// Certificate and key; without them the relay speaks plain text.
    pub tls: Option<TlsFiles>,
    /// Web pages that may connect: exact origins such as `https://app.example`, or `*` for any. What sends no
    /// `Origin`, which is everything but a browser, may always connect. Empty: no web page may.
    pub origins: Vec<String>,
    /// How long open connections may take to end at shutdown before they are cut.
    pub drain_deadline: Duration,
    /// At shutdown clients are told to come back after a time between one second and this, spread evenly.
    pub retry_spread: Duration,
}

impl ServerConfig {
    /// Serves plain text at `listen`, with default limits and to no web page.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            limits: Limits::default(),
            tls: None,
            origins: Vec::new(),
            drain_deadline: Duration::from_secs(10),
            retry_spread: Duration::from_secs(15),
        }
    }
}

/// Where certificate and key lie, both in PEM form.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain, our own first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Says why the relay cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}{}", advice(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("cannot use the TLS file {}: {detail}", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// An entry of the origin list is not an origin.
    #[error("`{0}` is not an origin; write `https://app.example`, with the port if it is not the usual one, or `*`")]
    Origin(String),
}

/// Says what is most likely behind an address that cannot be listened on.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; is another relay running there?",
        io::ErrorKind::AddrNotAvailable => "; no network interface of this machine has that address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 are for privileged programs only",
        _ => "",
    }
}
