use crate::documents::audit;
use comity_tests::device::{self, Device};
use comity_tests::relay::LocalRelay;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scratch() {
    for i in 0..300 {
        let relay = LocalRelay::start().await;
        let device = Device::online(&relay.url()).await;
        let doc = audit(&device).await;
        if tokio::time::timeout(std::time::Duration::from_secs(5), device.node.synced()).await.is_err() {
            println!("round {i}: device {:#?}", doc.standing().await.unwrap());
            let there = relay.relay().node().document(doc.id());
            println!("relay heads {:?} standing {:#?}", device::heads(&there).await, there.standing().await.unwrap());
            println!("load {:?}", relay.relay().node().load().await);
            println!("device load {:?}", device.node.load().await);
            panic!();
        }
    }
}
