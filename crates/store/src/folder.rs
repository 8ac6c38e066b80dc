//! The folder of a store: what lies where, which format and engine, and whether it was closed properly.
//!
//! ```text
//! FORMAT       format version, engine, salt; the same line twice, so that one damaged line does no harm
//! FORMAT.copy  the same again: without the salt no row could be told from garbage
//! LOCK         the process that has it open
//! CLEAN        present only while the store is closed properly
//! DAMAGE       what was found damaged, until somebody acknowledges that it is written down
//! catalogue    which documents there must be
//! journal/     what was acknowledged since the last checkpoint
//! sled/        or redb/: the engine
//! snapshots/   large snapshots
//! damaged-…/   evidence set aside
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use crate::catalogue;
use crate::disk;
use crate::error::{OpenError, StoreError};
use crate::journal;
use crate::row::{Sealer, checksum};

/// 2: the journal tells a torn end from an altered group. 1 was never released.
const FORMAT_VERSION: &str = "2";

/// Knows where things lie.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
}

/// What the format file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) engine: String,
    pub(crate) sealer: Sealer,
}

impl Format {
    /// Makes up a salt for a new store.
    pub(crate) fn random(engine: &str) -> Result<Self, StoreError> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|error| StoreError::Io {
            what: "get random bytes for",
            path: PathBuf::from("FORMAT"),
            source: std::sync::Arc::new(std::io::Error::other(error.to_string())),
        })?;
        Ok(Self { engine: engine.to_owned(), sealer: Sealer(salt) })
    }

    fn text(&self) -> String {
        // An empty line between them, so that not even a damaged line end spoils both.
        let line = format_line(&self.engine, &hex(&self.sealer.0));
        format!("{line}\n{line}")
    }
}

