//! Power losses: a child's changes of files recorded, a disk that forgets, and the store opened on what is left.

pub mod disk;
pub mod recorder;
pub mod workload;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use self::disk::{Disk, Image, Keep, Lies};
use self::recorder::Record;
use self::workload::{Oracle, Survived};
use crate::common::{Engine, Random, tempdir};

/// How the child is told what to do.
const TASK: &str = "COMITY_POWER_TASK";
const STORE: &str = "store";

/// Does the child's work if this process is the child; tells whether it was.
pub fn child_work_if_asked() -> bool {
    let Ok(task) = std::env::var(TASK) else { return false };
    let words: Vec<&str> = task.splitn(4, ' ').collect();
    let [engine, start, batches, root] = words[..] else { panic!("{task:?} is no task") };
    let engine = *Engine::ALL.iter().find(|known| known.name() == engine).unwrap();
    workload::work(engine, &Path::new(root).join(STORE), start.parse().unwrap(), batches.parse().unwrap());
    true
}

/// What a child did, and the disk as it was before.
pub struct Recording {
    engine: Engine,
    /// The first batch that the child does; those before are certain.
    start: u64,
    batches: u64,
    before: Disk,
    pub records: Vec<Record>,
}

/// Batches that must be there, and the most that may be.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    least: u64,
    most: u64,
}

impl Recording {
    /// Has a child do batches from `start` on, on a disk with this image. `child` are the arguments that lead this
    /// program to [`child_work_if_asked`].
    pub fn make(engine: Engine, image: &Image, start: u64, batches: u64, child: &[&str]) -> Self {
        let root = tempdir().unwrap();
        disk::write(image, root.path());
        let before = Disk::of(root.path(), |_| false);
        let task = format!("{} {start} {batches} {}", engine.name(), root.path().display());
        let records = recorder::record(root.path(), child, &[(TASK, OsStr::new(&task))]);
        let recording = Self { engine, start, batches, before, records };
        // Were a change of the files missing in the record, every conclusion from it would be worth nothing.
        let mut disk = recording.disk(|_| false);
        recording.records.iter().for_each(|record| disk.play(record));
        assert!(disk.now() == disk::read(root.path()), "the record is not complete");
        recording
    }

    fn disk(&self, lies: Lies) -> Disk {
        self.before.clone().lying(lies)
    }

    fn bounds(&self, cut: usize) -> Bounds {
        let said = self.records[..cut].iter().rev().find_map(|record| match record {
            Record::Said { text } => text.split("ack ").nth(1)?.trim().parse().ok(),
            _ => None,
        });
        let least = said.unwrap_or(self.start - 1);
        Bounds { least, most: (least + 1).min(self.start + self.batches - 1) }
    }

    /// Opens an image and compares it with what must be there.
    fn check(&self, image: &Image, bounds: Bounds, oracle: &mut Oracle) -> Result<Survived, String> {
        let root = tempdir().unwrap();
        disk::write(image, root.path());
        workload::check(self.engine, &root.path().join(STORE), bounds.least, bounds.most, oracle)
    }

    /// Cuts the power at random moments; gives the images, and what survived of each.
    pub fn cut(
        &self,
        cuts: u64,
        lies: Lies,
        random: &mut Random,
        oracle: &mut Oracle,
        seen: &mut dyn FnMut(Image, Result<Survived, String>),
    ) {
        let mut moments: Vec<usize> =
            (0..cuts).map(|_| usize::try_from(random.below(self.records.len() as u64 + 1)).unwrap()).collect();
        moments.sort_unstable();
        let (mut disk, mut played) = (self.disk(lies), 0);
        for cut in moments {
            self.records[played..cut].iter().for_each(|record| disk.play(record));
            played = cut;
            let keep = match random.below(10) {
                0 => Keep::Nothing,
                1 => Keep::Everything,
                _ => Keep::Torn,
            };
            let image = disk.after_power_loss(keep, None, random);
            let survived = self.check(&image, self.bounds(cut), oracle);
            seen(image, survived.map_err(|what| format!("cut at {cut} of {}, {keep:?}: {what}", self.records.len())));
        }
    }

