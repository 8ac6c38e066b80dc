use std::fmt::Write as _;
use std::time::{Duration, Instant};

use comity_relay::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{config, config_with, echo, read_to_end, start};

const DEADLINE: Duration = Duration::from_millis(200);

fn impatient() -> ServerConfig {
    config_with(|limits| limits.header_deadline = DEADLINE)
}

#[tokio::test]
async fn a_client_that_drips_its_headers_is_cut_at_the_deadline() {
    let relay = start(impatient()).await;
    let began = Instant::now();
    let mut stream = TcpStream::connect(relay.address).await.unwrap();
    stream.write_all(b"GET /sync HTTP/1.1\r\n").await.unwrap();
    let (mut read, mut write) = stream.split();
    let drip = async {
        loop {
            // Being slow is the attack.
            tokio::time::sleep(DEADLINE / 10).await;
            if write.write_all(b"x: y\r\n").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut sink = tokio::io::sink();
    tokio::select! {
        () = drip => unreachable!(),
        _ = tokio::io::copy(&mut read, &mut sink) => {}
    }
    assert!(began.elapsed() >= DEADLINE / 2 && began.elapsed() < DEADLINE * 10, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut_at_the_deadline() {
    let relay = start(impatient()).await;
    let mut stream = TcpStream::connect(relay.address).await.unwrap();
    read_to_end(&mut stream).await;
    assert_eq!(relay.vitals().await["connections"], 1, "only the one that asks");
}

#[tokio::test]
async fn a_client_that_stays_http_for_ever_is_cut() {
    let relay = start(config_with(|limits| limits.header_deadline = Duration::from_millis(50))).await;
    let mut stream = TcpStream::connect(relay.address).await.unwrap();
    let began = Instant::now();
    // Always in time with the next request, and still it ends.
    while stream.write_all(b"GET / HTTP/1.1\r\nhost: relay\r\n\r\n").await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "never cut");
        // Taking its time is what this client does.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn sixty_four_headers_pass_and_sixty_five_do_not() {
    let relay = start(config()).await;
    let with = |count: usize| {
        // `host` and `connection` are two of them.
        (2..count).fold(String::new(), |mut headers, number| {
            let _ = write!(headers, "x-{number}: y\r\n");
            headers
        })
    };
    assert!(relay.get("/", &with(64)).await.starts_with("HTTP/1.1 200"));
    assert!(relay.get("/", &with(65)).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_request_head_of_the_limit_passes_and_one_byte_more_does_not() {
    let relay = start(config()).await;
    let head = "GET / HTTP/1.1\r\nhost: relay\r\nconnection: close\r\nx: \r\n\r\n";
    let fill = 16 * 1024 - head.len();
    assert!(relay.get("/", &format!("x: {}\r\n", "y".repeat(fill))).await.starts_with("HTTP/1.1 200"));
    let refused = relay.get("/", &format!("x: {}\r\n", "y".repeat(fill + 1))).await;
    assert!(refused.starts_with("HTTP/1.1 431"), "{refused}");
    let far_over = relay.get("/", &format!("x: {}\r\n", "y".repeat(1 << 20))).await;
    assert!(far_over.is_empty() || far_over.starts_with("HTTP/1.1 431"), "{far_over}");
}

#[tokio::test]
async fn other_protocols_are_turned_away_and_the_relay_goes_on() {
    let relay = start(impatient()).await;
    let http2 = relay.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(http2.is_empty() || http2.starts_with("HTTP/1.1 4"), "{http2}");
    let tls = relay.raw(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await;
    assert!(tls.is_empty() || tls.starts_with("HTTP/1.1 400"), "{tls}");
    let noise: Vec<u8> = (0..50_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    relay.raw(&noise).await;
    relay.raw(b"\r\n\r\n\r\n").await;
    let mut connection = relay.dial().await.unwrap();
    echo(&mut connection, "still serving").await;
}

#[tokio::test]
async fn half_an_upgrade_is_refused() {
    let relay = start(impatient()).await;
    for (headers, status) in [
        ("upgrade: h2c\r\nconnection: upgrade\r\n", "400"),
        ("upgrade: websocket\r\n", "400"),
        ("upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 8\r\n", "426"),
        ("upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n", "400"),
        ("upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n", "400"),
    ] {
        let answer = relay.raw(format!("GET /sync HTTP/1.1\r\nhost: r\r\n{headers}\r\n").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers}: {answer}");
    }
    let post = relay.raw(b"POST /sync HTTP/1.1\r\nhost: r\r\ncontent-length: 9999999\r\n\r\nabc").await;
    assert!(post.starts_with("HTTP/1.1 404"), "{post}");
}
