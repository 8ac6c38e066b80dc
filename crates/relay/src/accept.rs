//! The accept loop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use comity_model::Limits;
use comity_net::{Meter, Metered, SocketOptions};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use crate::admission::{Admission, Admissions, Full, Vitals};
use crate::config::{ServeError, ServerConfig};
use crate::health::Health;
use crate::origin::Origins;
use crate::routes::{Acceptor, Peer, routes};
use crate::tls;

/// Rest after an accept that failed because something is used up (files, memory): trying at once would only spin.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Trouble that any stranger can cause is told once in this time, with a count: a flood at the door must not become
/// one in the log.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// A connection that has not become a WebSocket may live for this many header deadlines, however many requests it
/// sends: enough for a monitor, too little to be worth holding.
const HTTP_DEADLINES_MAX: u32 = 12;

/// hyper refuses a smaller buffer.
const HTTP_BUFFER_BYTES_MIN: usize = 8 * 1024;

const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A relay that is bound to its address and not serving yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: ServerConfig,
    origins: Origins,
    tls: Option<TlsAcceptor>,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that had to be cut when the drain deadline was over.
    pub cut: usize,
}

impl Server {
    /// Checks the configuration and begins to listen: clients queue from now on.
    pub async fn bind(config: ServerConfig) -> Result<Self, ServeError> {
        let origins = Origins::parse(&config.origins)?;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let listen_error = |source| ServeError::Listen { address: config.listen, source };
        let listener = listen(config.listen, config.limits.connections_max).map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        Ok(Self { listener, address, config, origins, tls })
    }

    /// Gives the address in use, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready, then drains.
    ///
    /// `health` makes the answer to `GET /health` from what the door knows; it is called for each such request.
    pub async fn run<A, H, T>(self, acceptor: A, health: H, shutdown: impl Future<Output = ()>) -> Drained
    where
        A: Acceptor,
        H: Fn(Vitals) -> T + Clone + Send + Sync + 'static,
        T: Health + 'static,
    {
        let Self { listener, address, config, origins, tls } = self;
        let admissions = Admissions::new(&config.limits);
        let (stop, stopped) = watch::channel(false);
        let options = SocketOptions::new(config.limits.message_bytes_max);
        let service = TowerToHyperService::new(warp::service(routes(acceptor, health, origins, options)));
        let door = Door { http: http(&config.limits), deadline: config.limits.header_deadline, tls, service, stopped };
        let (mut failures, mut refusals) = (Seldom::default(), Seldom::default());
        tracing::info!(%address, tls = door.tls.is_some(), "relay serves");

        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, from)) => {
                        if let Err(full) = door.enter(&admissions, stream, from)
                            && let Some(refused) = refusals.tell()
                        {
                            tracing::warn!(address = %from, ?full, refused, "connections are refused");
                        }
                    }
                    Err(error) => rest_after(&error, &mut failures).await,
                },
                () = shutdown.as_mut() => break,
            }
        }
        drop(listener);
        tracing::info!(connections = admissions.vitals().connections, "relay drains");
        admissions.say_goodbye(config.retry_spread);
        stop.send_replace(true);
        let cut = match timeout(config.drain_deadline, admissions.emptied()).await {
            Ok(()) => 0,
            Err(_) => admissions.cut(),
        };
        tracing::info!(cut, "relay stopped");
        Drained { cut }
    }
}

/// Listens, with a queue for as many clients as may be connected: after a restart all of them come back at once, and one
/// that finds the usual queue of 128 full tries again only after a second, and then after two more.
fn listen(address: SocketAddr, connections_max: usize) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Or a restart would find the port taken by connections of the run before.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // The system has a bound of its own.
    socket.listen(u32::try_from(connections_max).unwrap_or(u32::MAX).clamp(128, 65_535))
}

async fn rest_after(error: &io::Error, failures: &mut Seldom) {
    // The client went before it was accepted: that says nothing about the next one.
    let harmless = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::Interrupted];
    if harmless.contains(&error.kind()) {
        return;
    }
    if let Some(times) = failures.tell() {
        tracing::warn!(%error, times, "cannot accept connections; is the limit on open files too low?");
    }
    tokio::time::sleep(ACCEPT_REST).await;
}

/// Counts what happens, and says now and then that it is time to tell.
#[derive(Default)]
struct Seldom {
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// Gives how often it has happened since it was told last, when it is time to tell again.
    fn tell(&mut self) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| told.elapsed() < TELL_AGAIN) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}

fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_deadline)
        .max_headers(limits.headers_max)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(limits.header_bytes_max.max(HTTP_BUFFER_BYTES_MIN))
        .keep_alive(true);
    http
}

/// What every connection needs.
#[derive(Clone)]
struct Door<S> {
    http: http1::Builder,
    deadline: Duration,
    tls: Option<TlsAcceptor>,
    service: S,
    stopped: watch::Receiver<bool>,
}

impl<S> Door<S>
where
    S: Service<Request<Incoming>, Response = warp::reply::Response, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    fn enter(&self, admissions: &Arc<Admissions>, stream: TcpStream, address: SocketAddr) -> Result<(), Full> {
        let admission = match admissions.admit(address.ip()) {
            Ok(admission) => admission,
            Err(full) => {
                self.refuse(&stream);
                return Err(full);
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%address, %error, "client went while it was accepted");
            return Ok(());
        }
        let door = self.clone();
        tokio::spawn(async move {
            let stream = Metered::new(stream);
            let meter = stream.meter();
            let seed = PeerSeed { address, admission, meter };
            let Some(tls) = &door.tls else {
                return door.serve(stream, seed).await;
            };
            match timeout(door.deadline, tls.accept(stream)).await {
                Ok(Ok(stream)) => door.serve(stream, seed).await,
                Ok(Err(error)) => tracing::debug!(%address, %error, "TLS failed"),
                Err(_) => tracing::debug!(%address, "TLS took too long"),
            }
        });
        Ok(())
    }

    fn refuse(&self, stream: &TcpStream) {
        if self.tls.is_none() {
            // A courtesy: the client may well be gone before it reads this.
            let _ = stream.try_write(FULL);
        }
    }

    /// Answers requests until the client goes, its time is over, or it becomes a WebSocket.
    async fn serve<I>(self, io: I, seed: PeerSeed)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { http, deadline, service, mut stopped, .. } = self;
        let address = seed.address;
        let service = service_fn(move |mut request: Request<Incoming>| {
            let upgrade = hyper::upgrade::on(&mut request);
            let PeerSeed { address, admission, meter } = seed.clone();
            request.extensions_mut().insert(Peer { address, admission, meter, upgrade });
            service.call(request)
        });
        let mut connection = pin!(http.serve_connection(TokioIo::new(io), service).with_upgrades());
        let served = timeout(deadline.saturating_mul(HTTP_DEADLINES_MAX), async {
            tokio::select! {
                served = connection.as_mut() => return served,
                // An error means that the server is gone, which is a stop as well.
                _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
            }
            tokio::select! {
                served = connection => served,
                // The server is gone: the drain deadline is over.
                _ = stopped.wait_for(|_| false) => Ok(()),
            }
        });
        match served.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%address, %error, "request failed"),
            Err(_) => tracing::debug!(%address, "a connection that stayed HTTP was closed"),
        }
    }
}

/// What is known about a connection before its first request.
#[derive(Clone)]
struct PeerSeed {
    address: SocketAddr,
    admission: Arc<Admission>,
    meter: Arc<Meter>,
}