    /// Cuts before, inside and after each write, three images each.
    pub fn cut_everywhere(&self, random: &mut Random, oracle: &mut Oracle) -> Everywhere {
        let mut done = Everywhere::default();
        let mut known: HashMap<u64, Result<Survived, String>> = HashMap::new();
        let mut disk = self.disk(|_| false);
        for (index, record) in self.records.iter().enumerate() {
            let Record::Write { inode, .. } = record else {
                disk.play(record);
                continue;
            };
            done.writes += 1;
            let bounds = self.bounds(index);
            let mut images: Vec<Image> = [Keep::Nothing, Keep::Everything, Keep::Torn]
                .map(|keep| disk.after_power_loss(keep, None, random))
                .into();
            disk.play(record);
            // Inside: the write is under way, and some of its sectors are on the disk.
            let keeps = [Keep::UpToInsideTheLast, Keep::UpToInsideTheLast, Keep::Torn];
            images.extend(keeps.map(|keep| disk.after_power_loss(keep, Some(*inode), random)));
            let keeps = [Keep::Nothing, Keep::Everything, Keep::Torn];
            images.extend(keeps.map(|keep| disk.after_power_loss(keep, None, random)));
            for image in images {
                done.images += 1;
                let mut hasher = DefaultHasher::new();
                image.hash(&mut hasher);
                let found = known.entry(hasher.finish()).or_insert_with(|| {
                    done.opened += 1;
                    self.check(&image, Bounds { least: 0, most: u64::MAX }, oracle)
                });
                match found {
                    Ok(survived) if (bounds.least..=bounds.most).contains(&survived.batches) => {
                        done.rebuilt += u64::from(survived.rebuilt);
                    }
                    other => done.bad.push(format!("write {index}, {bounds:?}: {other:?}")),
                }
            }
        }
        done
    }
}

/// What cutting at every write gave.
#[derive(Debug, Default)]
pub struct Everywhere {
    pub writes: u64,
    pub images: u64,
    /// Images that were not equal to one before, and were opened.
    pub opened: u64,
    pub rebuilt: u64,
    pub bad: Vec<String>,
}

/// What rounds of power loss gave.
#[derive(Debug, Default)]
pub struct Tally {
    pub rounds: u64,
    /// Rounds after which the engine's files had to be built anew; nothing was lost.
    pub rebuilt: u64,
    pub bad: Vec<String>,
}

/// Cuts the power `rounds` times: children work one after the other, mostly on what a power loss left of the disk of
/// the one before, so that recovery is cut too.
pub fn lose_power(engine: Engine, rounds: u64, seed: u64, child: &[&str], told: &mut dyn FnMut(&Tally)) -> Tally {
    const CUTS_PER_CHILD: u64 = 10;
    const CHILDREN_PER_DISK: u64 = 5;
    let (mut tally, mut random, mut oracle) = (Tally::default(), Random(seed), Oracle::default());
    let (mut image, mut start) = (Image::new(), 1);
    for turn in 0.. {
        if tally.rounds >= rounds {
            break;
        }
        if turn % CHILDREN_PER_DISK == 0 {
            (image, start) = (Image::new(), 1);
        }
        let recording = Recording::make(engine, &image, start, 10 + random.below(31), child);
        let cuts = CUTS_PER_CHILD.min(rounds - tally.rounds);
        recording.cut(cuts, |_| false, &mut random, &mut oracle, &mut |left, survived| {
            tally.rounds += 1;
            match survived {
                Ok(Survived { batches, rebuilt }) => {
                    tally.rebuilt += u64::from(rebuilt);
                    (image, start) = (left, batches + 1);
                }
                Err(what) => tally.bad.push(format!("{} seed {seed}, child {turn}: {what}", engine.name())),
            }
        });
        told(&tally);
    }
    tally
}
