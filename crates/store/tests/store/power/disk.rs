//! A model of a disk that forgets: what is certain, what may be there, and every way in which a power loss may leave it.
//!
//! Certain is the content of a file at its last `fsync` or `fdatasync`, and the names in a folder at the folder's last
//! `fsync`. Whatever came later is there, or not, or in part: writes by pages or sectors in any combination, lengths
//! and names each for itself. `sync_file_range` makes nothing certain.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::recorder::Record;
use crate::common::Random;

/// A file (its bytes) or a folder, by path.
pub type Image = BTreeMap<String, Option<Vec<u8>>>;

/// How much of what is not certain a power loss leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    Everything,
    /// Everything, but the last write only up to some sector.
    UpToInsideTheLast,
    /// Each page, length and name by chance.
    Torn,
}

/// Says which flushes a disk swallows, by path: for the planted faults.
pub type Lies = fn(&str) -> bool;

/// The disk, as records are played on it.
#[derive(Clone)]
pub struct Disk {
    nodes: Vec<Node>,
    /// Node by inode number, while the number is not given to another file.
    numbers: HashMap<u64, usize>,
    next_change: u64,
    lies: Lies,
}

#[derive(Clone)]
enum Node {
    File(File),
    Folder(Folder),
}

#[derive(Clone, Default)]
struct File {
    path: String,
    certain: Vec<u8>,
    now: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, data: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Default)]
struct Folder {
    path: String,
    certain: BTreeMap<String, usize>,
    now: BTreeMap<String, usize>,
    pending: Vec<Naming>,
}

/// A change of names. A rename between folders stands in both under one number: it happens whole or not at all.
#[derive(Clone)]
struct Naming {
    number: u64,
    removed: Option<String>,
    added: Option<(String, usize)>,
}

type NameChange = (usize, Option<String>, Option<(String, usize)>);

impl Folder {
    fn apply(names: &mut BTreeMap<String, usize>, naming: &Naming) {
        if let Some(name) = &naming.removed {
            names.remove(name);
        }
        if let Some((name, node)) = &naming.added {
            names.insert(name.clone(), *node);
        }
    }
}

impl File {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Length(len) => bytes.resize(*len, 0),
            Change::Write { at, data } => {
                let end = at + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(data);
            }
        }
    }

    fn after_power_loss(&self, keep: Keep, last: Option<usize>, random: &mut Random) -> Vec<u8> {
        if keep == Keep::Nothing || self.pending.is_empty() {
            return self.certain.clone();
        }
        let mut bytes = self.certain.clone();
        let page = if random.below(2) == 0 { 4_096 } else { 512 };
        let keep_percent = [5, 50, 95][usize::try_from(random.below(3)).unwrap()];
        for (index, change) in self.pending.iter().enumerate() {
            match (keep, change) {
                (Keep::UpToInsideTheLast, Change::Write { at, data }) if last == Some(index) => {
                    // A sector is written whole or not at all.
                    let end = (*at as u64 + random.below(data.len() as u64 + 1)) / 512 * 512;
                    let len = usize::try_from(end).unwrap().saturating_sub(*at);
                    File::apply(&mut bytes, &Change::Write { at: *at, data: data[..len].to_vec() });
                }
                (Keep::Torn, Change::Length(_)) if random.below(2) == 0 => {}
                (Keep::Torn, Change::Write { at, data }) => {
                    let mut start = *at;
                    while start < at + data.len() {
                        let end = (start / page + 1) * page;
                        let part = &data[start - at..end.min(at + data.len()) - at];
                        if random.below(100) < keep_percent {
                            File::apply(&mut bytes, &Change::Write { at: start, data: part.to_vec() });
                        }
                        start = end;
                    }
                    // The length may be on disk without the bytes.
                    if bytes.len() < at + data.len() && random.below(2) == 0 {
                        bytes.resize(at + data.len(), 0);
                    }
                }
                _ => File::apply(&mut bytes, change),
            }
        }
        bytes
    }
}

impl Disk {
    /// Takes a folder as it is: all of it certain.
    pub fn of(root: &Path, lies: Lies) -> Self {
        let mut disk = Self { nodes: Vec::new(), numbers: HashMap::new(), next_change: 0, lies };
        disk.take(root, String::new());
        disk
    }

