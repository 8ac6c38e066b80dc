use super::*;
use crate::evidence::{Contents, read, read_one};

fn limits(records: usize, record_bytes: usize, total_bytes: usize) -> Limits {
    let mut limits = Limits::default();
    limits.evidence_max = records;
    limits.evidence_bytes_max = record_bytes;
    limits.evidence_total_bytes_max = total_bytes;
    limits
}

fn refused(kind: Kind, bytes: &[u8]) -> Refused {
    Refused {
        kind,
        reason: "too long".to_owned(),
        document: Some(DocumentId::from_bytes([1; 16])),
        peer: Some(PeerId::new("stranger").unwrap()),
        address: Some("127.0.0.1:5".to_owned()),
        size: bytes.len() as u64,
        bytes: Bytes::copy_from_slice(bytes),
    }
}

fn open(folder: &Path, limits: &Limits) -> Arc<Keeper> {
    Arc::new(Keeper::open(folder, limits, Some(Handle::current())).unwrap())
}

fn numbers(contents: &Contents) -> Vec<u64> {
    contents.records.iter().map(|record| record.number).collect()
}

#[tokio::test]
async fn so_many_records_are_kept_and_the_oldest_gives_way_to_one_more() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = limits(3, 100, 1 << 20);
    let keeper = open(folder.path(), &bounds);
    for i in 0..3u8 {
        keeper.keep(refused(Kind::Admission, &[i]));
    }
    assert_eq!(numbers(&read(folder.path()).unwrap()), [1, 2, 3]);
    keeper.keep(refused(Kind::Admission, &[3]));
    assert_eq!(numbers(&read(folder.path()).unwrap()), [2, 3, 4]);
    let last = read_one(folder.path(), 4).unwrap().unwrap();
    assert_eq!((last.bytes.as_slice(), last.record.reason.as_str()), ([3].as_slice(), "too long"));
    assert_eq!(last.record.peer.unwrap().as_str(), "stranger");
    drop(keeper);
    open(folder.path(), &bounds).keep(refused(Kind::Admission, b"x"));
    assert_eq!(numbers(&read(folder.path()).unwrap()), [3, 4, 5], "numbers go on after a restart");
}

#[tokio::test]
async fn so_many_bytes_are_kept_and_the_oldest_gives_way_to_one_more() {
    let folder = tempfile::tempdir().unwrap();
    let probe = open(folder.path(), &limits(9, 100, 1 << 20));
    probe.keep(refused(Kind::Admission, &[7; 100]));
    let each = fs::metadata(folder::file(folder.path(), 1)).unwrap().len();
    drop(probe);
    let exactly = open(folder.path(), &limits(9, 100, usize::try_from(each).unwrap() * 3));
    exactly.keep(refused(Kind::Admission, &[8; 100]));
    exactly.keep(refused(Kind::Admission, &[9; 100]));
    assert_eq!(numbers(&read(folder.path()).unwrap()), [1, 2, 3], "exactly the limit");
    exactly.keep(refused(Kind::Admission, &[9; 100]));
    assert_eq!(numbers(&read(folder.path()).unwrap()), [2, 3, 4], "one more than the limit");
}

#[tokio::test]
async fn a_record_keeps_so_many_bytes_and_says_how_many_there_were() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = open(folder.path(), &limits(9, 4, 1 << 20));
    keeper.keep(refused(Kind::Message, b"four"));
    keeper.keep(refused(Kind::Message, b"fiver"));
    for (number, size, bytes) in [(1, 4, b"four"), (2, 5, b"five")] {
        let kept = read_one(folder.path(), number).unwrap().unwrap();
        assert_eq!((kept.record.size, kept.record.kept, kept.bytes.as_slice()), (size, 4, bytes.as_slice()));
    }
}

#[tokio::test]
async fn a_flood_of_one_kind_does_not_push_out_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = open(folder.path(), &limits(4, 100, 1 << 20));
    keeper.keep(refused(Kind::Store, b"the store was damaged"));
    for _ in 0..20 {
        keeper.keep(refused(Kind::Admission, b"x"));
    }
    let contents = read(folder.path()).unwrap();
    assert_eq!(contents.records[0].kind, Kind::Store);
    assert_eq!(numbers(&contents), [1, 19, 20, 21]);
}

