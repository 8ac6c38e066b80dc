//! Concurrent values of one register.

use comity_crdt::{Document, Version};
use comity_model::{RegisterKey, Value};

/// A register in which different values stand, written by people who did not know of each other's.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// The register.
    pub register: RegisterKey,
    /// The values, two or more. The last is the one that Automerge shows: that is no verdict, only the greatest
    /// (counter, actor).
    pub sides: Vec<Side>,
}

/// One value of a disagreement.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// The value.
    pub value: Value,
    /// Who wrote it, ascending; more than one when several people found the same by themselves.
    pub versions: Vec<Version>,
}

/// Lists the disagreements of a document, by register. Reads the whole document.
///
/// Equal values are agreement, not disagreement: they make one side with several versions.
pub fn disagreements(document: &Document) -> Vec<Disagreement> {
    let registers = document.disagreements().into_iter();
    registers.map(|(register, content)| Disagreement { register, sides: sides(content.versions) }).collect()
}

/// Groups versions by value. A side stands where its last version stood, so that the shown value stays last.
fn sides(versions: Vec<Version>) -> Vec<Side> {
    let mut sides: Vec<Side> = Vec::new();
    for version in versions {
        let mut side = match sides.iter().position(|side| side.value == version.value) {
            Some(known) => sides.remove(known),
            None => Side { value: version.value.clone(), versions: Vec::new() },
        };
        side.versions.push(version);
        sides.push(side);
    }
    sides
}

#[cfg(test)]
mod tests {
    use comity_crdt::{SyncSession, admit};
    use comity_model::{Act, ActKind, ActorId, DeviceTag, HybridTime, Limits, Write};

    use super::*;

    fn mark(document: &mut Document, device: u8, status: &str) {
        let actor = ActorId::for_session(DeviceTag([device; 16]), [0; 8]);
        let act = Act { time: HybridTime::default(), policy: [0; 8], kind: ActKind::Edit };
        let write = Write::Set { key: "M050/status".parse().unwrap(), value: status.into() };
        document.edit(&actor, act, None, &[write], &Limits::default()).unwrap();
    }

    fn bring_together(documents: &mut [Document]) {
        let limits = Limits::default();
        for _ in 0..2 {
            for i in 1..documents.len() {
                let (first, rest) = documents.split_at_mut(i);
                let (a, b) = (&mut first[0], &mut rest[0]);
                let (mut to_b, mut to_a) = (SyncSession::new(), SyncSession::new());
                loop {
                    let message = a.generate(&mut to_b);
                    let answer = b.generate(&mut to_a);
                    if message.is_none() && answer.is_none() {
                        break;
                    }
                    if let Some(bytes) = message {
                        b.receive(&mut to_a, admit(&bytes, &limits).unwrap(), &limits).unwrap();
                    }
                    if let Some(bytes) = answer {
                        a.receive(&mut to_b, admit(&bytes, &limits).unwrap(), &limits).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn two_of_three_technicians_agree_and_everybody_sees_the_same_two_sides() {
        // S1.5: a concurrent update is found, on every device the same.
        let mut documents = [Document::new(), Document::new(), Document::new()];
        mark(&mut documents[0], 1, "dead");
        mark(&mut documents[1], 2, "microcracks");
        mark(&mut documents[2], 3, "dead");
        bring_together(&mut documents);
        let found = disagreements(&documents[0]);
        assert_eq!(found.len(), 1);
        let mut sides: Vec<_> =
            found[0].sides.iter().map(|side| (side.value.to_string(), side.versions.len())).collect();
        sides.sort();
        assert_eq!(sides, [("dead".to_owned(), 2), ("microcracks".to_owned(), 1)]);
        for document in &documents[1..] {
            assert_eq!(disagreements(document), found);
        }
        let shown = documents[0].register(&found[0].register, None).unwrap().winner().unwrap().value.clone();
        assert_eq!(found[0].sides.last().unwrap().value, shown, "the value that is shown stands last");
    }

    #[test]
    fn the_same_finding_twice_is_agreement() {
        let mut documents = [Document::new(), Document::new()];
        mark(&mut documents[0], 1, "ok");
        mark(&mut documents[1], 2, "ok");
        bring_together(&mut documents);
        assert_eq!(disagreements(&documents[0]), []);
    }
}
