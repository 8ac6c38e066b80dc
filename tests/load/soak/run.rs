//! The course of a run: clients in, relays up and down, and in the end the comparison.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use comity_net::Url;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, interval, timeout};

use super::device::Device;
use super::fresh::{self, Found};
use super::ledger::{Changes, Totals};
use super::light::Light;
use super::options::Options;
use super::pace;
use super::passer::{Doorway, doorways};
use super::place::{Place, StoreCounts};
use super::plan::{End, Life, Plan};
use super::samples::Watch;
use super::stage::{Compared, Phase, Stage, Truth};
use crate::process::RelayProcess;

/// Between two lines that say how it goes.
const PROGRESS: Duration = Duration::from_secs(30);

/// How long clients may take, at the end, to be told that everything they wrote is kept: the longest back-off of a
/// client, its retry after a restart, and time for the work.
const SETTLE_PATIENCE: Duration = Duration::from_secs(180);

/// A run.
pub struct Run {
    pub options: Options,
    plan: Plan,
    started: Instant,
    /// Everything of the relay, and copies.
    folder: TempDir,
    place: Place,
    pub stage: Arc<Stage>,
    phase: watch::Sender<Phase>,
    pub watch: Watch,
    crowd: JoinSet<Result<Compared>>,
    audits: JoinSet<Result<(usize, Audit)>>,
    progress: Interval,
    pub lives: Vec<Ended>,
    pub finale: Option<Finale>,
}

/// What came of one life of the relay.
#[derive(Debug)]
pub struct Ended {
    pub end: &'static str,
    /// How long it took until it served.
    pub start: Duration,
    pub lasted: Duration,
    /// Edits that were acknowledged by this process.
    pub acknowledged: usize,
    /// What it left behind.
    pub audit: Option<Audit>,
}

/// What a fresh client found in a copy of the folder that a relay left behind.
#[derive(Debug, Default)]
pub struct Audit {
    pub present: usize,
    pub missing: usize,
    pub store: StoreCounts,
}

/// What the end of the run showed.
#[derive(Debug, Default)]
pub struct Finale {
    /// Documents, and changes of clients in them, that a fresh client found.
    pub documents: usize,
    pub changes: usize,
    /// Acknowledged changes that it did not find.
    pub missing: usize,
    /// Documents that were otherwise after one more SIGKILL.
    pub changed_by_kill: usize,
    /// What the clients hold beside that.
    pub compared: Compared,
}

