//! A bounded table that no link can take from the others.

use std::collections::BTreeMap;

use comity_model::LinkId;

/// Entries that links brought, each by the link that brought it first. When the table is full, the link that has most
/// entries gives up its oldest: a flood by one costs only itself.
pub(crate) struct FairTable<K, V> {
    entries: BTreeMap<K, Entry<V>>,
    /// The keys of each link, the oldest first.
    by_link: BTreeMap<LinkId, BTreeMap<u64, K>>,
    next: u64,
    entries_max: usize,
}

struct Entry<V> {
    link: LinkId,
    number: u64,
    value: V,
}

impl<K: Ord + Clone, V> FairTable<K, V> {
    pub fn new(entries_max: usize) -> Self {
        Self { entries: BTreeMap::new(), by_link: BTreeMap::new(), next: 0, entries_max }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Adds an entry that is not there yet. Gives the key of the one that had to go for it.
    pub fn insert(&mut self, link: LinkId, key: K, value: V) -> Option<K> {
        let number = self.next;
        self.next += 1;
        self.by_link.entry(link).or_default().insert(number, key.clone());
        self.entries.insert(key, Entry { link, number, value });
        if self.entries.len() <= self.entries_max {
            return None;
        }
        // Among equals the one that asks: `max_by_key` gives the last, so it is compared as well.
        let (_, keys) = self.by_link.iter().max_by_key(|(other, keys)| (keys.len(), **other == link))?;
        let oldest = keys.values().next()?.clone();
        self.remove(&oldest);
        Some(oldest)
    }

    pub fn remove(&mut self, key: &K) {
        let Some(entry) = self.entries.remove(key) else { return };
        if let Some(keys) = self.by_link.get_mut(&entry.link) {
            keys.remove(&entry.number);
            if keys.is_empty() {
                self.by_link.remove(&entry.link);
            }
        }
    }

    /// Forgets everything that a link brought.
    pub fn forget_link(&mut self, link: LinkId) {
        for key in self.by_link.remove(&link).unwrap_or_default().values() {
            self.entries.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_by_one_link_costs_only_itself() {
        let mut table = FairTable::new(4);
        assert_eq!(table.insert(LinkId(1), "quiet", ()), None);
        for key in ["a", "b", "c"] {
            assert_eq!(table.insert(LinkId(2), key, ()), None);
        }
        assert_eq!(table.len(), 4, "at the limit");
        assert_eq!(table.insert(LinkId(2), "d", ()), Some("a"), "one above: the oldest of the flood goes");
        assert_eq!(table.insert(LinkId(3), "late", ()), Some("b"), "another link still finds a place");
        assert!(table.get_mut(&"quiet").is_some() && table.get_mut(&"late").is_some());
        table.forget_link(LinkId(2));
        table.remove(&"quiet");
        assert_eq!(table.len(), 1);
    }
}
