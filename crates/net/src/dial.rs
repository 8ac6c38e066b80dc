//! Opens a WebSocket to a relay.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::USER_AGENT;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WsError;

use crate::connection::Connection;
use crate::meter::{Meter, Metered};
use crate::pieces::Pieces;
use crate::url::Url;
use crate::websocket::{SocketOptions, WebSocketTransport, buffered};
use crate::{race, reason, tls};

/// How to dial.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DialOptions {
    /// Time for everything from the name to the answered upgrade.
    pub connect_timeout: Duration,
    /// Longest message received.
    pub message_bytes_max: usize,
    /// A file of certificates (PEM) that are trusted beside the public authorities.
    pub extra_roots: Option<PathBuf>,
    /// What the relay sees as `User-Agent`; visible ASCII.
    pub user_agent: String,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            message_bytes_max: comity_model::Limits::default().message_bytes_max,
            extra_roots: None,
            user_agent: concat!("comity/", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}

impl DialOptions {
    /// Checks what would be wrong with every dial: a file of certificates that cannot be used.
    ///
    /// # Errors
    /// [`DialError::Roots`].
    pub fn check(&self) -> Result<(), DialError> {
        tls::client_config(self.extra_roots.as_deref()).map(drop)
    }
}

/// A step of dialing, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialStep {
    /// Finding the addresses of the host.
    Resolve,
    /// Connecting by TCP.
    Connect,
    /// Agreeing on TLS.
    Tls,
    /// Upgrading to WebSocket.
    Upgrade,
}

impl fmt::Display for DialStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "looking up the name",
            Self::Connect => "connecting",
            Self::Tls => "agreeing on TLS",
            Self::Upgrade => "waiting for the answer to the WebSocket upgrade",
        })
    }
}

/// Says why a relay could not be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The host name has no address.
    #[error("cannot find the address of `{host}`: {source}; check the name and the network")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address accepted a connection.
    #[error("cannot connect to {authority}: {source}")]
    Connect {
        /// Host and port.
        authority: String,
        /// What the operating system said of the last address tried.
        source: io::Error,
    },
    /// TLS failed: most often a certificate that is not trusted.
    #[error("cannot agree on TLS with {authority}: {reason}")]
    Tls {
        /// Host and port.
        authority: String,
        /// What rustls said, in words.
        reason: String,
    },
    /// The file of extra certificates cannot be used.
    #[error("cannot use the certificates in {}: {detail}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The relay answered, but not with an upgrade.
    #[error("{url} answered with HTTP status {status} and not with a WebSocket")]
    Refused {
        /// Where.
        url: Url,
        /// The status code.
        status: u16,
    },
    /// The answer was not HTTP or not a valid upgrade.
    #[error("{url} does not speak WebSocket: {detail}")]
    Upgrade {
        /// Where.
        url: Url,
        /// What was wrong.
        detail: String,
    },
    /// The user agent or path cannot stand in a request.
    #[error("the request to {url} cannot be written: {detail}")]
    Request {
        /// Where.
        url: Url,
        /// What was wrong.
        detail: String,
    },
    /// It took too long.
    #[error("{url} did not answer within {} s while {step}", after.as_secs_f32())]
    TimedOut {
        /// Where.
        url: Url,
        /// What was being waited for.
        step: DialStep,
        /// The time allowed.
        after: Duration,
    },
}

/// Opens a connection to `url`.
pub async fn dial(url: &Url, options: &DialOptions) -> Result<Connection, DialError> {
    let (step, seen) = watch::channel(DialStep::Resolve);
    match timeout(options.connect_timeout, attempt(url, options, &step)).await {
        Ok(result) => result,
        Err(_) => {
            let step = *seen.borrow();
            Err(DialError::TimedOut { url: url.clone(), step, after: options.connect_timeout })
        }
    }
}

async fn attempt(url: &Url, options: &DialOptions, step: &watch::Sender<DialStep>) -> Result<Connection, DialError> {
    // What is wrong on this side is found before anybody is called.
    let request = request(url, options)?;
    let tls = if url.is_secure() { Some(tls::client_config(options.extra_roots.as_deref())?) } else { None };

    let addresses: Vec<_> = tokio::net::lookup_host((url.host(), url.port()))
        .await
        .map_err(|source| DialError::Resolve { host: url.host().to_owned(), source })?
        .take(race::ADDRESSES_MAX)
        .collect();
    step.send_replace(DialStep::Connect);
    let connect_error = |source| DialError::Connect { authority: url.authority(), source };
    let stream = race::connect(&addresses).await.map_err(connect_error)?;
    stream.set_nodelay(true).map_err(connect_error)?;
    let stream = Metered::new(stream);
    let meter = stream.meter();

    let Some(config) = tls else {
        step.send_replace(DialStep::Upgrade);
        return upgrade(url, request, stream, meter, options).await;
    };
    step.send_replace(DialStep::Tls);
    let tls_error = |reason| DialError::Tls { authority: url.authority(), reason };
    let name = ServerName::try_from(url.host().to_owned()).map_err(|error| tls_error(error.to_string()))?;
    let stream =
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| tls_error(reason::tls(&error)))?;
    step.send_replace(DialStep::Upgrade);
    upgrade(url, request, stream, meter, options).await
}

fn request(url: &Url, options: &DialOptions) -> Result<Request<()>, DialError> {
    let unwritable = |detail: String| DialError::Request { url: url.clone(), detail };
    let mut request = url.to_string().into_client_request().map_err(|error| unwritable(error.to_string()))?;
    let agent = options.user_agent.parse().map_err(|_| unwritable("the user agent is not visible ASCII".into()))?;
    request.headers_mut().insert(USER_AGENT, agent);
    Ok(request)
}

async fn upgrade<S>(
    url: &Url,
    request: Request<()>,
    stream: S,
    meter: Arc<Meter>,
    options: &DialOptions,
) -> Result<Connection, DialError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let config = SocketOptions::new(options.message_bytes_max).config();
    let stream = Pieces::after_head(buffered(stream), options.message_bytes_max);
    let (socket, _) = client_async_with_config(request, stream, Some(config)).await.map_err(|error| {
        let url = url.clone();
        match error {
            WsError::Http(response) => DialError::Refused { url, status: response.status().as_u16() },
            other => DialError::Upgrade { url, detail: reason::upgrade(&other) },
        }
    })?;
    Ok(Connection::new(url.to_string(), WebSocketTransport::new(socket, meter)))
}