impl Run {
    /// Makes the clients; they dial at once, and the relay is not there yet.
    pub async fn prepare(options: Options, plan: Plan) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let place = Place::below(folder.path())?;
        let (phase, phases) = watch::channel(Phase::Work);
        let url: Url = format!("ws://{}", place.address).parse()?;
        let stage = Arc::new(Stage::new(options.seed, url, options.clients, options.edit_pause(), phases));
        let mut crowd = JoinSet::new();
        for number in 1..=options.clients {
            let stage = Arc::clone(&stage);
            let stream = u64::try_from(number)?;
            if number <= options.devices() {
                crowd.spawn(Device::new(stage, stream).await?.run());
            } else {
                crowd.spawn(Light::new(stage, stream).run());
            }
        }
        for number in 1..=doorways(options.clients) {
            let stream = u64::try_from(options.clients + number)?;
            crowd.spawn(Doorway::new(Arc::clone(&stage), stream).run());
        }
        let watch = Watch::start(place.data(), place.address, Arc::clone(&stage));
        Ok(Self {
            options,
            plan,
            started: Instant::now(),
            folder,
            place,
            stage,
            phase,
            watch,
            crowd,
            audits: JoinSet::new(),
            progress: interval(PROGRESS),
            lives: Vec::new(),
            finale: None,
        })
    }

    /// Goes through the plan to its end, or to the first thing that must not happen.
    pub async fn perform(&mut self) -> Result<()> {
        let lives = self.plan.lives.clone();
        let (last, others) = lives.split_last().context("a plan has a life")?;
        for life in others {
            let (relay, mut ended, before) = self.begin().await?;
            self.live(life).await?;
            self.watch.end();
            ended.end = end(relay, life.end).await?;
            ended.lasted = life.lasts;
            // Counted after the end, so that what was acknowledged in the last moment is looked for.
            ended.acknowledged = self.stage.ledger.totals().acknowledged - before;
            let number = self.lives.len();
            let image = self.place.image(number).await?;
            self.lives.push(ended);
            let expected = self.stage.ledger.news();
            // The next relay is up again while the copy of this one's folder is looked into.
            self.audits.spawn(audit(self.place.clone(), number, image, expected));
            self.watched(pace::rest(life.away)).await?;
        }
        let (relay, ended, before) = self.begin().await?;
        self.live(last).await?;
        self.finish(relay, ended, before).await
    }

    /// Lets a relay live.
    async fn live(&mut self, life: &Life) -> Result<()> {
        self.watched(pace::rest(life.rush)).await?;
        self.stage.set_calm(life.rush < life.lasts);
        self.watched(pace::rest(life.lasts.saturating_sub(life.rush))).await?;
        self.stage.set_calm(false);
        Ok(())
    }

    /// Starts the relay. Gives how many edits were acknowledged before.
    async fn begin(&mut self) -> Result<(RelayProcess, Ended, usize)> {
        let from = Instant::now();
        let relay = self.place.start().await?;
        self.watch.begin(self.lives.len(), relay.pid());
        let (start, lasted) = (from.elapsed(), Duration::ZERO);
        let ended = Ended { end: "end of the run", start, lasted, acknowledged: 0, audit: None };
        Ok((relay, ended, self.stage.ledger.totals().acknowledged))
    }

    async fn finish(&mut self, relay: RelayProcess, mut ended: Ended, before: usize) -> Result<()> {
        let from = Instant::now();
        self.phase.send_replace(Phase::Settle);
        let (stage, clients) = (Arc::clone(&self.stage), self.options.clients);
        if self.watched(timeout(SETTLE_PATIENCE, stage.until_settled(clients))).await?.is_err() {
            let Totals { made, acknowledged, .. } = stage.ledger.totals();
            bail!(
                "{} s after the last edit {} of {clients} clients have not been told that all they wrote is kept; {} edits wait",
                SETTLE_PATIENCE.as_secs(),
                clients - stage.settled(),
                made - acknowledged
            );
        }
        let expected = stage.ledger.all();
        let Found { truth, present, missing, changes } = fresh::fetch(&stage.url, "fresh", &expected).await?;
        let mut finale = Finale { documents: truth.len(), changes, missing: missing.len(), ..Finale::default() };
        println!("settled after {:.1} s; a fresh client found {present} changes", from.elapsed().as_secs_f64());
        let truth = Arc::new(truth);
        self.phase.send_replace(Phase::Compare(Arc::clone(&truth)));
        while let Some(compared) = self.crowd.join_next().await {
            let compared = compared??;
            finale.compared.equal += compared.equal;
            finale.compared.different.extend(compared.different);
        }
        while let Some(audited) = self.audits.join_next().await {
            self.audited(audited?)?;
        }
        self.watch.end();
        self.watch.stop();
        relay.kill()?;
        ended.lasted = self.plan.lives.last().map_or(Duration::ZERO, |life| life.lasts);
        ended.acknowledged = stage.ledger.totals().acknowledged - before;
        let number = self.lives.len();
        self.lives.push(ended);
        let (audited, after) = look_into(&self.place, &self.place.data(), &expected).await?;
        finale.changed_by_kill = truth.iter().filter(|(document, sight)| after.get(document) != Some(sight)).count();
        self.finale = Some(finale);
        self.audited(Ok((number, audited)))?;
        self.place.verify(&self.place.data()).await
    }

    /// Waits for something, with an eye on the clients and the audits, and says how it goes.
    async fn watched<T>(&mut self, future: impl Future<Output = T>) -> Result<T> {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                done = &mut future => return Ok(done),
                Some(ended) = self.crowd.join_next() => {
                    ended??;
                    bail!("a client ended before the run did");
                }
                Some(audited) = self.audits.join_next() => self.audited(audited?)?,
                _ = self.progress.tick() => self.say(),
            }
        }
    }

    fn audited(&mut self, audited: Result<(usize, Audit)>) -> Result<()> {
        let (number, audit) = audited?;
        let missing = audit.missing;
        self.lives[number].audit = Some(audit);
        let end = self.lives[number].end;
        ensure!(missing == 0, "{missing} acknowledged changes are not there after life {} ({end})", number + 1);
        Ok(())
    }

    fn say(&self) {
        let Totals { documents, made, acknowledged, .. } = self.stage.ledger.totals();
        let relay = match self.watch.last() {
            Some(sample) => format!(
                "life {} at {:.0} s: {:.1} MB resident, {} files, {} connections, folder {:.1} MB",
                sample.life + 1,
                sample.age_s,
                megabytes(sample.resident_bytes),
                sample.descriptors,
                sample.connections.map_or("?".to_owned(), |connections| connections.to_string()),
                megabytes(sample.folder_bytes)
            ),
            None => "no relay yet".to_owned(),
        };
        let at = self.started.elapsed().as_secs();
        println!("{at:5} s  {made} edits, {} wait, {documents} documents; {relay}", made - acknowledged);
    }

    /// Keeps the relay's folder and log, for whoever looks into what went wrong.
    pub fn keep(&mut self) -> &Path {
        self.folder.disable_cleanup(true);
        self.folder.path()
    }

    /// Gives the lines of the relay's log that tell of trouble.
    pub fn troubles(&self) -> Vec<String> {
        self.place.troubles()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.watch.stop();
    }
}

/// A million bytes each.
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

async fn end(relay: RelayProcess, end: End) -> Result<&'static str> {
    tokio::task::spawn_blocking(move || match end {
        End::Killed => relay.kill().map(|()| "SIGKILL"),
        End::Stopped => relay.stop().map(|()| "SIGTERM"),
    })
    .await?
}

/// Looks for changes in a copy, and removes it when they are all there.
async fn audit(place: Place, number: usize, image: PathBuf, expected: Changes) -> Result<(usize, Audit)> {
    let (audit, _) = look_into(&place, &image, &expected).await?;
    if audit.missing == 0 {
        std::fs::remove_dir_all(&image)?;
    }
    Ok((number, audit))
}

/// Starts a relay on a folder, where no client can help it, and looks for changes; then counts what is in its store.
async fn look_into(place: &Place, folder: &Path, expected: &Changes) -> Result<(Audit, Truth)> {
    let relay = place.start_on(folder).await?;
    let Found { truth, present, missing, .. } = fresh::fetch(&relay.url.parse()?, "auditor", expected).await?;
    end(relay, End::Stopped).await?;
    let store = place.counts(folder).await?;
    Ok((Audit { present, missing: missing.len(), store }, truth))
}
