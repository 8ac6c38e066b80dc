use comity_review::suggest::Abstention;
use comity_review::three_way::{Arrays, Fate, FlattenOptions, flatten};
use serde_json::json;

use super::records::{Record, Replay, read, trial_data};
use super::{scores, tables};

fn records() -> Option<Vec<Record>> {
    Some(read(&trial_data()?).unwrap())
}

#[test]
fn no_leaf_of_real_merges_is_lost_and_the_documents_find_what_a_comparison_finds() {
    let Some(records) = records() else { return };
    assert_eq!(records.len(), 128);
    for arrays in [Arrays::Whole, Arrays::ByPosition] {
        for record in &records {
            let replay = Replay::of(record, arrays).unwrap();
            let options = FlattenOptions { arrays, ..FlattenOptions::new("record".parse().unwrap()) };
            let [base, ours, theirs] = [&record.three.base, &record.three.ours, &record.three.theirs]
                .map(|json| flatten(json, &options).unwrap());
            for leaf in &replay.leaves {
                let [base, ours, theirs] = [&base, &ours, &theirs].map(|leaves| leaves.get(&leaf.register));
                assert!(!matches!(leaf.fate, Fate::Lost(_)), "{}", leaf.register);
                let both_differently = base != ours && base != theirs && ours != theirs;
                assert_eq!(leaf.fate == Fate::Conflict, both_differently, "{}", leaf.register);
            }
        }
    }
}

#[test]
fn five_conflicts_teach_nothing_so_nothing_is_suggested() {
    let Some(records) = records() else { return };
    let replays: Vec<Replay> = records.iter().map(|record| Replay::of(record, Arrays::Whole).unwrap()).collect();
    assert_eq!(tables::conflicts(&replays).count(), 5);
    assert!(scores::on_conflicts(&replays).contains("**No suggestion is made:**"));
}

/// Without the data: the tables of one small record, from end to end.
#[test]
fn a_small_record_is_counted_in_every_table() {
    let three = comity_review::three_way::ThreeWay {
        base: json!({"title": "T", "stats": {"1": "n", "2": "n"}}),
        ours: json!({"title": "T", "stats": {"1": "y", "2": "y"}}),
        theirs: json!({"title": "U", "stats": {"1": "a", "2": "n"}}),
    };
    let merged = json!({"title": "U", "stats": {"1": "a", "2": "y"}});
    let record = Record { merge: "m".to_owned(), three, merged };
    let replays = vec![Replay::of(&record, Arrays::Whole).unwrap()];
    let found = tables::found(&[("whole", &replays)]);
    assert!(found.contains("| conflicts: both changed differently, listed | 1 |"), "{found}");
    assert!(found.contains("| **silent losses** | 0 |"), "{found}");
    assert!(tables::people(&replays).contains("- m `record.stats/1`: theirs"), "{}", tables::people(&replays));
    let rules = tables::rules(&[("whole", &replays)]);
    assert!(rules.contains("| keep theirs | whole | 1 | 1 | 0 | 0 | 1 of 1 |"), "{rules}");
    assert!(rules.contains("| merge-fields | whole | 0 | 0 | 0 | 1 | 0 of 1 |"), "{rules}");
    let acts = scores::acts(&replays, |_| None);
    assert!(acts.is_empty());
    assert!(!matches!(scores::taught(&acts).evaluation().acts, 1..));
    assert!(Abstention::TooFew { have: 0 }.to_string().starts_with("0 decisions"));
}
