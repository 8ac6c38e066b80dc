//! Whether memory and files are flat.
//!
//! Documents grow, and the store's engine has a byte or more in memory for each byte of its live rows, however small its
//! cache is made: sled evicts late and keeps an account of every page. In the rush that hides a leak. So the long lives
//! end in a calm: as many links come and go, as many documents are opened and read, but little is written. What grows
//! then is nothing that the relay was given to keep, and no allowance is made for any.

use super::bars::{Bar, Verdict};
use super::run::megabytes;
use super::samples::Sample;
use super::slope::Slope;

/// Growth in a calm. With some twelve links a second, a leak of half a kilobyte for each is above it.
const MB_PER_HOUR_MAX: f64 = 20.0;

/// Growth in the rush, for each edit: its row in the store's table and engine, and its part of a document that is open.
/// Between 200 and 1,400 were measured, so a leak of less than a kilobyte for each edit is not told from data.
const BYTES_PER_EDIT_MAX: f64 = 1_000.0;

/// Files beside the sockets of clients: the store's, the runtime's, the log.
const OTHER_DESCRIPTORS_MAX: u64 = 48;

/// Growth of these files in an hour: none, but for connections that come or go between two looks.
const DESCRIPTORS_PER_HOUR_MAX: f64 = 6.0;

/// A calm has begun in earnest when the documents of the rush have been let go and those that are only read have taken
/// their place: twice `idle_after`, and a little.
const SETTLED_S: f64 = 70.0;

/// A process has come up when its clients are back.
const CAME_UP_S: f64 = 30.0;

/// Fewest samples in a row that count: fewer say nothing of how they scatter.
const SAMPLES_MIN: usize = 10;

/// Time in calms, all lives together, in which a run must be able to tell. Below it, chance gets the benefit of the
/// doubt...
const JUDGED_S: f64 = 600.0;

/// ... and this much in all (MB, or files) is no growth: a heap that has not seen its largest load yet is raised by a
/// megabyte now and then.
const STEP: f64 = 2.0;

/// Judges memory and files, from the samples of each life.
pub fn bars(lives: &[Vec<Sample>]) -> Vec<Bar> {
    let (calms, rushes) = (Stretches::of(lives, is_calm), Stretches::of(lives, is_rush));
    let mut bars = vec![calms.memory(), rushes.data(), calms.files()];
    bars.extend(calms.other_files());
    bars
}

/// Gives the growth of memory in the calm of a life, in MB an hour.
pub fn hourly(life: &[Sample]) -> Option<Slope> {
    Stretches::of(&[life.to_vec()], is_calm).hourly(|sample| Some(resident(sample)))
}

/// Memory in MB.
pub fn resident(sample: &Sample) -> f64 {
    megabytes(sample.resident_bytes)
}

/// Files that are no client's socket.
pub fn other_descriptors(sample: &Sample) -> Option<f64> {
    Some(sample.descriptors as f64 - sample.connections? as f64)
}

fn is_calm(sample: &Sample) -> bool {
    sample.calm_s.is_some_and(|calm_s| calm_s >= SETTLED_S)
}

fn is_rush(sample: &Sample) -> bool {
    sample.is_work && sample.calm_s.is_none() && sample.age_s >= CAME_UP_S
}

/// Samples that belong together. A process that is started again begins at a level of its own. So does one whose
/// store has moved what waited in its journal to its engine.
struct Stretches(Vec<Vec<Sample>>);

impl Stretches {
    fn of(lives: &[Vec<Sample>], belongs: impl Fn(&Sample) -> bool) -> Self {
        let moves = |a: &Sample, b: &Sample| b.journal_bytes < a.journal_bytes / 2;
        let mut stretches: Vec<Vec<Sample>> = Vec::new();
        for life in lives {
            let samples: Vec<Sample> = life.iter().filter(|sample| belongs(sample)).copied().collect();
            stretches.extend(samples.chunk_by(|a, b| !moves(a, b)).map(<[Sample]>::to_vec));
        }
        stretches.retain(|stretch| stretch.len() >= SAMPLES_MIN);
        Self(stretches)
    }

    /// Adds up how much something grew.
    fn sum(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        self.0.iter().filter_map(|stretch| Some(of(stretch.last()?) - of(stretch.first()?))).sum()
    }

    fn seconds(&self) -> f64 {
        self.sum(|sample| sample.age_s)
    }

