//! How many files this process may have open. A socket is one.

/// Files that are not connections: the store, the journal, evidence, the runtime. About 30 are open at rest.
const RESERVED: usize = 96;

/// Gives how many connections there may be: as many as configured, if that many files may be open and some besides.
///
/// Without this, a crowd at the door would take the files that the store needs to write.
pub(crate) fn connections_max(configured: usize) -> usize {
    let Some(files) = files_max() else { return configured };
    let possible = places(files);
    if possible < configured {
        tracing::warn!(
            files,
            connections_max = possible,
            configured,
            "this process may not open enough files for so many connections; raise `ulimit -n`"
        );
    }
    possible.min(configured)
}

fn places(files: usize) -> usize {
    files.saturating_sub(RESERVED).max(files / 2).max(1)
}

/// Reads the limit on open files; `None` where the system does not tell, as anywhere but on Linux.
fn files_max() -> Option<usize> {
    parse(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn parse(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_keeps_files_of_its_own() {
        assert_eq!(places(20_000), 20_000 - RESERVED);
        assert_eq!(places(1_024), 1_024 - RESERVED);
        assert_eq!(places(100), 50, "half of very few");
        assert_eq!(places(0), 1);
    }

    #[test]
    fn the_limit_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
            Max processes             95694                95694                processes\n\
            Max open files            1024                 524288               files\n";
        assert_eq!(parse(limits), Some(1_024));
        assert_eq!(parse("Max open files            unlimited            unlimited            files"), None);
        assert_eq!(parse(""), None);
    }
}
