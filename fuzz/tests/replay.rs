//! Runs every input of every corpus through its target, on the stable compiler: what once broke stays mended.

use std::fs;
use std::path::Path;

use comity_fuzz::{TARGETS, store_open};
use comity_store::{ChildCommand, child_main_if_asked};

macro_rules! replays {
    ($($target:ident)*) => {
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];

        $(#[test]
        fn $target() {
            replay(stringify!($target));
        })*
    };
}

replays! {
    admission configuration document_load hostile_peer store_open store_rows three_engines wire_decode
}

fn replay(target: &str) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of this name");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("corpus of {target}: {error}"));
    let mut inputs: Vec<_> = entries.map(|entry| entry.expect("a folder that can be listed").path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "the corpus of {target} is empty");
    store_open::CHILD.get_or_init(|| ChildCommand {
        program: std::env::current_exe().expect("a program knows where it lies"),
        arguments: ["--exact", "trying_child", "--nocapture"].map(Into::into).to_vec(),
    });
    for input in inputs {
        // Shown only when the test fails: the last line names the input.
        println!("{}", input.display());
        run(&fs::read(&input).expect("a file of the corpus can be read"));
    }
}

/// The child that tries out a damaged engine.
#[test]
fn trying_child() {
    if std::env::var_os("COMITY_STORE_TRY_FOLDER").is_some() {
        child_main_if_asked();
    }
}

#[test]
fn every_target_is_replayed_and_every_corpus_has_a_target() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, REPLAYED);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpus).unwrap() {
        let folder = entry.unwrap().file_name();
        assert!(names.iter().any(|name| folder == *name), "no target replays the corpus {folder:?}");
    }
}
