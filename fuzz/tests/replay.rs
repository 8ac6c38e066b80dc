//! Runs every input of every corpus through its target: what once broke stays mended.

use std::fs;
use std::path::Path;

type Run = fn(&[u8]);

/// The targets, by the name of their binary and of their corpus folder.
const TARGETS: &[(&str, Run)] = &[("admission", comity_fuzz::admission::run), ("wire_decode", comity_fuzz::wire::run)];

#[test]
fn the_whole_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, run) in TARGETS {
        let mut inputs: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("corpus of {name}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        for input in inputs {
            // Shown only when the test fails: the last line names the input.
            println!("{}", input.display());
            run(&fs::read(&input).unwrap());
        }
    }
}

#[test]
fn every_corpus_has_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpus).unwrap() {
        let folder = entry.unwrap().file_name();
        assert!(TARGETS.iter().any(|(name, _)| folder == *name), "no target replays the corpus {folder:?}");
    }
}
