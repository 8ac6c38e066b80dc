//! What machine this is, since figures mean nothing without it.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Describes it in one line, with the file system that a folder is on.
pub fn describe(folder: &Path) -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "an unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kib: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(0.0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let node = Command::new("node").arg("--version").output();
    let node = node.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let system = file_system(&read("/proc/self/mounts"), folder);
    format!("{model}, {cores} cores, {:.0} GiB, {system}, Linux {}, Node.js {node}", kib / 1048576.0, kernel.trim())
}

/// Gives the type of the file system that a folder is on: of the longest mount point above it.
fn file_system(mounts: &str, folder: &Path) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = mounts.filter(|(point, _)| folder.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map_or_else(|| "an unknown disk".to_owned(), |(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount_point() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/bench-1")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/tmpfiles/bench-1")), "ext4");
    }
}
