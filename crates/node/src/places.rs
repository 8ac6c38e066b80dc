//! Who may have how many of the places of one peer id.
//!
//! Nothing proves a peer id yet, so anybody can connect under anybody's. The places of one id are bounded, and a
//! stranger who takes them all must not lock the right one out: where all are taken, a network that has more of them
//! than the newcomer's would have gives one back. One network can so never hold more than half against another.

use std::collections::BTreeMap;
use std::sync::Arc;

use comity_model::{LinkId, PeerId};
use comity_net::Network;
use tokio::sync::Notify;

use crate::link::LinkInfo;

/// A link in the node's list.
pub(crate) struct OpenLink {
    pub info: LinkInfo,
    /// Where it comes from; `None` when this node dialed.
    pub network: Option<Network>,
    /// Rings when it has to give way.
    pub gives_way: Arc<Notify>,
    /// It has been told to, and does not count any more.
    pub is_leaving: bool,
}

/// Finds a place for a link of a peer, if need be that of another; `None` when there is none. What is given rings when
/// the new link has to give way in its turn.
pub(crate) fn find(
    links: &mut BTreeMap<LinkId, OpenLink>,
    peer: &PeerId,
    network: Option<Network>,
    places_max: usize,
) -> Option<Arc<Notify>> {
    let of_peer = |open: &OpenLink| open.info.peer.id == *peer && !open.is_leaving;
    let mut held: BTreeMap<Option<Network>, usize> = BTreeMap::new();
    for open in links.values().filter(|open| of_peer(open)) {
        *held.entry(open.network).or_default() += 1;
    }
    if held.values().sum::<usize>() >= places_max {
        let own = held.get(&network).copied().unwrap_or(0);
        let (most, count) = held.into_iter().max_by_key(|(_, count)| *count)?;
        // Afterwards the newcomer's network has no more than that one; else they would take turns for ever.
        if count < own + 2 {
            return None;
        }
        // The youngest: who came first has most to lose.
        let leaving = links.values_mut().rev().find(|open| of_peer(open) && open.network == most)?;
        leaving.is_leaving = true;
        leaving.gives_way.notify_one();
    }
    Some(Arc::default())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use comity_engine::Peer;

    use super::*;

    struct Door {
        links: BTreeMap<LinkId, OpenLink>,
        places_max: usize,
    }

    impl Door {
        fn enter(&mut self, peer: &str, last: u8) -> bool {
            let id = PeerId::new(peer).unwrap();
            let network = Some(IpAddr::from([192, 0, 2, last]).into());
            let Some(gives_way) = find(&mut self.links, &id, network, self.places_max) else { return false };
            let link = LinkId(self.links.len() as u64);
            let peer = Peer { id, storage: None, durable: false, announce: false };
            let info = LinkInfo { link, peer, remote: String::new(), since: crate::clock::time(), dialed: false };
            self.links.insert(link, OpenLink { info, network, gives_way, is_leaving: false });
            true
        }

        fn held(&self, last: u8) -> usize {
            let network = Some(IpAddr::from([192, 0, 2, last]).into());
            self.links.values().filter(|open| open.network == network && !open.is_leaving).count()
        }
    }

    #[test]
    fn a_stranger_who_has_taken_all_places_of_a_name_gives_half_of_them_back() {
        let mut door = Door { links: BTreeMap::new(), places_max: 16 };
        assert!((0..16).all(|_| door.enter("victim", 66)));
        assert!(!door.enter("victim", 66), "one more from the same network");
        assert!(door.enter("another", 67), "of another name there are places");
        for count in 1..=8 {
            assert!(door.enter("victim", 1), "place {count}");
        }
        assert_eq!((door.held(1), door.held(66)), (8, 8));
        assert!(!door.enter("victim", 1), "both have as many");
        assert!(!door.enter("victim", 66));
    }

    #[test]
    fn networks_do_not_take_turns_for_the_last_place() {
        let mut door = Door { links: BTreeMap::new(), places_max: 2 };
        assert!(door.enter("victim", 1) && door.enter("victim", 2));
        assert!(!door.enter("victim", 3));
        assert_eq!((door.held(1), door.held(2)), (1, 1));
    }

    #[test]
    fn the_youngest_gives_way() {
        let mut door = Door { links: BTreeMap::new(), places_max: 3 };
        assert!((0..3).all(|_| door.enter("victim", 66)));
        assert!(door.enter("victim", 1));
        let leaving: Vec<u64> =
            door.links.values().filter(|open| open.is_leaving).map(|open| open.info.link.0).collect();
        assert_eq!(leaving, [2]);
    }
}
