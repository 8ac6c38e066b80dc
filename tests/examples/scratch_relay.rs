//! Scratch.
#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments[arguments.iter().position(|a| a == name).expect("flag") + 1].clone();
    let mut config = comity_relay::RelayConfig::new(value("--listen").parse().expect("address"), value("--data"));
    config.server.limits.join_deadline = std::time::Duration::from_millis(500);
    let relay = comity_relay::Relay::start(config).await.expect("starts");
    println!("listening on {}", relay.local_addr());
    std::future::pending::<()>().await;
}