    /// Gives the growth of something with something else.
    fn slope(&self, over: impl Fn(&Sample) -> f64, of: impl Fn(&Sample) -> Option<f64>) -> Option<Slope> {
        let points = |stretch: &Vec<Sample>| stretch.iter().filter_map(|s| Some((over(s), of(s)?))).collect();
        Slope::pooled(&self.0.iter().map(points).collect::<Vec<_>>())
    }

    fn hourly(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<Slope> {
        self.slope(|sample| sample.age_s / 3600.0, of)
    }

    /// Judges that something does not grow by more than so much an hour. A run that is long enough must show it: then the
    /// whole interval counts.
    fn flat(&self, name: &'static str, unit: &str, slope: Option<Slope>, most: f64) -> Bar {
        let seconds = self.seconds();
        let wanted = format!("at most {most:+}, to the end of the interval");
        let Some(slope) = slope else {
            return Bar { name, measured: "no calm was long enough".to_owned(), wanted, verdict: Verdict::Open };
        };
        let measured = format!("{} {unit} an hour in {seconds:.0} s of calm", shown(&slope));
        let is_step = slope.per_unit * seconds / 3600.0 < STEP;
        let verdict = match (slope.least() > most, slope.most() <= most) {
            (_, true) => Verdict::Met,
            (is_beyond, false) if seconds < JUDGED_S && (is_step || !is_beyond) => Verdict::Open,
            _ => Verdict::Missed,
        };
        Bar { name, measured, wanted, verdict }
    }

    fn memory(&self) -> Bar {
        let slope = self.hourly(|sample| Some(resident(sample)));
        let mut bar = self.flat("memory is flat", "MB", slope, MB_PER_HOUR_MAX);
        let links = self.sum(|sample| sample.handshakes as f64);
        if let Some(slope) = slope
            && links > 0.0
        {
            let each = slope.per_unit * 1e6 * self.seconds() / 3600.0 / links;
            bar.measured.push_str(&format!(": {each:+.0} bytes for each of {links:.0} links"));
        }
        bar
    }

    /// Judges what edits leave in memory. Journal and cache move in steps of megabytes, so chance always gets the benefit
    /// of the doubt.
    fn data(&self) -> Bar {
        let (name, wanted) =
            ("memory for data", format!("at most {BYTES_PER_EDIT_MAX}, from the start of the interval"));
        let Some(slope) = self.slope(|sample| sample.acknowledged as f64, |s| Some(s.resident_bytes as f64)) else {
            return Bar { name, measured: "no rush was long enough".to_owned(), wanted, verdict: Verdict::Open };
        };
        let edits = self.sum(|sample| sample.acknowledged as f64);
        let measured = format!("{} bytes for each of {edits:.0} edits in the rush", shown(&slope));
        Bar::new(name, measured, wanted, slope.least() <= BYTES_PER_EDIT_MAX)
    }

    fn files(&self) -> Bar {
        self.flat("files are flat", "files", self.hourly(other_descriptors), DESCRIPTORS_PER_HOUR_MAX)
    }

    fn other_files(&self) -> Option<Bar> {
        let others: Vec<f64> = self.0.iter().flatten().filter_map(other_descriptors).collect();
        let mean = others.iter().sum::<f64>() / others.len() as f64;
        let (measured, wanted) =
            (format!("{mean:.1} beside the connections"), format!("at most {OTHER_DESCRIPTORS_MAX}"));
        (!others.is_empty()).then(|| Bar::new("files", measured, wanted, mean <= OTHER_DESCRIPTORS_MAX as f64))
    }
}

fn shown(slope: &Slope) -> String {
    format!("{:+.1} (95 %: {:+.1} to {:+.1})", slope.per_unit, slope.least(), slope.most())
}

#[cfg(test)]
pub mod tests {
    use super::super::dice::Dice;
    use super::*;

    /// When the calm begins in the lives below.
    const RUSH_S: u32 = 120;

    /// Samples of a life of these seconds, flat in its calm, with 50 edits a second before it and 12 links a second
    /// throughout.
    pub fn life(seconds: u32) -> Vec<Sample> {
        let mut dice = Dice::new(1, 0);
        let sample = |age_s: u32| {
            let edits = age_s.min(RUSH_S) * 50 + age_s.saturating_sub(RUSH_S) * 2;
            let connections = 150 + dice.below(50);
            Sample {
                age_s: f64::from(age_s),
                is_work: true,
                calm_s: (age_s >= RUSH_S).then(|| f64::from(age_s - RUSH_S)),
                resident_bytes: 50_000_000 + u64::from(edits) * 300 + dice.below(300_000),
                descriptors: connections + 15,
                connections: Some(connections),
                threads: 30,
                given_bytes: u64::from(edits) * 700,
                disk_written_bytes: u64::from(edits) * 8_192,
                journal_bytes: u64::from(edits) * 600,
                acknowledged: edits as usize,
                handshakes: age_s as usize * 12,
                ..Sample::default()
            }
        };
        (0..=seconds).step_by(5).map(sample).collect()
    }