#[tokio::test]
async fn so_many_wait_to_be_written_and_not_one_more() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = open(folder.path(), &limits(64, 100, 1 << 20));
    let now = Instant::now();
    let places: Vec<_> = (0..WAITING_MAX).map(|_| keeper.admit(now).unwrap()).collect();
    assert!(keeper.admit(now).is_none());
    drop(places);
    assert!(keeper.admit(now).is_some());
    assert_eq!(keeper.counts().1.count, 1);
}

#[tokio::test]
async fn what_comes_too_fast_is_counted_and_the_count_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = limits(3, 100, 1 << 20);
    let keeper = open(folder.path(), &bounds);
    let now = Instant::now();
    for _ in 0..3 {
        assert!(keeper.admit(now).is_some(), "a full folder may be written at once");
    }
    for _ in 0..5 {
        assert!(keeper.admit(now).is_none());
    }
    let later = now + Duration::from_secs_f64(60.0 / f64::from(bounds.evidence_per_minute) + 0.001);
    assert!(keeper.admit(later).is_some(), "then as many as a minute allows");
    assert!(keeper.admit(later).is_none());
    drop(keeper);
    let dropped = read(folder.path()).unwrap().dropped;
    assert_eq!(dropped.count, 6);
    assert!(dropped.last.is_some());
    let again = open(folder.path(), &bounds);
    assert_eq!(again.counts().1, dropped, "it goes on after a restart");
}

#[tokio::test]
async fn a_record_that_was_being_written_when_the_power_went_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = limits(3, 100, 1 << 20);
    open(folder.path(), &bounds).keep(refused(Kind::Panic, b"x"));
    let whole = fs::read(folder::file(folder.path(), 1)).unwrap();
    let half = folder.path().join("00000002.tmp");
    fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    let contents = read(folder.path()).unwrap();
    assert_eq!(numbers(&contents), [1]);
    assert!(contents.damaged.is_empty() && contents.foreign.is_empty(), "{contents:?}");
    drop(open(folder.path(), &bounds));
    assert!(!half.exists(), "the next start takes it away");
}

#[tokio::test]
async fn records_that_were_altered_and_files_of_others_are_named_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = limits(9, 100, 1 << 20);
    let keeper = open(folder.path(), &bounds);
    for i in 0..3u8 {
        keeper.keep(refused(Kind::Admission, &[i; 20]));
    }
    let second = folder::file(folder.path(), 2);
    let mut bytes = fs::read(&second).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&second, bytes).unwrap();
    fs::write(folder.path().join("holiday.jpg"), b"x").unwrap();
    fs::copy(folder::file(folder.path(), 1), folder::file(folder.path(), 9)).unwrap();
    let contents = read(folder.path()).unwrap();
    assert_eq!(numbers(&contents), [1, 3]);
    let named: Vec<_> = contents.damaged.iter().map(|damaged| (&damaged.path, damaged.reason.as_str())).collect();
    let ninth = folder::file(folder.path(), 9);
    assert_eq!(named, [(&second, "its bytes were altered"), (&ninth, "it is record 1 under another name")]);
    assert_eq!(contents.foreign, [folder.path().join("holiday.jpg")]);
    assert!(read_one(folder.path(), 2).is_err());
    assert!(read_one(folder.path(), 4).unwrap().is_none());
}

#[tokio::test]
async fn evidence_that_somebody_took_away_does_not_stop_the_pruning() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = open(folder.path(), &limits(2, 100, 1 << 20));
    keeper.keep(refused(Kind::Admission, b"x"));
    fs::remove_file(folder::file(folder.path(), 1)).unwrap();
    for _ in 0..4 {
        keeper.keep(refused(Kind::Admission, b"x"));
    }
    assert_eq!(numbers(&read(folder.path()).unwrap()), [4, 5]);
}

#[test]
fn a_folder_that_is_not_there_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let contents = read(&folder.path().join("gone")).unwrap();
    assert!(contents.records.is_empty() && contents.dropped.count == 0);
}
