use std::time::Duration;

use comity_net::pump::CloseReason;
use comity_net::{Connection, DialError, DialOptions, Frame, LinkError, dial};
use comity_relay::{Accepted, Acceptor, ServeError, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{config, config_with, echo, goodbye, read_to_end, start};

// D4
#[tokio::test]
async fn both_paths_carry_a_mebibyte_both_ways() {
    let mut relay = start(config()).await;
    for path in ["/", "/sync"] {
        let url = format!("ws://{}{path}", relay.address).parse().unwrap();
        let mut connection = dial(&url, &DialOptions::default()).await.unwrap();
        echo(&mut connection, vec![5; 1 << 20]).await;
        echo(&mut connection, vec![]).await;
        drop(connection);
        let ended = relay.ended.recv().await.unwrap();
        assert_eq!(ended.from.path, path);
        assert_eq!(ended.from.origin, None);
        assert!(ended.from.address.ip().is_loopback());
        assert!(matches!(ended.reason, CloseReason::Vanished));
    }
    let nowhere = format!("ws://{}/elsewhere", relay.address).parse().unwrap();
    let error = dial(&nowhere, &DialOptions::default()).await.unwrap_err();
    assert!(matches!(error, DialError::Refused { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn health_and_a_friendly_text_are_answered() {
    let relay = start(config()).await;
    let mut connection = relay.dial().await.unwrap();
    echo(&mut connection, "x").await;
    let vitals = relay.vitals().await;
    assert_eq!((vitals["websockets"].as_u64(), vitals["draining"].as_bool()), (Some(1), Some(false)));
    let front = relay.get("/", "").await;
    assert!(front.starts_with("HTTP/1.1 200") && front.contains("Comity relay"), "{front}");
    assert!(relay.get("/sync", "").await.starts_with("HTTP/1.1 426"));
    assert!(relay.get("/secret", "").await.starts_with("HTTP/1.1 404"));
}

#[derive(serde::Serialize)]
struct Sick {
    trouble: &'static str,
}

impl comity_relay::Health for Sick {
    fn is_failing(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_relay_that_should_be_started_again_answers_503_and_says_why() {
    let server = Server::bind(config()).await.unwrap();
    let address = server.local_addr();
    let (_stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sick = |_| Sick { trouble: "the disk is gone" };
    tokio::spawn(server.run(Deaf, sick, async { stopped.await.unwrap_or_default() }));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("{\"trouble\":\"the disk is gone\"}"), "{answer}");
}

/// `S3.1`: after a restart everybody comes back at once. Nobody is accepted here yet, so all of them are in the queue;
/// whoever does not fit in would try again after a second, for ever.
#[tokio::test]
async fn a_crowd_that_comes_at_once_finds_a_place_in_the_queue() {
    let server = Server::bind(config()).await.unwrap();
    let address = server.local_addr();
    let mut queue = tokio::task::JoinSet::new();
    for _ in 0..400 {
        queue.spawn(TcpStream::connect(address));
    }
    let all = tokio::time::timeout(Duration::from_secs(20), queue.join_all()).await;
    assert!(all.expect("all are in the queue").iter().all(Result::is_ok));
}

/// Hangs up on everybody.
#[derive(Clone)]
struct Deaf;

impl Acceptor for Deaf {
    async fn accept(&self, _: Connection, _: Accepted) {}
}

#[tokio::test]
async fn a_message_over_the_limit_ends_its_own_connection_only() {
    let mut relay = start(config_with(|limits| limits.message_bytes_max = 300_000)).await;
    let mut bystander = relay.dial().await.unwrap();
    let mut greedy = relay.dial().await.unwrap();
    echo(&mut greedy, vec![1; 300_000]).await;
    let _ = greedy.send(Frame::Message(vec![1; 300_001].into())).await;
    assert_eq!(goodbye(&mut greedy).await.code, 1009);
    drop(greedy);
    let ended = relay.ended.recv().await.unwrap();
    assert!(matches!(ended.reason, CloseReason::Failed(LinkError::TooLong { .. })), "{ended:?}");
    echo(&mut bystander, vec![2; 300_000]).await;
}

#[tokio::test]
async fn places_are_limited_and_freed_again() {
    let mut relay = start(config_with(|limits| limits.connections_max = 3)).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut connection = relay.dial().await.unwrap();
        echo(&mut connection, "x").await;
        open.push(connection);
    }
    assert!(relay.dial().await.is_err(), "one more than allowed");
    for connection in &mut open {
        echo(connection, "still there").await;
    }
    drop(open.pop());
    relay.ended.recv().await.unwrap();
    // The place is free as soon as the relay's task is gone, a moment after it has told the test.
    let mut again = loop {
        if let Ok(connection) = relay.dial().await {
            break connection;
        }
        tokio::task::yield_now().await;
    };
    echo(&mut again, "x").await;
}

#[tokio::test]
async fn places_for_one_address_are_limited_and_a_panic_frees_one() {
    let relay = start(config_with(|limits| limits.connections_per_address_max = 2)).await;
    let mut first = relay.dial().await.unwrap();
    let mut second = relay.dial().await.unwrap();
    echo(&mut second, "x").await;
    assert!(relay.dial().await.is_err(), "one more than allowed");
    first.send(Frame::Message("panic".into())).await.unwrap();
    assert!(matches!(first.receive().await, None | Some(Err(_))));
    let mut again = loop {
        if let Ok(connection) = relay.dial().await {
            break connection;
        }
        tokio::task::yield_now().await;
    };
    echo(&mut again, "x").await;
    echo(&mut second, "x").await;
}

#[tokio::test]
async fn a_web_page_connects_only_when_it_is_listed() {
    let mut settings = config();
    settings.origins = vec!["https://app.example".into()];
    let mut relay = start(settings).await;
    assert!(relay.upgrade("origin: https://app.example\r\n").await.contains("101"));
    assert_eq!(relay.ended.recv().await.unwrap().from.origin.as_deref(), Some("https://app.example"));
    assert!(relay.upgrade("origin: https://evil.example\r\n").await.contains("403"));
    assert!(relay.upgrade("origin: null\r\n").await.contains("403"));
    let twice = "origin: https://app.example\r\norigin: https://evil.example\r\n";
    assert!(relay.upgrade(twice).await.contains("400"));
    assert!(relay.upgrade("").await.contains("101"), "what is no browser may connect");

    let mut open = config();
    open.origins = vec!["*".into()];
    assert!(start(open).await.upgrade("origin: https://any.example\r\n").await.contains("101"));

    let mut wrong = config();
    wrong.origins = vec!["app.example".into()];
    assert!(matches!(Server::bind(wrong).await.err(), Some(ServeError::Origin(_))));
}

#[tokio::test]
async fn a_client_that_goes_silent_after_the_upgrade_is_found() {
    let quick = config_with(|limits| {
        limits.ping_interval = Duration::from_millis(30);
        limits.dead_after = Duration::from_millis(150);
    });
    let mut relay = start(quick).await;
    let mut stream = TcpStream::connect(relay.address).await.unwrap();
    let request = format!("GET /sync HTTP/1.1\r\n{}\r\n", crate::support::UPGRADE);
    stream.write_all(request.as_bytes()).await.unwrap();
    let ended = relay.ended.recv().await.unwrap();
    assert!(matches!(ended.reason, CloseReason::Silent(_)), "{ended:?}");
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 101"));
}

#[tokio::test]
async fn a_restart_tells_each_client_when_to_come_back_and_drains() {
    let mut settings = config();
    settings.retry_spread = Duration::from_secs(9);
    let mut relay = start(settings).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut connection = relay.dial().await.unwrap();
        echo(&mut connection, "x").await;
        clients.push(connection);
    }
    // An idle connection that never became a WebSocket must not hold the shutdown up.
    let mut idle = TcpStream::connect(relay.address).await.unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: relay\r\n\r\n").await.unwrap();
    idle.readable().await.unwrap();

    relay.stop();
    let mut waits = Vec::new();
    for mut connection in clients {
        let goodbye = goodbye(&mut connection).await;
        assert_eq!(goodbye.code, 1012);
        waits.push(goodbye.retry_after().unwrap().as_secs());
    }
    waits.sort_unstable();
    assert_eq!(waits, [1, 3, 5, 7]);
    assert!(relay.dial().await.is_err(), "nobody new is let in");
    assert_eq!(relay.task.await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_client_that_ignores_the_goodbye_is_cut_at_the_drain_deadline() {
    let mut settings = config();
    settings.drain_deadline = Duration::from_millis(100);
    let mut relay = start(settings).await;
    let mut stubborn = relay.dial().await.unwrap();
    echo(&mut stubborn, "x").await;
    relay.stop();
    assert_eq!(relay.task.await.unwrap().cut, 1);
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let relay = start(config()).await;
    let mut taken = config();
    taken.listen = relay.address;
    let error = Server::bind(taken).await.err().unwrap().to_string();
    assert!(error.contains(&relay.address.to_string()), "{error}");
}