impl Folder {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    pub(crate) fn engine(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where an engine is written anew; complete and durable before the old one is renamed away.
    pub(crate) fn engine_new(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.new"))
    }

    pub(crate) fn engine_old(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.old"))
    }

    fn format_path(&self) -> PathBuf {
        self.root.join("FORMAT")
    }

    fn format_copy_path(&self) -> PathBuf {
        self.root.join("FORMAT.copy")
    }

    fn clean_path(&self) -> PathBuf {
        self.root.join("CLEAN")
    }

    pub(crate) fn damage(&self) -> PathBuf {
        self.root.join("DAMAGE")
    }

    /// Reads the format; `None` when there is none.
    pub(crate) fn format(&self) -> Result<Option<Format>, OpenError> {
        let mut damaged = None;
        for path in [self.format_path(), self.format_copy_path()] {
            let Some(bytes) = disk::read_optional(&path)? else { continue };
            if let Some(format) = bytes.split(|byte| *byte == b'\n').find_map(parse_format) {
                return Ok(Some(format));
            }
            damaged = damaged.or(Some((path, bytes)));
        }
        let Some((path, bytes)) = damaged else { return Ok(None) };
        let found = String::from_utf8_lossy(&bytes).chars().take(100).filter(|c| !c.is_control()).collect();
        let wanted = format!("comity-store {FORMAT_VERSION}");
        Err(OpenError::Format { path, found, wanted })
    }

    /// Makes the folder a store.
    pub(crate) fn write_format(&self, format: &Format) -> Result<(), OpenError> {
        for path in [self.format_path(), self.format_copy_path()] {
            disk::write_whole(&path, format.text().as_bytes())?;
            disk::sync_folder(&self.root)?;
        }
        Ok(())
    }

    /// Writes the format file and its copy anew when one of them is not as it was written.
    pub(crate) fn mend_format(&self, format: &Format) -> Result<(), OpenError> {
        for path in [self.format_path(), self.format_copy_path()] {
            if disk::read_optional(&path)?.as_deref() != Some(format.text().as_bytes()) {
                return self.write_format(format);
            }
        }
        Ok(())
    }

    /// Tells whether a store may be created here: nothing is in the folder, or only what a creation that was cut short
    /// leaves.
    pub(crate) fn is_free(&self, engine: &str) -> Result<bool, StoreError> {
        for path in disk::list(&self.root)? {
            let bytes = match path.file_name().and_then(|name| name.to_str()) {
                Some("LOCK" | "FORMAT.tmp" | "catalogue.tmp") => 0,
                Some(name) if name == engine => 0,
                Some("catalogue") => {
                    path.metadata().map_or(0, |file| file.len().saturating_sub(catalogue::EMPTY_BYTES))
                }
                Some("snapshots") => disk::bytes_below(&path)?,
                Some("journal") => {
                    let segments = disk::files_below(&path)?;
                    let mut used = segments.iter().map(|path| journal::holds_nothing(path).map(|nothing| !nothing));
                    u64::from(used.try_fold(false, |any, used| used.map(|used| any || used))?)
                }
                _ => 1,
            };
            if bytes > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the mark of a proper close.
    pub(crate) fn clean_mark(&self, sealer: &Sealer) -> Result<Option<CleanMark>, StoreError> {
        let Some(bytes) = disk::read_optional(&self.clean_path())? else { return Ok(None) };
        Ok(CleanMark::parse(&bytes, sealer))
    }

    /// Removes the mark, durably: from here on the store is in use.
    pub(crate) fn remove_clean_mark(&self) -> Result<(), StoreError> {
        let path = self.clean_path();
        if path.exists() {
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            disk::sync_folder(&self.root)?;
        }
        Ok(())
    }

    pub(crate) fn write_clean_mark(&self, sealer: &Sealer, mark: &CleanMark) -> Result<(), StoreError> {
        disk::write_whole(&self.clean_path(), mark.line(sealer).as_bytes())?;
        disk::sync_folder(&self.root)
    }

    /// Ends a change of engine files that a crash interrupted.
    pub(crate) fn settle_engine(&self, name: &str) -> Result<(), StoreError> {
        let (engine, new, old) = (self.engine(name), self.engine_new(name), self.engine_old(name));
        if !engine.exists() && new.exists() {
            disk::rename_durably(&new, &engine)?;
        }
        for rest in [new, old] {
            if rest.exists() {
                fs::remove_dir_all(&rest).map_err(StoreError::io("remove", &rest))?;
            }
        }
        Ok(())
    }
}

/// Says what a properly closed store looks like, so that a change since then shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CleanMark {
    pub(crate) catalogue_bytes: u64,
    pub(crate) next: u64,
}

impl CleanMark {
    fn line(&self, sealer: &Sealer) -> String {
        let fields = format!("clean {} {}", self.catalogue_bytes, self.next);
        let sum = hex(&checksum(&[&sealer.0, fields.as_bytes()]));
        format!("{fields} {sum}\n")
    }

    fn parse(bytes: &[u8], sealer: &Sealer) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split_ascii_whitespace();
        let (_, bytes, next) = (words.next()?, words.next()?, words.next()?);
        let mark = Self { catalogue_bytes: bytes.parse().ok()?, next: next.parse().ok()? };
        (mark.line(sealer) == text).then_some(mark)
    }
}

fn format_line(engine: &str, salt: &str) -> String {
    let fields = format!("comity-store {FORMAT_VERSION} {engine} {salt}");
    let sum = hex(&checksum(&[fields.as_bytes()]));
    format!("{fields} {sum}\n")
}

fn parse_format(line: &[u8]) -> Option<Format> {
    let text = std::str::from_utf8(line).ok()?;
    let words: Vec<&str> = text.split(' ').collect();
    let [_, _, engine, salt, _] = words[..] else { return None };
    if format_line(engine, salt).trim_end() != text || salt.len() != 32 {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, digits) in bytes.iter_mut().zip(salt.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(Format { engine: engine.to_owned(), sealer: Sealer(bytes) })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_in_the_format_file_or_a_cut_does_no_harm() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path());
        let format = Format::random("sled").unwrap();
        folder.write_format(&format).unwrap();
        let whole = fs::read(folder.format_path()).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(folder.format_path(), flipped).unwrap();
            assert_eq!(folder.format().unwrap().as_ref(), Some(&format), "bit {bit}");
        }
        for cut in 0..whole.len() {
            fs::write(folder.format_path(), &whole[..cut]).unwrap();
            assert_eq!(folder.format().unwrap().as_ref(), Some(&format), "cut at {cut}");
        }
        folder.mend_format(&format).unwrap();
        assert_eq!(fs::read(folder.format_path()).unwrap(), whole);
        fs::write(folder.format_path(), "comity-store 2 sled").unwrap();
        fs::remove_file(folder.format_copy_path()).unwrap();
        assert!(matches!(folder.format(), Err(OpenError::Format { .. })));
    }

    #[test]
    fn a_clean_mark_reads_back_and_any_other_byte_makes_it_void() {
        let sealer = Sealer([1; 16]);
        let mark = CleanMark { catalogue_bytes: 80, next: 7 };
        let line = mark.line(&sealer).into_bytes();
        assert_eq!(CleanMark::parse(&line, &sealer), Some(mark));
        for i in 0..line.len() {
            let mut other = line.clone();
            other[i] ^= 1;
            assert_eq!(CleanMark::parse(&other, &sealer), None);
        }
    }
}
