//! What a run must keep to, and whether it did.

use super::run::{Finale, megabytes};
use super::samples::Sample;
use super::slope::Slope;

/// Memory of a relay that serves 200 clients may be this much at most, whatever it has done before.
const RESIDENT_MB_MAX: f64 = 256.0;

/// Flat memory: growth in the longest life, after it has warmed up, that is more than its own noise. A leak of one
/// kilobyte for each link, at two links a second, would be 7 MB an hour; of one for each edit, 180.
const GROWTH_MB_PER_HOUR_MAX: f64 = 20.0;

/// What the run adds to the store is also in memory: in the store's own table until the next checkpoint, then in the
/// engine's cache. A byte of live data takes 2.6 there (measured with sled at 50 edits a second: 1.1 KB for an edit whose
/// rows have 0.4). That is no leak, it ends where the cache is full; sled counts the bytes of its pages, not the heap.
const DATA_IN_MEMORY: f64 = 3.0;
const ENGINE_CACHE_MB: f64 = 67.1;

/// A process has warmed up when its clients have come back, its documents have been let go once, and the allocator
/// has seen all sorts of work.
const WARM_UP_S: f64 = 120.0;

/// Below this, after the warm-up, a slope is only shown: noise is all there is.
const JUDGED_S: f64 = 300.0;

/// Files beside the sockets of clients: the store's, the runtime's, the log.
const OTHER_DESCRIPTORS_MAX: u64 = 48;

/// Growth of these files in an hour: none, but for connections that come or go between two looks.
const DESCRIPTORS_PER_HOUR_MAX: f64 = 6.0;

/// Threads for each core: a shard, a worker, and as many blocking reads of the store as a shard may wait for
/// (`loads_max`), when all clients come back at once...
const THREADS_PER_CORE_MAX: usize = 66;

/// ... and others: the store's writer, sled's own, the accept loop.
const THREADS_OTHER_MAX: usize = 32;

/// What is written for an edit, journal, engine and compaction included, in sizes of its change chunk. This counts the
/// bytes that are given to the files. The disk writes whole pages, and the file system its own: an edit that is
/// flushed alone, as it must be before it is acknowledged, takes two pages of 4 KiB whatever its size.
const WRITTEN_RATIO_MAX: f64 = 10.0;

/// The engine's files may take so many times what they hold, or this much in all, before they are written anew...
const ENGINE_RATIO_MAX: f64 = 5.0;
const ENGINE_MB_MIN: f64 = 67.2;

/// ... which is looked at after every 8 MiB of journal. Until then the engine may write this much more.
const ENGINE_MB_BETWEEN: f64 = 64.0;

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    pub name: &'static str,
    pub measured: String,
    pub wanted: String,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Met,
    Missed,
    /// The run was too short to tell.
    Open,
}

impl Bar {
    fn new(name: &'static str, measured: String, wanted: String, is_met: bool) -> Self {
        let verdict = if is_met { Verdict::Met } else { Verdict::Missed };
        Self { name, measured, wanted, verdict }
    }
}

/// Gives the samples of a life after its warm-up.
pub fn warm(samples: &[Sample]) -> Vec<Sample> {
    let lasted = samples.last().map_or(0.0, |sample| sample.age_s);
    // A short life still has a slope, though nobody judges it.
    let from = WARM_UP_S.min(lasted / 3.0);
    samples.iter().filter(|sample| sample.age_s >= from).copied().collect()
}

/// Gives the growth of something in a life, for each hour.
pub fn hourly(samples: &[Sample], of: impl Fn(&Sample) -> Option<f64>) -> Option<Slope> {
    let points: Vec<(f64, f64)> =
        warm(samples).iter().filter_map(|sample| Some((sample.age_s / 3600.0, of(sample)?))).collect();
    Slope::fit(&points)
}

/// Memory in MB.
pub fn resident(sample: &Sample) -> Option<f64> {
    Some(megabytes(sample.resident_bytes))
}

/// Files that are no client's socket.
pub fn other_descriptors(sample: &Sample) -> Option<f64> {
    Some(sample.descriptors as f64 - sample.connections? as f64)
}

/// Live data of the store in MB, before a life and after it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    pub before_mb: f64,
    pub after_mb: f64,
}

impl Live {
    /// Gives how much more memory the store may take for it in an hour.
    fn in_memory(self, lasted_s: f64) -> f64 {
        let growth = self.after_mb.min(ENGINE_CACHE_MB) - self.before_mb.min(ENGINE_CACHE_MB);
        (growth * DATA_IN_MEMORY / lasted_s.max(1.0) * 3600.0).max(0.0)
    }
}