    /// The same with more memory and files, as each sample says.
    fn grown(seconds: u32, bytes: impl Fn(&Sample) -> f64, files: impl Fn(&Sample) -> f64) -> Vec<Sample> {
        let mut samples = life(seconds);
        for sample in &mut samples {
            sample.resident_bytes += bytes(sample) as u64;
            sample.descriptors += files(sample) as u64;
        }
        samples
    }

    fn hourly(each: f64) -> impl Fn(&Sample) -> f64 {
        move |sample| each * sample.age_s / 3600.0
    }

    fn verdict(name: &str, lives: &[Vec<Sample>]) -> Verdict {
        bars(lives).into_iter().find(|bar| bar.name == name).expect("a bar of this name").verdict
    }

    fn memory(lives: &[Vec<Sample>]) -> Verdict {
        verdict("memory is flat", lives)
    }

    #[test]
    fn a_process_that_grows_or_keeps_files_open_misses_its_bars_and_a_flat_one_does_not() {
        let judged = |megabytes: f64, files| {
            let life = [grown(900, hourly(megabytes * 1e6), hourly(files))];
            (memory(&life), verdict("files are flat", &life))
        };
        assert_eq!(judged(0.0, 0.0), (Verdict::Met, Verdict::Met));
        assert_eq!(judged(6.0, 0.0), (Verdict::Met, Verdict::Met));
        assert_eq!(judged(30.0, 0.0), (Verdict::Missed, Verdict::Met));
        assert_eq!(judged(0.0, 30.0), (Verdict::Met, Verdict::Missed));
    }

    #[test]
    fn a_leak_of_a_kilobyte_for_each_link_is_seen_and_named() {
        let leak = |each: f64| grown(900, move |sample| each * sample.handshakes as f64, hourly(0.0));
        assert_eq!(memory(&[leak(0.0)]), Verdict::Met);
        let bar = bars(&[leak(1_024.0)]).swap_remove(0);
        assert_eq!(bar.verdict, Verdict::Missed);
        assert!(bar.measured.contains(": +10") && bar.measured.contains("links"), "{}", bar.measured);
    }

    #[test]
    fn a_leak_of_two_kilobytes_for_each_edit_is_seen() {
        let leak = |each: f64| [grown(900, move |sample| each * sample.acknowledged as f64, hourly(0.0))];
        assert_eq!(verdict("memory for data", &leak(0.0)), Verdict::Met);
        assert_eq!(verdict("memory for data", &leak(2_048.0)), Verdict::Missed);
    }

    #[test]
    fn neither_restarts_nor_checkpoints_hide_growth_or_are_taken_for_it() {
        let lives = |each: f64| {
            let (mut first, second) =
                (grown(500, hourly(each * 1e6), hourly(0.0)), grown(420, hourly(each * 1e6), hourly(0.0)));
            for sample in first.iter_mut().filter(|sample| sample.age_s > 300.0) {
                sample.journal_bytes /= 10;
                sample.resident_bytes += 8_000_000;
            }
            [first, life(60), second]
        };
        assert_eq!(memory(&lives(0.0)), Verdict::Met);
        assert_eq!(memory(&lives(60.0)), Verdict::Missed);
    }

    #[test]
    fn a_short_run_is_judged_where_chance_cannot_explain_it() {
        let judged = |seconds, each: f64| memory(&[grown(seconds, hourly(each * 1e6), hourly(0.0))]);
        assert_eq!(judged(180, 900.0), Verdict::Open);
        assert_eq!(judged(270, 20.0), Verdict::Open);
        assert_eq!(judged(270, 900.0), Verdict::Missed);
        let step = |sample: &Sample| if sample.age_s > 220.0 { 1e6 } else { 0.0 };
        assert_eq!(memory(&[grown(270, step, hourly(0.0))]), Verdict::Open);
    }

    #[test]
    fn a_long_run_that_cannot_tell_has_not_shown_it() {
        let waves = |sample: &Sample| if sample.age_s % 200.0 < 100.0 { 30e6 } else { 0.0 };
        assert_eq!(memory(&[grown(900, waves, hourly(0.0))]), Verdict::Missed);
    }
}
