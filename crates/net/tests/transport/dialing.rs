use std::time::Duration;

use bytes::Bytes;
use comity_net::{DialError, DialOptions, DialStep, Frame, Url, dial};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;

async fn listen() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/sync", listener.local_addr().unwrap()).parse().unwrap();
    (listener, url)
}

#[tokio::test]
async fn a_dialled_link_carries_a_mebibyte_both_ways() {
    let (listener, url) = listen().await;
    let echo = tokio::spawn(async move {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let mut connection = dial(&url, &DialOptions::default()).await.unwrap();
    let bytes: Bytes = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    connection.send(Frame::Message(bytes.clone())).await.unwrap();
    assert_eq!(connection.receive().await.unwrap().unwrap(), Frame::Message(bytes));
    drop(connection);
    echo.await.unwrap();
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_named() {
    let (listener, url) = listen().await;
    drop(listener);
    let error = dial(&url, &DialOptions::default()).await.unwrap_err();
    assert!(matches!(&error, DialError::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&url.authority()));
}

#[tokio::test]
async fn a_web_server_that_is_no_relay_is_reported_with_its_status() {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    let error = dial(&url, &DialOptions::default()).await.unwrap_err();
    assert!(matches!(&error, DialError::Refused { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn something_that_speaks_another_protocol_is_reported() {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
    });
    let error = dial(&url, &DialOptions::default()).await.unwrap_err();
    assert!(matches!(&error, DialError::Upgrade { .. }), "{error}");
}

// S1.4
#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up_at_the_deadline() {
    let (_listener, url) = listen().await;
    let mut options = DialOptions::default();
    options.connect_timeout = Duration::from_millis(50);
    let error = dial(&url, &options).await.unwrap_err();
    assert!(matches!(&error, DialError::TimedOut { step: DialStep::Upgrade, .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_setting_is_found_before_anybody_is_called() {
    let mut options = DialOptions::default();
    options.extra_roots = Some("/nowhere/roots.pem".into());
    let error = dial(&"wss://127.0.0.1:1/".parse().unwrap(), &options).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/roots.pem"), "{error}");

    let mut options = DialOptions::default();
    options.user_agent = "two\r\nlines".into();
    let error = dial(&"ws://127.0.0.1:1/".parse().unwrap(), &options).await.unwrap_err();
    assert!(matches!(&error, DialError::Request { .. }), "{error}");
}
