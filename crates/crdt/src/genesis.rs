//! The first change of every Comity document: constant bytes, so that two devices that create "the same" document
//! offline share its containers instead of making two of each, one of which would hide.

use automerge::ObjId;
use comity_model::ChangeHash;

/// The actor of the genesis change. Nobody else may write under it.
pub(crate) const ACTOR: &[u8; 16] = b"comity-genesis-1";

/// The genesis change as an Automerge chunk: actor [`ACTOR`], seq 1, time 0, message `comity genesis 1`, which makes
/// the maps `about`, `values`, `remarks` and `decisions`, in this order. Never made anew, for another release of
/// Automerge might encode it otherwise.
pub(crate) const CHUNK: &[u8; 99] = b"\
\x85\x6f\x4a\x83\xad\x60\x85\xaa\x01\x59\x00\x10comity-genesis-1\x01\x01\x00\x10comity genesis 1\x00\
\x05\x15\x20\x34\x01\x42\x02\x56\x02\x70\x02\x7c\x05about\x06values\x07remarks\x09decisions\
\x04\x04\x00\x04\x00\x04\x00";

/// The hash of the genesis change.
pub(crate) const HASH: ChangeHash = ChangeHash([
    0xad, 0x60, 0x85, 0xaa, 0x48, 0x23, 0xf7, 0x63, 0x56, 0xd2, 0xc8, 0x0e, 0x7e, 0x92, 0xce, 0xdb, 0x9e, 0x43, 0x4f,
    0x84, 0x26, 0x57, 0x77, 0xd0, 0xaf, 0xbb, 0x88, 0xc1, 0x98, 0x55, 0x54, 0x57,
]);

/// The containers that the genesis change makes, by the counter of the operation that makes each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Container {
    About = 1,
    Values = 2,
    Remarks = 3,
    Decisions = 4,
}

impl Container {
    /// Names the container by the operation that made it, not by its key in the root map: a foreign write to that
    /// key can neither hide nor replace it.
    pub(crate) fn id(self) -> ObjId {
        // The last part is only a hint where to find the actor; Automerge looks it up when the hint is wrong.
        ObjId::Id(self as u64, automerge::ActorId::from(ACTOR), 0)
    }

    /// Tells which container an operation id names.
    pub(crate) fn from_counter(counter: u64) -> Option<Self> {
        [Self::About, Self::Values, Self::Remarks, Self::Decisions].into_iter().find(|one| *one as u64 == counter)
    }
}

#[cfg(test)]
mod tests {
    use automerge::transaction::{CommitOptions, Transactable};
    use automerge::{ActorId, Automerge, ObjType, ROOT, ReadDoc};

    use super::*;

    #[test]
    fn the_golden_bytes_are_what_the_interface_makes() {
        let mut document = Automerge::new();
        document.set_actor(ActorId::from(ACTOR));
        let mut transaction = document.transaction();
        let names = ["about", "values", "remarks", "decisions"];
        let made = names.map(|name| transaction.put_object(ROOT, name, ObjType::Map).unwrap());
        transaction.commit_with(CommitOptions::default().with_message("comity genesis 1").with_time(0));
        let change = document.get_last_local_change().unwrap();
        assert_eq!(change.raw_bytes(), CHUNK);
        assert_eq!(change.hash().0, HASH.0);
        let containers = [Container::About, Container::Values, Container::Remarks, Container::Decisions];
        for (made, container) in made.into_iter().zip(containers) {
            assert_eq!(made, container.id());
            assert_eq!(document.object_type(container.id()).unwrap(), ObjType::Map);
        }
    }
}
