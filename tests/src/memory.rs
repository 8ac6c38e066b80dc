//! The memory of a process, from Linux's `/proc`.

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
