//! A simulated world: nodes, links, disks and clocks from one seed, time and order under its control.
//!
//! [`run`] builds a relay, three to five devices and one or two with another application; relay and devices are real
//! [`Engine`](comity_engine::Engine)s over simulated disks. It lets people work on them while links, machines, disks and
//! clocks break as a [`Profile`] says, then mends everything, waits until all is quiet, and asks:
//!
//! 1. Is every edit that was called saved on every node that wants its document? Excused is only what an injected loss
//!    took from a disk and nobody else had.
//! 2. Have all nodes equal heads and equal contents, in memory and on disk?
//! 3. Did every engine stay within its limits at all times? They are set so small that they are met.
//! 4. Did the world come to rest, in bounded time and with a bounded number of messages?
//! 5. Did nothing panic, and no honest peer get accused? Was every failure of a disk told by the name of the document?
//! 6. Does the same seed give the same trace?
//! 7. Whenever a device said that the relay has everything: were the device's own changes on the relay's disk? What a
//!    device learnt from the relay's fan-out is left out, because fan-out does not wait for the disk.
//! 8. And the other way round: when all is quiet, does every device know that the relay has everything?
//! 9. Have nodes with equal heads of a document, at any time, equal digests of its conflicts; and is what a node lists what
//!    is found anew in its document?
//! 10. Is every decision that was called saved still known, and is every value that was ever written shown, listed, or
//!     written over by somebody who had seen it?
//! 11. Was every short-lived message heard at most once, and is the time of each change one that its author can stand by?
//!
//! ```
//! use comity_testkit::{Profile, Seen, run};
//!
//! let report = run(Profile::LinkReset, 1, 20).expect("every promise is kept");
//! assert!(report.coverage.count(Seen::Reset) > 0);
//! ```
//!
//! `README.md` beside this crate tells what each profile does, what was planted to try the oracles, and how to add more.

mod care;
mod conditions;
mod connection;
mod coverage;
mod decide;
mod dice;
mod disk;
mod draw;
mod driver;
mod faults;
mod foreign;
mod happening;
mod host;
mod links;
mod losses;
mod notice;
mod oracle;
mod plan;
mod profile;
mod report;
mod reviews;
mod sabotage;
mod shown;
mod shrink;
mod trace;
mod work;
mod world;

pub use coverage::{Coverage, Seen};
pub use plan::{Plan, Step};
pub use profile::{Profile, UnknownProfile};
pub use report::{Failure, Report, Violation};
pub use sabotage::Sabotage;
pub use shrink::shrink;

use world::World;

/// Runs a seed: draws its plan, carries it out, and checks every promise.
///
/// # Errors
/// When a promise is broken, with the end of the trace and the command that runs the seed again.
pub fn run(profile: Profile, seed: u64, operations: usize) -> Result<Report, Failure> {
    carry_out(&Plan::draw(profile, seed, operations), None)
}

/// Runs a seed twice and compares the traces.
///
/// # Errors
/// As [`run`], and when the second run went another way.
pub fn run_twice(profile: Profile, seed: u64, operations: usize) -> Result<Report, Failure> {
    let report = run(profile, seed, operations)?;
    let (first, second) = (report.trace_digest, run(profile, seed, operations)?.trace_digest);
    if first == second {
        return Ok(report);
    }
    let violation = Box::new(Violation::NotDeterministic { first, second });
    Err(Failure { profile, seed, operations, violation, at_us: 0, trace: Vec::new() })
}

/// Carries out a plan, with a planted bug if one is given.
///
/// # Errors
/// As [`run`].
pub fn carry_out(plan: &Plan, sabotage: Option<Sabotage>) -> Result<Report, Failure> {
    World::new(plan, sabotage).run()
}