/// Judges memory, files and threads. `longest` are the samples of the longest life, `live` what it added to the store.
pub fn of_process(all: &[Sample], longest: &[Sample], live: Live) -> Vec<Bar> {
    let mut bars = Vec::new();
    let judged_s = warm(longest).last().map_or(0.0, |last| last.age_s) - warm(longest).first().map_or(0.0, |s| s.age_s);
    let mut flat = |name, unit: &str, slope: Option<Slope>, most: f64, data: f64| {
        let Some(slope) = slope else { return };
        let measured = format!("{:+.1} ± {:.1} {unit} an hour over {judged_s:.0} s", slope.per_unit, slope.noise);
        let mut wanted = format!("at most {most} beyond noise, which is twice ±");
        if data > 0.0 {
            wanted.push_str(&format!(", and {data:.1} for the data that the store caches"));
        }
        let is_met = slope.beyond_noise() <= most + data;
        let mut bar = Bar::new(name, measured, wanted, is_met);
        if judged_s < JUDGED_S {
            bar.verdict = Verdict::Open;
        }
        bars.push(bar);
    };
    let data = live.in_memory(longest.last().map_or(0.0, |last| last.age_s));
    flat("memory is flat", "MB", hourly(longest, resident), GROWTH_MB_PER_HOUR_MAX, data);
    flat("files are flat", "files", hourly(longest, other_descriptors), DESCRIPTORS_PER_HOUR_MAX, 0.0);
    let peak = all.iter().filter_map(resident).fold(0.0, f64::max);
    let wanted = format!("at most {RESIDENT_MB_MAX} MB");
    bars.push(Bar::new("memory", format!("{peak:.1} MB at most"), wanted, peak <= RESIDENT_MB_MAX));
    let others: Vec<f64> = warm(longest).iter().filter_map(other_descriptors).collect();
    let others = others.iter().sum::<f64>() / others.len().max(1) as f64;
    bars.push(Bar::new(
        "files",
        format!("{others:.1} beside the connections"),
        format!("at most {OTHER_DESCRIPTORS_MAX}"),
        others <= OTHER_DESCRIPTORS_MAX as f64,
    ));
    let threads = all.iter().map(|sample| sample.threads).max().unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = (cores * THREADS_PER_CORE_MAX + THREADS_OTHER_MAX) as u64;
    bars.push(Bar::new("threads", format!("{threads} at most"), format!("at most {most}"), threads <= most));
    bars
}

/// Judges what was written in the longest life, and what the store takes: its live data and its engine's files, after
/// each life.
pub fn of_disk(longest: &[Sample], chunk_bytes: f64, stores: &[(u64, u64)]) -> Vec<Bar> {
    let mut bars = Vec::new();
    let warm = warm(longest);
    if let [first, .., last] = &warm[..]
        && last.acknowledged > first.acknowledged
    {
        let edits = (last.acknowledged - first.acknowledged) as f64;
        let given = (last.given_bytes - first.given_bytes) as f64 / edits;
        let pages = (last.disk_written_bytes - first.disk_written_bytes) as f64 / edits;
        let ratio = given / chunk_bytes.max(1.0);
        bars.push(Bar::new(
            "disk writes",
            format!("{given:.0} bytes an edit ({pages:.0} in pages), {ratio:.1} × its chunk of {chunk_bytes:.0}"),
            format!("at most {WRITTEN_RATIO_MAX} ×"),
            ratio <= WRITTEN_RATIO_MAX,
        ));
    }
    let allowed = |live: u64| (megabytes(live) * ENGINE_RATIO_MAX).max(ENGINE_MB_MIN) + ENGINE_MB_BETWEEN;
    let worst = stores.iter().max_by(|a, b| {
        let over = |(live, engine): &(u64, u64)| megabytes(*engine) / allowed(*live);
        over(a).total_cmp(&over(b))
    });
    if let Some((live, engine)) = worst.copied() {
        bars.push(Bar::new(
            "disk space",
            format!("{:.1} MB of engine files for {:.1} MB of live data", megabytes(engine), megabytes(live)),
            format!("at most {:.1} MB", allowed(live)),
            megabytes(engine) <= allowed(live),
        ));
    }
    bars
}

/// Judges whether anything was lost.
pub fn of_data(made: usize, acknowledged: usize, audited: usize, finale: Option<&Finale>) -> Vec<Bar> {
    let count = |name, measured: usize, of: String, wanted: usize| {
        Bar::new(name, format!("{measured} {of}"), format!("{wanted}"), measured == wanted)
    };
    let mut bars = vec![count("acknowledged", acknowledged, format!("of {made} edits"), made)];
    let Some(finale) = finale else {
        let measured = "the run did not come to its end".to_owned();
        bars.push(Bar::new("nothing lost", measured, "a comparison".to_owned(), false));
        return bars;
    };
    let copies =
        format!("acknowledged changes not found (in copies of the folder after each life: {audited} looked for)");
    bars.push(count("nothing lost", finale.missing, copies, 0));
    bars.push(count("nothing invented", finale.changes, "changes found by a fresh client".to_owned(), made));
    let kill = format!("of {} documents changed by a last SIGKILL", finale.documents);
    bars.push(count("nothing changed", finale.changed_by_kill, kill, 0));
    let held = format!("of {} replicas differ from the relay", finale.compared.equal + finale.compared.different.len());
    bars.push(count("equal everywhere", finale.compared.different.len(), held, 0));
    bars
}

