//! What the relay answers over HTTP, and the way from a request to a WebSocket.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use comity_net::{Connection, Meter, SocketOptions, accept_key, upgraded};
use http::header::{CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use warp::Filter;
use warp::reply::Reply;

use crate::admission::{Admission, Upgrade, Vitals};
use crate::health::Health;
use crate::origin::Origins;

/// Takes accepted WebSockets: the place where the node is plugged in.
pub trait Acceptor: Clone + Send + Sync + 'static {
    /// Serves one connection until it ends. Use [`comity_net::pump::run`]: it also says the relay's goodbye at
    /// shutdown. A future that is still running when the drain deadline is over is dropped.
    fn accept(&self, connection: Connection, from: Accepted) -> impl Future<Output = ()> + Send;
}

/// Where an accepted connection comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Accepted {
    /// The peer's address, as our socket saw it. Headers that claim another are not believed.
    pub address: SocketAddr,
    /// The web page that opened it; `None` for anything but a browser.
    pub origin: Option<String>,
    /// `/` or `/sync`.
    pub path: &'static str,
}

/// What the accept loop knows about a request's connection; put into the request by us.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) admission: Arc<Admission>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) upgrade: OnUpgrade,
}

const FRIENDLY: &str = "This is a Comity relay. Connect to it by WebSocket, here or at /sync.\n";

/// Answers `/`, `/sync` and `/health`.
pub(crate) fn routes<A, H, T>(
    acceptor: A,
    health: H,
    origins: Origins,
    options: SocketOptions,
) -> impl Filter<Extract = (impl Reply + use<A, H, T>,), Error = Infallible> + Clone + use<A, H, T>
where
    A: Acceptor,
    H: Fn(Vitals) -> T + Clone + Send + Sync + 'static,
    T: Health + 'static,
{
    let health = warp::path!("health").and(warp::get()).and(warp::ext::get::<Peer>()).map(move |peer: Peer| {
        let health = health(peer.admission.admissions().vitals());
        let status = if health.is_failing() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        warp::reply::with_status(warp::reply::json(&health), status)
    });
    let path = warp::path::end().map(|| "/").or(warp::path!("sync").map(|| "/sync")).unify();
    let door = path.and(warp::get()).and(warp::header::headers_cloned()).and(warp::ext::get::<Peer>()).map(
        move |path, headers: HeaderMap, peer: Peer| {
            if headers.contains_key(UPGRADE) {
                open(&acceptor, &origins, &options, path, &headers, peer)
            } else if path == "/" {
                text(StatusCode::OK, FRIENDLY)
            } else {
                text(StatusCode::UPGRADE_REQUIRED, "This address speaks WebSocket only.\n")
            }
        },
    );
    let nothing = warp::any().map(|| text(StatusCode::NOT_FOUND, "Nothing is here. Try / or /health.\n"));
    health.or(door).or(nothing)
}

/// Answers a request to upgrade, and serves the WebSocket when the answer is written.
fn open<A: Acceptor>(
    acceptor: &A,
    origins: &Origins,
    options: &SocketOptions,
    path: &'static str,
    headers: &HeaderMap,
    peer: Peer,
) -> Response<Bytes> {
    let key = match websocket_key(headers) {
        Ok(key) => key,
        Err((status, reason)) => return text(status, reason),
    };
    let origin = match one(headers, &ORIGIN) {
        Ok(origin) => origin,
        Err(()) => return text(StatusCode::BAD_REQUEST, "The Origin header is not valid.\n"),
    };
    if !origins.allow(origin) {
        tracing::info!(address = %peer.address, ?origin, "origin refused");
        return text(StatusCode::FORBIDDEN, "This origin may not connect; the relay's operator can allow it.\n");
    }
    let from = Accepted { address: peer.address, origin: origin.map(str::to_owned), path };
    if !serve(acceptor.clone(), options.clone(), from, peer) {
        return text(StatusCode::SERVICE_UNAVAILABLE, "The relay is shutting down.\n");
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = accept_key(key.as_bytes()).parse().expect("base64 is a valid header value");
    let headers = response.headers_mut();
    headers.insert(CONNECTION, http::HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Starts the task that waits for the upgrade and serves it; false when the relay is shutting down.
fn serve<A: Acceptor>(acceptor: A, options: SocketOptions, from: Accepted, peer: Peer) -> bool {
    let admissions = peer.admission.admissions().clone();
    let Some((upgrade, goodbye)) = admissions.upgrade() else {
        return false;
    };
    let id = upgrade.id();
    let task = tokio::spawn(async move {
        let Peer { address, admission, meter, upgrade: socket } = peer;
        let _listed = upgrade;
        let options = options.from_network(admission.network()).in_room(Arc::clone(admission.admissions().room()));
        match socket.await {
            Ok(socket) => {
                let socket = upgraded(TokioIo::new(socket), meter, address.to_string(), &options).await;
                acceptor.accept(socket.with_goodbye(goodbye), from).await;
            }
            Err(error) => tracing::debug!(%address, %error, "upgrade failed"),
        }
    });
    Upgrade::served_by(&admissions, id, task.abort_handle());
    true
}

/// Checks the request of RFC 6455, section 4.2.1.
fn websocket_key(headers: &HeaderMap) -> Result<&str, (StatusCode, &'static str)> {
    let has = |name: &HeaderName, token: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    if !has(&UPGRADE, "websocket") || !has(&CONNECTION, "upgrade") {
        return Err((StatusCode::BAD_REQUEST, "Only an upgrade to WebSocket is possible here.\n"));
    }
    if one(headers, &SEC_WEBSOCKET_VERSION) != Ok(Some("13")) {
        return Err((StatusCode::UPGRADE_REQUIRED, "Only WebSocket version 13 is spoken here.\n"));
    }
    match one(headers, &SEC_WEBSOCKET_KEY) {
        // 16 bytes in base64.
        Ok(Some(key)) if key.len() == 24 => Ok(key),
        _ => Err((StatusCode::BAD_REQUEST, "The Sec-WebSocket-Key header is missing or not valid.\n")),
    }
}

/// Reads a header that may stand once at most.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(UPGRADE, http::HeaderValue::from_static("websocket"));
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, http::HeaderValue::from_static("13"));
    }
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