    /// Swallows flushes from here on.
    pub fn lying(self, lies: Lies) -> Self {
        Self { lies, ..self }
    }

    fn take(&mut self, path: &Path, inside: String) -> usize {
        let metadata = std::fs::symlink_metadata(path).unwrap();
        let node = self.nodes.len();
        self.numbers.insert(metadata.ino(), node);
        if metadata.is_file() {
            let bytes = std::fs::read(path).unwrap();
            let (now, pending) = (bytes.clone(), Vec::new());
            self.nodes.push(Node::File(File { path: inside, certain: bytes, now, pending }));
            return node;
        }
        self.nodes.push(Node::Folder(Folder { path: inside.clone(), ..Folder::default() }));
        let mut names = BTreeMap::new();
        for entry in std::fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let child = self.take(&entry.path(), join(&inside, &name));
            names.insert(name, child);
        }
        self.nodes[node] =
            Node::Folder(Folder { path: inside, certain: names.clone(), now: names, pending: Vec::new() });
        node
    }

    /// Plays the next record.
    pub fn play(&mut self, record: &Record) {
        match record {
            Record::Create { inode, path } => {
                let file = Node::File(File { path: path.clone(), ..File::default() });
                self.add(*inode, path, file);
            }
            Record::MakeFolder { inode, path } => {
                let folder = Node::Folder(Folder { path: path.clone(), ..Folder::default() });
                self.add(*inode, path, folder);
            }
            Record::Write { inode, at, data } => {
                self.change(*inode, Change::Write { at: usize::try_from(*at).unwrap(), data: data.clone() });
            }
            Record::Truncate { inode, len } => self.change(*inode, Change::Length(usize::try_from(*len).unwrap())),
            Record::Flush { inode } => self.flush(self.numbers[inode]),
            Record::Rename { from, to } => self.rename(from, to),
            Record::Remove { path } => {
                let (folder, name) = self.place(path);
                self.rename_names([(folder, Some(name), None)]);
            }
            Record::Said { .. } => {}
        }
    }

    fn change(&mut self, inode: u64, change: Change) {
        let Node::File(file) = &mut self.nodes[self.numbers[&inode]] else { panic!("a write into a folder") };
        File::apply(&mut file.now, &change);
        file.pending.push(change);
    }

    fn add(&mut self, inode: u64, path: &str, node: Node) {
        let (folder, name) = self.place(path);
        self.nodes.push(node);
        self.numbers.insert(inode, self.nodes.len() - 1);
        let node = self.nodes.len() - 1;
        self.rename_names([(folder, None, Some((name, node)))]);
    }

    fn rename(&mut self, from: &str, to: &str) {
        let ((from_folder, from_name), (to_folder, to_name)) = (self.place(from), self.place(to));
        let node = self.folder(from_folder).now[&from_name];
        match &mut self.nodes[node] {
            Node::File(file) => to.clone_into(&mut file.path),
            Node::Folder(folder) => to.clone_into(&mut folder.path),
        }
        if from_folder == to_folder {
            self.rename_names([(from_folder, Some(from_name), Some((to_name, node)))]);
        } else {
            self.rename_names([(from_folder, Some(from_name), None), (to_folder, None, Some((to_name, node)))]);
        }
    }

    /// Changes names in folders (the folder, the name that goes, the name that comes), all or none.
    fn rename_names<const N: usize>(&mut self, changes: [NameChange; N]) {
        let number = self.next_change;
        self.next_change += 1;
        for (folder, removed, added) in changes {
            let naming = Naming { number, removed, added };
            let folder = self.folder_mut(folder);
            Folder::apply(&mut folder.now, &naming);
            folder.pending.push(naming);
        }
    }

    fn flush(&mut self, node: usize) {
        let lies = self.lies;
        match &mut self.nodes[node] {
            Node::File(file) if lies(&file.path) => {}
            Node::Folder(folder) if lies(&format!("{}/", folder.path)) => {}
            Node::File(file) => {
                file.certain.clone_from(&file.now);
                file.pending.clear();
            }
            Node::Folder(folder) => {
                let last = folder.pending.last().map(|naming| naming.number);
                self.settle(node, last);
            }
        }
    }

    /// Makes the names of a folder certain up to a change, and with them the other half of renames between folders.
    fn settle(&mut self, node: usize, last: Option<u64>) {
        let Some(last) = last else { return };
        let folder = self.folder_mut(node);
        let settled: Vec<Naming> = folder.pending.iter().filter(|naming| naming.number <= last).cloned().collect();
        folder.pending.retain(|naming| naming.number > last);
        settled.iter().for_each(|naming| Folder::apply(&mut folder.certain, naming));
        for naming in settled {
            let half = |node: &Node| {
                matches!(node, Node::Folder(folder)
                if folder.pending.iter().any(|other| other.number == naming.number))
            };
            if let Some(other) = self.nodes.iter().position(half) {
                self.settle(other, Some(naming.number));
            }
        }
    }

    fn place(&self, path: &str) -> (usize, String) {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut node = 0;
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            node = self.folder(node).now[part];
        }
        (node, name.to_owned())
    }

    fn folder(&self, node: usize) -> &Folder {
        match &self.nodes[node] {
            Node::Folder(folder) => folder,
            Node::File(file) => panic!("{} is a file", file.path),
        }
    }

    fn folder_mut(&mut self, node: usize) -> &mut Folder {
        match &mut self.nodes[node] {
            Node::Folder(folder) => folder,
            Node::File(file) => panic!("{} is a file", file.path),
        }
    }

    /// Gives what is there now, without any power loss.
    pub fn now(&self) -> Image {
        let mut image = Image::new();
        self.walk(0, "", &mut image, &|folder| folder.now.clone(), &mut |file| file.now.clone());
        image
    }

    /// Gives what a power loss at this moment may leave. `last` is the inode of the last write, for
    /// [`Keep::UpToInsideTheLast`].
    pub fn after_power_loss(&self, keep: Keep, last: Option<u64>, random: &mut Random) -> Image {
        let last = last.map(|inode| self.numbers[&inode]);
        // Half of the time as a journalling file system would: all changes of names up to some moment.
        let (salt, moment) = (random.next(), random.below(self.next_change + 1));
        let by_moment = random.below(2) == 0;
        let kept = |naming: &Naming| match keep {
            Keep::Nothing => false,
            Keep::Everything | Keep::UpToInsideTheLast => true,
            Keep::Torn if by_moment => naming.number < moment,
            Keep::Torn => Random(salt ^ naming.number).below(2) == 0,
        };
        let names = |folder: &Folder| {
            let mut names = folder.certain.clone();
            folder.pending.iter().filter(|naming| kept(naming)).for_each(|naming| Folder::apply(&mut names, naming));
            names
        };
        let mut image = Image::new();
        let last_file = last.map(|node| &self.nodes[node]);
        let mut bytes = |file: &File| {
            let is_last = matches!(last_file, Some(Node::File(last)) if std::ptr::eq(last, file));
            let index = is_last.then(|| file.pending.len().saturating_sub(1));
            file.after_power_loss(keep, index, random)
        };
        self.walk(0, "", &mut image, &names, &mut bytes);
        image
    }

    fn walk(
        &self,
        node: usize,
        path: &str,
        image: &mut Image,
        names: &dyn Fn(&Folder) -> BTreeMap<String, usize>,
        bytes: &mut dyn FnMut(&File) -> Vec<u8>,
    ) {
        match &self.nodes[node] {
            Node::File(file) => drop(image.insert(path.to_owned(), Some(bytes(file)))),
            Node::Folder(folder) => {
                if !path.is_empty() {
                    image.insert(path.to_owned(), None);
                }
                for (name, child) in names(folder) {
                    self.walk(child, &join(path, &name), image, names, bytes);
                }
            }
        }
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Reads what really is below a folder.
pub fn read(root: &Path) -> Image {
    Disk::of(root, |_| false).now()
}

/// Writes an image into an empty folder.
pub fn write(image: &Image, root: &Path) {
    for (path, bytes) in image {
        match bytes {
            None => std::fs::create_dir(root.join(path)).unwrap(),
            Some(bytes) => std::fs::write(root.join(path), bytes).unwrap(),
        }
    }
}
