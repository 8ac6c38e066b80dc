//! Runs a child with every change of its files recorded, in order.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// One effect on the files below the recorded folder, or a line that the child said.
#[derive(Debug, Clone)]
pub enum Record {
    Create { inode: u64, path: String },
    MakeFolder { inode: u64, path: String },
    Write { inode: u64, at: u64, data: Vec<u8> },
    Truncate { inode: u64, len: u64 },
    Flush { inode: u64 },
    Rename { from: String, to: String },
    Remove { path: String },
    Said { text: String },
}

/// Gives the recording library, built once.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("recorder.c"), folder.path().join("recorder.so"));
        std::fs::write(&source, include_str!("recorder.c")).unwrap();
        // The linker that Rust itself needs.
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
        assert!(built.expect("`cc` builds the recorder").success(), "the recorder does not compile");
        (folder, library)
    });
    path
}

/// Runs this program again as a child that records what it does below `root`, and gives the record. The child must end
/// well by itself.
pub fn record(root: &Path, arguments: &[&str], environment: &[(&str, &OsStr)]) -> Vec<Record> {
    let place = tempfile::tempdir_in(root.parent().unwrap()).unwrap();
    let log = place.path().join("log");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).envs(environment.iter().copied());
    command.env("LD_PRELOAD", library()).env("COMITY_RECORD_ROOT", root).env("COMITY_RECORD_LOG", &log);
    let ended = command.stdout(Stdio::null()).stderr(Stdio::inherit()).status().unwrap();
    assert!(ended.success(), "the recorded child failed: {ended}");
    parse(&std::fs::read(log).unwrap())
}

fn parse(log: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut rest = log;
    while let Some((head, body)) = rest.split_at_checked(25) {
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let len = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let ((first, body), (inode, at)) = (body.split_at(len(17)), (number(1), number(9)));
        let (second, left) = body.split_at(len(21));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        records.push(match head[0] {
            b'C' => Record::Create { inode, path: text(first) },
            b'M' => Record::MakeFolder { inode, path: text(first) },
            b'W' => Record::Write { inode, at, data: second.to_vec() },
            b'T' => Record::Truncate { inode, len: at },
            b'S' => Record::Flush { inode },
            b'R' => Record::Rename { from: text(first), to: text(second) },
            b'U' => Record::Remove { path: text(first) },
            b'A' => Record::Said { text: text(second) },
            other => panic!("the recorder met what it cannot record: {} {:?}", char::from(other), text(first)),
        });
        rest = left;
    }
    assert!(rest.is_empty(), "the record is cut short");
    records
}
