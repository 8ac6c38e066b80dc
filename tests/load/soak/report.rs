//! What came of a run, as a table and as JSON.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::{Value as Json, json};

use super::bars::{self, Bar, Verdict};
use super::growth;
use super::ledger::Totals;
use super::run::{Run, megabytes};
use super::samples::Sample;
use super::slope::Slope;

/// Lines of the relay's log that are shown.
const TROUBLES_SHOWN: usize = 5;

/// Names the columns that [`Life`] fills.
const HEADLINE: &str = " life  lasted  up in  MB last   most  growth, MB/h      files  threads   edits  given/edit  \
                        pages/edit  folder  engine    live  looked for  missing  ended by";

/// A report.
pub struct Report {
    seed: u64,
    clients: usize,
    totals: Totals,
    answers_ms: (f64, f64),
    counts: Vec<(&'static str, usize)>,
    lives: Vec<Life>,
    bars: Vec<Bar>,
    troubles: Vec<String>,
    samples: Vec<Sample>,
}

/// A row of the table.
struct Life {
    end: &'static str,
    lasted_s: f64,
    start_ms: f64,
    memory_mb: (f64, f64),
    memory: Option<Slope>,
    descriptors: Option<f64>,
    threads: u64,
    edits: usize,
    written_bytes: u64,
    given_bytes: u64,
    folder_mb: f64,
    engine_mb: f64,
    live_mb: f64,
    audited: usize,
    missing: usize,
}

impl Report {
    /// Sums up what is known by now.
    pub fn of(run: &Run) -> Self {
        let totals = run.stage.ledger.totals();
        let samples = run.watch.samples();
        let of_life = |number| samples.iter().filter(|sample| sample.life == number).copied().collect::<Vec<_>>();
        // The last one may not have ended, if the run broke off.
        let of_lives: Vec<Vec<Sample>> = (0..=run.lives.len()).map(of_life).collect();
        let lives: Vec<Life> =
            run.lives.iter().zip(&of_lives).map(|(ended, samples)| Life::of(ended, samples)).collect();
        let longest = of_lives.iter().max_by_key(|samples| samples.len()).cloned().unwrap_or_default();
        let stores: Vec<(u64, u64)> = run
            .lives
            .iter()
            .filter_map(|ended| ended.audit.as_ref())
            .map(|audit| (audit.store.live_bytes, audit.store.engine_bytes))
            .collect();
        let audited = lives.iter().map(|life| life.audited).sum();
        let mut bars = bars::of_data(totals.made, totals.acknowledged, audited, run.finale.as_ref());
        bars.extend(bars::of_process(&of_lives));
        bars.extend(bars::of_disk(&longest, totals.chunk_bytes, &stores));
        let (middle, most) = run.stage.ledger.answers();
        let counters = &run.stage.counters;
        let count = |name, counter: &AtomicUsize| (name, counter.load(Relaxed));
        Self {
            seed: run.options.seed,
            clients: run.options.clients,
            totals,
            answers_ms: (middle.as_secs_f64() * 1e3, most.as_secs_f64() * 1e3),
            counts: vec![
                count("handshakes", &counters.connections),
                count("goodbyes", &counters.goodbyes),
                count("links dropped without a word", &counters.cuts),
                count("links lost and dials refused", &counters.losses),
                count("devices reopened", &counters.reopened),
                count("devices replaced", &counters.replaced),
                count("visits to documents", &counters.visits),
                count("passers-by", &counters.passers),
            ],
            lives,
            bars,
            troubles: run.troubles(),
            samples,
        }
    }

    /// Says which bars were missed.
    pub fn missed(&self) -> Vec<String> {
        let missed = self.bars.iter().filter(|bar| bar.verdict == Verdict::Missed);
        let mut missed: Vec<String> =
            missed.map(|bar| format!("{}: {}, wanted {}", bar.name, bar.measured, bar.wanted)).collect();
        if let Some(line) = self.troubles.iter().find(|line| line.contains("ERROR") || line.contains("panicked")) {
            missed.push(format!("the relay's log tells of an error: {line}"));
        }
        missed
    }

