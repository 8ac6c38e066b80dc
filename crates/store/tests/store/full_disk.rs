//! A disk that is really full: nothing acknowledged is lost, nothing hangs over the deadline, and with space the store
//! goes on (S1.8).

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use comity_store::{Options, StoreError, Writer, WriterOptions};

use crate::common::{Engine, append, document, files, noise, options};
use crate::power::workload::{Oracle, batch, check, work_options};

const DISK_MIB: u64 = 16;
const LEVELS: u64 = 20;
const BATCHES: u64 = 400;
/// How long a group may take before the store is given up.
const DEADLINE: Duration = Duration::from_secs(10);
/// No child may take longer, whatever the disk does.
const CHILD_MAX: Duration = Duration::from_secs(60);

/// A small disk in memory, gone with the value.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts it; `None` when this process may not.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={DISK_MIB}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            other => {
                println!("skipped: mounting a tmpfs takes root: {other:?}");
                None
            }
        }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Takes all space but `left` bytes.
    fn fill(&self, left: u64) {
        let len = (DISK_MIB << 20).saturating_sub(left);
        let mut file = std::fs::File::create(self.folder.path().join("filler")).unwrap();
        let zeros = vec![1; 1 << 16];
        let mut done = 0;
        while done < len {
            let part = zeros.len().min(usize::try_from(len - done).unwrap());
            if file.write_all(&zeros[..part]).is_err() {
                break;
            }
            done += part as u64;
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.folder.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a hung thread may still hold a file.
        let unmounted = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        assert!(unmounted.unwrap().success() || std::thread::panicking(), "the small disk stays mounted");
    }
}

/// The child: commits batches until the disk stops it, and says which are acknowledged.
#[test]
fn full_disk_child() {
    let Ok(task) = std::env::var("COMITY_FULL_TASK") else { return };
    let (name, rest) = task.split_once(' ').unwrap();
    let (start, folder) = rest.split_once(' ').unwrap();
    let engine = *Engine::ALL.iter().find(|engine| engine.name() == name).unwrap();
    let end = |how: &str| {
        println!("\nend {how}");
        // Without closing or dropping: an engine that hangs must not hold the process.
        std::process::exit(0);
    };
    let store = match engine.try_open(Path::new(folder), Options { open_deadline: DEADLINE, ..work_options() }) {
        Ok((store, _)) => store.shared(),
        Err(error) => return end(&format!("does not open: {error}")),
    };
    let writer = Writer::start(store, WriterOptions { deadline: DEADLINE, ..WriterOptions::default() }).unwrap();
    let start: u64 = start.parse().unwrap();
    for number in start..start + BATCHES {
        let (send, answer) = mpsc::channel();
        writer.submit(batch(number), Box::new(move |result| send.send(result).unwrap()));
        match answer.recv().unwrap() {
            Ok(()) => println!("\nack {number}"),
            Err(error) => return end(&format!("after {number}: {error}")),
        }
    }
    end("of the work");
}

/// Runs the child; gives the last acknowledged batch, if any, and how it ended.
fn run(engine: Engine, folder: &Path, start: u64) -> (Option<u64>, String) {
    let begun = Instant::now();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "full_disk::full_disk_child", "--nocapture", "--test-threads=1"])
        .env("COMITY_FULL_TASK", format!("{} {start} {}", engine.name(), folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let (said, heard) = mpsc::channel();
    let reader = std::thread::spawn(move || said.send(std::io::read_to_string(&mut out)));
    let text = heard.recv_timeout(CHILD_MAX).unwrap_or_else(|_| {
        child.kill().unwrap();
        panic!("{}: the child hangs for {:?}", engine.name(), begun.elapsed());
    });
    reader.join().unwrap().unwrap();
    child.wait().unwrap();
    let text = text.unwrap();
    let acknowledged = text.lines().filter_map(|line| line.strip_prefix("ack ")?.parse().ok()).next_back();
    let end = text.lines().find_map(|line| line.strip_prefix("end ")).map(str::to_owned);
    (acknowledged, end.unwrap_or_else(|| panic!("{}: the child broke off: {text}", engine.name())))
}

fn twenty_fill_levels(engine: Engine) {
    let Some(disk) = SmallDisk::mount() else { return };
    let (mut oracle, mut full_levels) = (Oracle::default(), 0);
    // What the whole work takes, so that the levels lie where the disk gets full in the middle of it.
    let (_, how) = run(engine, &disk.store(), 1);
    assert_eq!(how, "of the work");
    let taken: u64 = files(&disk.store()).iter().map(|path| path.metadata().unwrap().blocks() * 512).sum();
    std::fs::remove_dir_all(disk.store()).unwrap();
    for level in 0..LEVELS {
        disk.fill(taken * (level + 1) / LEVELS);
        // No floor: the disk gets really full under the engine.
        let (first, how) = run(engine, &disk.store(), 1);
        let acknowledged = first.unwrap_or(0);
        let (again, how_again) = run(engine, &disk.store(), acknowledged + 1);
        full_levels += u64::from(how != "of the work");
        println!(
            "{} level {level}: {acknowledged} acknowledged, then {how:.90}; again: {how_again:.90}",
            engine.name()
        );
        disk.free();
        let least = again.unwrap_or(acknowledged);
        // The second child may have begun with the batch that the first left whole but unanswered.
        let survived = check(engine, &disk.store(), least, least + 1, &mut oracle);
        assert!(survived.is_ok(), "{} level {level}: {survived:?}", engine.name());
        let (store, _) = engine.try_open(&disk.store(), work_options()).unwrap();
        store.commit(&[append(200, &[noise(100, level)], level)]).unwrap();
        store.close().unwrap();
        drop(store);
        std::fs::remove_dir_all(disk.store()).unwrap();
    }
    assert!(full_levels >= LEVELS * 3 / 4, "only {full_levels} levels met a full disk");
}

#[test]
fn a_full_disk_at_twenty_levels_loses_nothing_on_sled() {
    twenty_fill_levels(Engine::Sled);
}

#[cfg(feature = "redb")]
#[test]
fn a_full_disk_at_twenty_levels_loses_nothing_on_redb() {
    twenty_fill_levels(Engine::Redb);
}

#[test]
fn above_the_floor_a_disk_that_fills_up_is_refused_in_time_and_the_handle_lives_on() {
    for engine in Engine::ALL {
        let Some(disk) = SmallDisk::mount() else { return };
        let options = Options { free_bytes_floor: 4 << 20, checkpoint_bytes: 64 << 10, ..options() };
        let (store, _) = engine.try_open(&disk.store(), options).unwrap();
        disk.fill(7 << 20);
        let mut written = 0;
        let error = loop {
            match store.commit(&[append(1, &[noise(3_000, written)], written)]) {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full { .. }) && !error.is_final(), "{error}");
        assert_eq!(store.load(&document(1)).unwrap().unwrap().changes.len() as u64, written);
        disk.free();
        store.commit(&[append(1, &[noise(3_000, written)], written)]).unwrap();
        store.close().unwrap();
    }
}
