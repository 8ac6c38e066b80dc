//! Which documents are in memory, since when nobody has used them, and what they take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use comity_model::DocumentId;

/// The documents in memory, by age and by weight. Every call costs the same however many there are.
#[derive(Default)]
pub(crate) struct InMemory {
    held: BTreeMap<DocumentId, Held>,
    by_age: BTreeSet<(Duration, DocumentId)>,
    by_weight: BTreeSet<(usize, DocumentId)>,
    weight_bytes: usize,
}

#[derive(Clone, Copy)]
struct Held {
    used_at: Duration,
    weight_bytes: usize,
}

impl InMemory {
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Gives what all of them take, in bytes, by estimate.
    pub fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    /// Gives what the heaviest takes.
    pub fn heaviest_bytes(&self) -> usize {
        self.by_weight.last().map_or(0, |(weight, _)| *weight)
    }

    /// Takes in a document, or notes that it was used.
    pub fn insert(&mut self, document: DocumentId, used_at: Duration, weight_bytes: usize) {
        self.remove(&document);
        self.held.insert(document, Held { used_at, weight_bytes });
        self.by_age.insert((used_at, document));
        self.by_weight.insert((weight_bytes, document));
        self.weight_bytes += weight_bytes;
    }

    /// Notes what a document takes now, if it is in memory.
    pub fn weigh(&mut self, document: &DocumentId, weight_bytes: usize) {
        if let Some(held) = self.held.get(document).copied() {
            self.insert(*document, held.used_at, weight_bytes);
        }
    }

    /// Notes that a document was used, if it is in memory.
    pub fn touch(&mut self, document: &DocumentId, used_at: Duration) {
        if let Some(held) = self.held.get(document).copied() {
            self.insert(*document, used_at, held.weight_bytes);
        }
    }

    pub fn remove(&mut self, document: &DocumentId) {
        if let Some(Held { used_at, weight_bytes }) = self.held.remove(document) {
            self.by_age.remove(&(used_at, *document));
            self.by_weight.remove(&(weight_bytes, *document));
            self.weight_bytes -= weight_bytes;
        }
    }

    /// Gives the document unused for longest among those after another, and since when.
    pub fn oldest_after(&self, after: Option<(Duration, DocumentId)>) -> Option<(Duration, DocumentId)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.by_age.range((after.map_or(Unbounded, Excluded), Unbounded)).next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_and_the_heaviest_follow_what_comes_and_goes() {
        let document = |number: u8| DocumentId::from_bytes([number; 16]);
        let mut memory = InMemory::default();
        for number in 1..=3 {
            memory.insert(document(number), Duration::from_secs(number.into()), usize::from(number) * 10);
        }
        memory.weigh(&document(1), 100);
        memory.touch(&document(1), Duration::from_secs(9));
        memory.weigh(&document(8), 1_000);
        assert_eq!((memory.len(), memory.weight_bytes(), memory.heaviest_bytes()), (3, 150, 100));
        let oldest = memory.oldest_after(None).unwrap();
        assert_eq!(oldest, (Duration::from_secs(2), document(2)));
        assert_eq!(memory.oldest_after(Some(oldest)).unwrap().1, document(3));
        memory.remove(&document(1));
        memory.remove(&document(1));
        assert_eq!((memory.len(), memory.weight_bytes(), memory.heaviest_bytes()), (2, 50, 30));
    }
}
