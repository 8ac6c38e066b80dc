//! What a process uses, from Linux's `/proc`.

use std::time::Duration;

/// What a process holds and what it held at most since it started, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now.
    pub resident_bytes: u64,
    /// The greatest that was ever resident.
    pub peak_bytes: u64,
}

/// Reads the memory of a process.
pub fn of_process(pid: u32) -> Memory {
    let file = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib: Option<u64> =
            line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next()?.parse().ok());
        kib.unwrap_or_else(|| panic!("no {name} in {file}")) * 1024
    };
    Memory { resident_bytes: bytes("VmRSS"), peak_bytes: bytes("VmHWM") }
}

/// Lets the greatest resident memory of a process count from now on.
pub fn forget_peak(pid: u32) {
    let file = format!("/proc/{pid}/clear_refs");
    std::fs::write(&file, "5").unwrap_or_else(|error| panic!("{file}: {error}"));
}

/// Gives how much processor time a process has used.
pub fn processor_time(pid: u32) -> Duration {
    let file = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    // The name may hold anything, so fields are counted from its end: the state is the first.
    let (_, rest) = stat.rsplit_once(')').unwrap_or_else(|| panic!("{file}: {stat}"));
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // A hundred ticks a second, on every Linux that people use.
    Duration::from_millis(ticks * 10)
}

/// Counts the open files of a process, sockets included.
pub fn open_files(pid: u32) -> usize {
    let folder = format!("/proc/{pid}/fd");
    std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}")).count()
}
