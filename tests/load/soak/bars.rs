//! What a run must keep to, and whether it did.

use super::growth;
use super::run::{Finale, megabytes};
use super::samples::Sample;

/// Memory of a relay that serves 200 clients may be this much at most, whatever it has done before.
const RESIDENT_MB_MAX: f64 = 256.0;

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
    pub fn new(name: &'static str, measured: String, wanted: String, is_met: bool) -> Self {
        let verdict = if is_met { Verdict::Met } else { Verdict::Missed };
        Self { name, measured, wanted, verdict }
    }
}

/// Judges memory, files and threads, from the samples of each life.
pub fn of_process(lives: &[Vec<Sample>]) -> Vec<Bar> {
    let mut bars = growth::bars(lives);
    let all = || lives.iter().flatten();
    let peak = all().map(growth::resident).fold(0.0, f64::max);
    let wanted = format!("at most {RESIDENT_MB_MAX} MB");
    bars.push(Bar::new("memory", format!("{peak:.1} MB at most"), wanted, peak <= RESIDENT_MB_MAX));
    let threads = all().map(|sample| sample.threads).max().unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = (cores * THREADS_PER_CORE_MAX + THREADS_OTHER_MAX) as u64;
    bars.push(Bar::new("threads", format!("{threads} at most"), format!("at most {most}"), threads <= most));
    bars
}

/// Judges what was written in the longest life, and what the store takes: its live data and its engine's files, after
/// each life.
pub fn of_disk(longest: &[Sample], chunk_bytes: f64, stores: &[(u64, u64)]) -> Vec<Bar> {
    let mut bars = Vec::new();
    if let [first, .., last] = longest
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
    use super::super::growth::tests::life;
    use super::super::stage::Compared;
    use super::*;

    fn missed(bars: &[Bar]) -> Vec<&'static str> {
        bars.iter().filter(|bar| bar.verdict == Verdict::Missed).map(|bar| bar.name).collect()
    }

    #[test]
    fn threads_without_end_are_missed() {
        let mut samples = life(720);
        samples[3].threads = 100_000;
        assert_eq!(missed(&of_process(&[samples])), ["threads"]);
    }

    #[test]
    fn disk_is_measured_by_the_edit_and_by_what_is_live() {
        let samples = life(720);
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
