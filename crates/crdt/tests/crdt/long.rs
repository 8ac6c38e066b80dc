//! Long documents, in which a change is written once more in place of being applied, wherever that gives the same.

use automerge::Automerge;
use comity_crdt::Document;
use comity_model::Write;

use crate::support::{End, about, delete, edit, in_sync, remark, restore, set, settle};

fn entry(number: usize) -> String {
    format!("M{number:03}")
}

/// A document of some 3,000 operations, at both ends of a link.
fn long() -> (End, End) {
    let (mut here, mut there) = (End::default(), End::default());
    for row in 0..100 {
        let fields = (0..15).map(|field| set(&format!("{}/f{field}", entry(row)), row as i64 * field));
        here.edit(1, &fields.collect::<Vec<_>>());
        let again = (0..15).map(|field| set(&format!("{}/f{field}", entry(row)), "again"));
        edit(&mut there.document, 2, &again.collect::<Vec<_>>());
        if row % 10 == 9 {
            settle(&mut here, &mut there);
        }
    }
    in_sync(&here, &there);
    (here, there)
}

fn writes(round: usize) -> Vec<Write> {
    let status = format!("{}/f3", entry(round * 37 % 100));
    match round % 5 {
        0 => vec![set(&status, round as i64)],
        1 => vec![delete(&entry(round)), set(&status, "gone"), set("M999/f0", round as i64)],
        2 => vec![remark(&format!("r{round}"), "a remark"), about("title", format!("round {round}").as_str())],
        3 => (0..30).map(|field| set(&format!("{}/g{field}", entry(round)), field)).collect(),
        _ => vec![restore(&entry(round - 3)), set(&status, true)],
    }
}

#[test]
fn two_who_take_turns_and_now_and_then_do_not() {
    let (mut here, mut there) = long();
    let snapshot = here.document.save().unwrap();
    here.stored.clear();
    for round in 0..40 {
        let (writer, number) = if round % 2 == 0 { (&mut here, 1) } else { (&mut there, 2) };
        writer.edit(number, &writes(round));
        if round % 7 == 0 {
            // Both at once, to the same register too.
            let (other, number) = if round % 2 == 0 { (&mut there, 2) } else { (&mut here, 1) };
            other.edit(number, &[set(&format!("{}/f3", entry(round * 37 % 100)), "another")]);
        }
        if round % 3 > 0 {
            settle(&mut here, &mut there);
            in_sync(&here, &there);
        }
    }
    settle(&mut here, &mut there);
    in_sync(&here, &there);
    assert!(!here.document.disagreements().is_empty());

    let loaded = Document::load(Some(&snapshot), &here.stored).unwrap();
    let mut plain = Automerge::load(&snapshot).unwrap();
    for chunk in &here.stored {
        plain.load_incremental(chunk).unwrap();
    }
    for document in [&here.document, &there.document, &loaded] {
        assert_eq!(document.heads(), here.document.heads());
        assert_eq!(document.entries(None), loaded.entries(None));
        assert_eq!(
            Document::load(Some(&document.save().unwrap()), [b""; 0]).unwrap().entries(None),
            loaded.entries(None)
        );
    }
    assert_eq!(here.document.save().unwrap(), plain.save(), "the same bytes as Automerge alone");
}
