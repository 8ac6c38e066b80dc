//! Runs many seeds of the simulator, several at a time, and shrinks what fails.

use std::num::ParseIntError;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use comity_testkit::{Coverage, Failure, Plan, Profile, Report, UnknownProfile, run_twice, shrink};

const USAGE: &str = "\
Runs seeds of the simulator.

Options:
  --profile NAME      a fault profile, or several, with commas between them; all when left out
  --seed N            one seed
  --seeds FIRST..LAST a range of seeds, both ends included (default 1..100)
  --operations N      operations in each (default 60)
  --threads N         how many at a time (default: as many as there are processors)
  --trace             print all that is kept of the trace of a failure, not only its end
  --shrink            make the plan of the first failure as small as possible";

struct Options {
    profiles: Vec<Profile>,
    seeds: RangeInclusive<u64>,
    operations: usize,
    threads: usize,
    shrinks: bool,
    traces: bool,
}

#[derive(Debug, thiserror::Error)]
enum UsageError {
    #[error("{0}")]
    Profile(#[from] UnknownProfile),
    #[error("{option} wants a number: {reason}")]
    Number { option: String, reason: ParseIntError },
    #[error("{option} wants a value")]
    Missing { option: String },
    #[error("there is no option {option}")]
    Unknown { option: String },
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("soak: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    for profile in &options.profiles {
        let outcome = soak(*profile, &options);
        outcome.print(*profile);
        if let Some(failure) = outcome.failure {
            failed = true;
            report(&failure, &options);
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What came of the seeds of one profile.
#[derive(Default)]
struct Outcome {
    passed: u64,
    messages: u64,
    /// The longest time, in virtual microseconds, that a world needed to come to rest.
    quiet_after_us_max: u64,
    coverage: Coverage,
    /// The failure of the least seed.
    failure: Option<Failure>,
}

impl Outcome {
    fn note(&mut self, result: Result<Report, Failure>) {
        match result {
            Ok(report) => {
                self.passed += 1;
                self.messages += report.messages;
                self.quiet_after_us_max = self.quiet_after_us_max.max(report.quiet_after_us);
                self.coverage.add(&report.coverage);
            }
            Err(failure) => {
                if self.failure.as_ref().is_none_or(|known| failure.seed < known.seed) {
                    self.failure = Some(failure);
                }
            }
        }
    }

    fn print(&self, profile: Profile) {
        let seen: Vec<String> = self.coverage.iter().map(|(seen, count)| format!("{seen:?} {count}")).collect();
        let (passed, messages, quiet_ms) = (self.passed, self.messages, self.quiet_after_us_max / 1_000);
        println!("{profile}: {passed} seeds passed, {messages} messages, quiet after at most {quiet_ms} ms");
        println!("{profile}: {}", seen.join(", "));
    }
}

/// Runs the seeds of one profile until the first failure.
fn soak(profile: Profile, options: &Options) -> Outcome {
    let next = AtomicU64::new(*options.seeds.start());
    let outcome = Mutex::new(Outcome::default());
    thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > *options.seeds.end() {
                        return;
                    }
                    let result = run_twice(profile, seed, options.operations);
                    if result.is_err() {
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                    }
                    outcome.lock().expect("no thread panics while it holds the lock").note(result);
                }
            });
        }
    });
    outcome.into_inner().expect("all threads have ended")
}

fn report(failure: &Failure, options: &Options) {
    if options.traces {
        failure.trace.iter().for_each(|line| println!("{line}"));
    }
    println!("{failure}");
    if !options.shrinks {
        return;
    }
    let plan = Plan::draw(failure.profile, failure.seed, failure.operations);
    if let Some((plan, failure)) = shrink(&plan, None) {
        println!("\nshrunk to {} devices and {} steps:", plan.devices, plan.steps.len());
        plan.steps.iter().for_each(|step| println!("{step}"));
        println!("\n{failure}");
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, UsageError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options {
        profiles: Profile::ALL.to_vec(),
        seeds: 1..=100,
        operations: 60,
        threads,
        shrinks: false,
        traces: false,
    };
    while let Some(option) = arguments.next() {
        match option.as_str() {
            "--shrink" => options.shrinks = true,
            "--trace" => options.traces = true,
            _ => {
                let value = arguments.next().ok_or_else(|| UsageError::Missing { option: option.clone() })?;
                set(&mut options, &option, &value)?;
            }
        }
    }
    Ok(options)
}

fn set(options: &mut Options, option: &str, value: &str) -> Result<(), UsageError> {
    let number =
        |text: &str| text.parse::<u64>().map_err(|reason| UsageError::Number { option: option.to_owned(), reason });
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    match option {
        "--profile" => options.profiles = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
        "--seed" => {
            let seed = number(value)?;
            options.seeds = seed..=seed;
        }
        "--seeds" => {
            let (first, last) = value.split_once("..").unwrap_or((value, value));
            options.seeds = number(first)?..=number(last)?;
        }
        "--operations" => options.operations = count(number(value)?),
        "--threads" => options.threads = count(number(value)?).max(1),
        _ => return Err(UsageError::Unknown { option: option.to_owned() }),
    }
    Ok(())
}
