//! Connects to whichever address of a host answers first.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long an address may be silent before the next one is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// Most addresses of one name that are tried.
pub(crate) const ADDRESSES_MAX: usize = 8;

/// Connects to the first address that answers; a dead one (often IPv6) costs a quarter of a second, not the deadline.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().take(ADDRESSES_MAX);
    let mut attempts = FuturesUnordered::new();
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let next = waiting.next();
        if let Some(address) = next {
            attempts.push(TcpStream::connect(*address));
        }
        let more = waiting.len() > 0;
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => last_error = error,
                None => return Err(last_error),
            },
            () = sleep(STAGGER), if more => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_address_that_refuses_does_not_hide_one_that_accepts() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = {
            let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
            closed.local_addr().unwrap()
        };
        let addresses = [refusing, refusing, listener.local_addr().unwrap()];
        let stream = connect(&addresses).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[2]);
        assert_eq!(connect(&[refusing]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
