use automerge::{Automerge, Change, ReadDoc};
use automerge::sync::SyncDoc;
use comity_model::Limits;
use crate::admit::admit;
#[test]
fn poison() {
    for n in 1..6 {
        let Ok(bytes) = std::fs::read(format!("/tmp/poison/p{n}")) else { continue };
        let base = std::fs::read(format!("/tmp/poison/b{n}")).unwrap();
        let mut doc = Automerge::load(&base).unwrap();
        let admitted = admit(&bytes, &Limits::default()).unwrap();
        let chunk = admitted.message.changes.iter().next().unwrap().to_vec();
        let before = doc.get_heads();
        doc.receive_sync_message(&mut Default::default(), admitted.message).unwrap();
        if chunk[8] == 1 {
            let change = Change::try_from(&chunk[..]).unwrap();
            let again: Change = change.decode().into();
            let rebuilt = std::panic::catch_unwind(|| doc.get_change_by_hash(&change.hash()));
            println!("#{n} head {:?} reencode same {} rebuilt {:?}", before, again.hash() == change.hash(), rebuilt.as_ref().map(|r| r.as_ref().map(|r| r.hash() == change.hash())));
            println!("   sent {:?}", change.decode());
            if let Ok(Some(r)) = rebuilt { println!("   back {:?}", r.decode()); }
        }
        println!("   load {:?}", Automerge::load(&doc.save()).map(|_| ()));
    }
}
