//! The relay goes away and comes back.

use comity_node::Document;
use comity_tests::device::{self, Device};
use comity_tests::javascript::{Driver, Js};
use comity_tests::relay::{LocalRelay, RelayProcess};
use comity_tests::rust_client::{Samod, SamodDocument};
use serde_json::json;

use crate::documents::audit;

struct Clients {
    js: Js,
    samod: Samod,
    device: Device,
    on_device: Document,
    in_samod: SamodDocument,
    id: String,
}

impl Clients {
    async fn new(driver: &Driver, url: &str) -> Self {
        let (js, samod) = (driver.open("js", url).await, Samod::connect("samod", url).await);
        let device = Device::online(url).await;
        let on_device = audit(&device).await;
        device.synced().await;
        let id = on_device.id().to_string();
        js.must_find(&id).await;
        let in_samod = samod.must_find(&id).await;
        Self { js, samod, device, on_device, in_samod, id }
    }

    /// Everybody writes something.
    async fn write(&self, text: &str) {
        self.js.set(&self.id, &["values", "M001/comment"], json!(text)).await;
        self.in_samod.set("values", "M002/comment", text);
        self.on_device.set("M003", "comment", text).await.unwrap();
    }

    /// Everybody sees what everybody wrote.
    async fn see(&self, text: &str) {
        for register in ["M001/comment", "M002/comment", "M003/comment"] {
            self.js.wait_for(&self.id, &["values", register], json!(text)).await;
            self.in_samod.wait_for_text("values", register, text).await;
            device::wait_for(&self.on_device, register, text).await;
        }
        assert_eq!(self.js.heads(&self.id).await, device::heads(&self.on_device).await);
        assert_eq!(self.in_samod.heads(), device::heads(&self.on_device).await);
    }
}

/// `S1.4`: clients come back by themselves, and what was written meanwhile is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_graceful_restart_everybody_comes_back_and_delivers() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let clients = Clients::new(&driver, &relay.url()).await;
    clients.write("before").await;
    clients.see("before").await;

    let stopped = relay.stop().await;
    clients.js.disconnected().await;
    clients.write("meanwhile").await;
    assert!(clients.device.pending().await >= 1);
    let relay = stopped.start().await;
    clients.see("meanwhile").await;
    clients.device.synced().await;
    clients.write("after").await;
    clients.see("after").await;

    // Somebody new gets all of it from the relay's disk alone.
    let relay = relay.stop().await.start().await;
    let newcomer = driver.open("newcomer", &relay.url()).await;
    newcomer.must_find(&clients.id).await;
    newcomer.wait_for(&clients.id, &["values", "M003/comment"], json!("after")).await;
    clients.samod.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_sigkill_everybody_comes_back_and_delivers() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = RelayProcess::start(folder.path(), &[]).await;
    let driver = Driver::start().await;
    let clients = Clients::new(&driver, &relay.url()).await;
    for round in 0..3 {
        let text = format!("round {round}");
        clients.write(&text).await;
        relay = relay.kill().await.start().await;
        clients.see(&text).await;
    }
    clients.device.synced().await;
    clients.samod.stop().await;
}