#[cfg(test)]
mod tests {
    use super::super::dice::Dice;
    use super::super::stage::Compared;
    use super::*;

    /// Samples of a life of these seconds, with so much growth an hour, and 10 edits a second.
    fn life(seconds: u32, megabytes: f64, files: f64) -> Vec<Sample> {
        let mut dice = Dice::new(1, 0);
        let sample = |age_s: u32| {
            let hours = f64::from(age_s) / 3600.0;
            let connections = 150 + dice.below(50);
            Sample {
                age_s: f64::from(age_s),
                resident_bytes: (50e6 + megabytes * hours * 1e6) as u64 + dice.below(500_000),
                descriptors: connections + 15 + (files * hours) as u64,
                connections: Some(connections),
                threads: 30,
                given_bytes: u64::from(age_s) * 10 * 700,
                disk_written_bytes: u64::from(age_s) * 10 * 8_192,
                acknowledged: age_s as usize * 10,
                ..Sample::default()
            }
        };
        (0..=seconds).step_by(5).map(sample).collect()
    }

    fn missed(bars: &[Bar]) -> Vec<&'static str> {
        bars.iter().filter(|bar| bar.verdict == Verdict::Missed).map(|bar| bar.name).collect()
    }

    fn process(samples: &[Sample]) -> Vec<&'static str> {
        missed(&of_process(samples, samples, Live::default()))
    }

    #[test]
    fn a_process_that_grows_or_keeps_files_open_misses_its_bars_and_a_flat_one_does_not() {
        assert!(process(&life(720, 0.0, 0.0)).is_empty());
        assert!(process(&life(720, 10.0, 0.0)).is_empty());
        assert_eq!(process(&life(720, 40.0, 0.0)), ["memory is flat"]);
        assert_eq!(process(&life(720, 0.0, 30.0)), ["files are flat"]);
        assert_eq!(process(&life(720, 3_000.0, 600.0)), ["memory is flat", "files are flat", "memory", "files"]);
    }

    #[test]
    fn data_may_be_cached_but_not_for_ever() {
        let samples = life(720, 80.0, 0.0);
        let judged = |before_mb, after_mb| missed(&of_process(&samples, &samples, Live { before_mb, after_mb }));
        assert!(judged(10.0, 20.0).is_empty());
        assert_eq!(judged(10.0, 11.0), ["memory is flat"]);
        assert_eq!(judged(70.0, 80.0), ["memory is flat"]);
    }

    #[test]
    fn a_short_life_is_not_judged_by_its_slope() {
        let bars = of_process(&life(180, 900.0, 0.0), &life(180, 900.0, 0.0), Live::default());
        assert_eq!(bars[0].verdict, Verdict::Open);
        assert!(missed(&bars).is_empty());
    }

    #[test]
    fn threads_without_end_are_missed() {
        let mut samples = life(720, 0.0, 0.0);
        samples[3].threads = 100_000;
        assert_eq!(process(&samples), ["threads"]);
    }

    #[test]
    fn disk_is_measured_by_the_edit_and_by_what_is_live() {
        let samples = life(720, 0.0, 0.0);
        assert!(missed(&of_disk(&samples, 200.0, &[(20_000_000, 160_000_000)])).is_empty());
        assert_eq!(missed(&of_disk(&samples, 69.0, &[])), ["disk writes"]);
        assert_eq!(missed(&of_disk(&samples, 200.0, &[(0, 1), (20_000_000, 170_000_000)])), ["disk space"]);
    }

    #[test]
    fn every_way_to_lose_something_has_a_bar() {
        let id = comity_model::DocumentId::from_bytes([1; 16]);
        let whole = || Finale { documents: 3, changes: 100, ..Finale::default() };
        let lost = |acknowledged, finale: Finale| missed(&of_data(100, acknowledged, 0, Some(&finale)));
        assert!(lost(100, whole()).is_empty());
        assert_eq!(lost(99, whole()), ["acknowledged"]);
        assert_eq!(lost(100, Finale { missing: 1, ..whole() }), ["nothing lost"]);
        assert_eq!(lost(100, Finale { changes: 101, ..whole() }), ["nothing invented"]);
        assert_eq!(lost(100, Finale { changed_by_kill: 1, ..whole() }), ["nothing changed"]);
        let compared = Compared { equal: 5, different: vec![id] };
        assert_eq!(lost(100, Finale { compared, ..whole() }), ["equal everywhere"]);
        assert_eq!(missed(&of_data(100, 100, 0, None)), ["nothing lost"]);
    }
}