    /// Gives everything, samples included.
    pub fn json(&self) -> String {
        let slope =
            |slope: Option<Slope>| slope.map(|slope| json!({ "per_hour": slope.per_unit, "noise": slope.noise }));
        let lives: Vec<Json> = self
            .lives
            .iter()
            .map(|life| {
                json!({
                    "end": life.end, "lasted_s": life.lasted_s, "start_ms": life.start_ms,
                    "memory_mb": { "last": life.memory_mb.0, "most": life.memory_mb.1 },
                    "memory_growth_mb": slope(life.memory), "files_beside_connections": life.descriptors,
                    "threads": life.threads, "edits": life.edits, "disk_written_bytes": life.written_bytes,
                    "given_to_write_bytes": life.given_bytes, "folder_mb": life.folder_mb,
                    "engine_mb": life.engine_mb, "live_mb": life.live_mb,
                    "audited": life.audited, "missing": life.missing,
                })
            })
            .collect();
        let bars: Vec<Json> = self
            .bars
            .iter()
            .map(|bar| {
                json!({
                    "name": bar.name, "measured": bar.measured, "wanted": bar.wanted,
                    "verdict": format!("{:?}", bar.verdict).to_lowercase(),
                })
            })
            .collect();
        let samples: Vec<Json> = self
            .samples
            .iter()
            .map(|sample| {
                json!({
                    "at_s": sample.at_s, "life": sample.life, "age_s": sample.age_s,
                    "resident_bytes": sample.resident_bytes, "descriptors": sample.descriptors,
                    "threads": sample.threads, "connections": sample.connections,
                    "disk_written_bytes": sample.disk_written_bytes, "given_to_write_bytes": sample.given_bytes,
                    "folder_bytes": sample.folder_bytes, "journal_bytes": sample.journal_bytes,
                    "is_work": sample.is_work, "calm_s": sample.calm_s, "acknowledged": sample.acknowledged, "handshakes": sample.handshakes,
                })
            })
            .collect();
        let report = json!({
            "schema": "comity.soak-relay/1", "seed": self.seed, "clients": self.clients,
            "documents": self.totals.documents, "edits": self.totals.made, "edits_offline": self.totals.made_offline,
            "acknowledged": self.totals.acknowledged, "chunk_bytes": self.totals.chunk_bytes,
            "answer_ms": { "p50": self.answers_ms.0, "p99": self.answers_ms.1 },
            "counts": self.counts.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect::<serde_json::Map<_, _>>(),
            "lives": lives, "bars": bars, "relay_log": self.troubles, "samples": samples,
        });
        format!("{report:#}\n")
    }
}

impl Life {
    fn of(ended: &super::run::Ended, samples: &[Sample]) -> Self {
        let others: Vec<f64> = samples.iter().filter_map(growth::other_descriptors).collect();
        let last = samples.last();
        let audit = ended.audit.as_ref();
        Self {
            end: ended.end,
            lasted_s: ended.lasted.as_secs_f64(),
            start_ms: ended.start.as_secs_f64() * 1e3,
            memory_mb: (last.map_or(0.0, growth::resident), samples.iter().map(growth::resident).fold(0.0, f64::max)),
            memory: growth::hourly(samples),
            descriptors: (!others.is_empty()).then(|| others.iter().sum::<f64>() / others.len() as f64),
            threads: samples.iter().map(|sample| sample.threads).max().unwrap_or_default(),
            edits: ended.acknowledged,
            written_bytes: last.map_or(0, |last| last.disk_written_bytes),
            given_bytes: last.map_or(0, |last| last.given_bytes),
            folder_mb: last.map_or(0.0, |last| megabytes(last.folder_bytes)),
            engine_mb: audit.map_or(0.0, |audit| megabytes(audit.store.engine_bytes)),
            live_mb: audit.map_or(0.0, |audit| megabytes(audit.store.live_bytes)),
            audited: audit.map_or(0, |audit| audit.present + audit.missing),
            missing: audit.map_or(0, |audit| audit.missing),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{HEADLINE}")?;
        for (number, life) in self.lives.iter().enumerate() {
            writeln!(f, " {:4}  {life}", number + 1)?;
        }
        let Totals { documents, made, made_offline, acknowledged, chunk_bytes } = self.totals;
        writeln!(
            f,
            "\n{made} edits ({made_offline} offline) in {documents} documents, {acknowledged} acknowledged; a change chunk has {chunk_bytes:.0} bytes"
        )?;
        writeln!(
            f,
            "durable answer to an edit made online, restarts included: p50 {:.0} ms, p99 {:.0} ms",
            self.answers_ms.0, self.answers_ms.1
        )?;
        let counts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        writeln!(f, "{}\n", counts.join(", "))?;
        for bar in &self.bars {
            let verdict = match bar.verdict {
                Verdict::Met => "met   ",
                Verdict::Missed => "MISSED",
                Verdict::Open => "open  ",
            };
            writeln!(f, " {verdict}  {:<17} {}  [{}]", bar.name, bar.measured, bar.wanted)?;
        }
        if !self.troubles.is_empty() {
            writeln!(f, "\n{} warnings and errors in the relay's log, the first:", self.troubles.len())?;
        }
        for line in self.troubles.iter().take(TROUBLES_SHOWN) {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let growth = self.memory.map(|slope| format!("{:+.0} ± {:.0}", slope.per_unit, slope.noise));
        let files = self.descriptors.map(|files| format!("{files:.1}"));
        let each = |bytes: u64| bytes / self.edits.max(1) as u64;
        write!(f, "{:4.0} s {:4.0} ms  ", self.lasted_s, self.start_ms)?;
        write!(f, "{:6.1} {:6.1}  {:<15}  ", self.memory_mb.0, self.memory_mb.1, growth.unwrap_or_default())?;
        write!(f, "{:>6}  {:7}  {:6}  ", files.unwrap_or_default(), self.threads, self.edits)?;
        write!(f, "{:10}  {:10}  ", each(self.given_bytes), each(self.written_bytes))?;
        write!(f, "{:6.1}  {:6.1}  {:6.1}  ", self.folder_mb, self.engine_mb, self.live_mb)?;
        write!(f, "{:10}  {:7}  {}", self.audited, self.missing, self.end)
    }
}
