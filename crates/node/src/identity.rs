//! Who this node is: its key file, and the session part of its actor id.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;
use comity_access::DeviceKey;
use comity_model::{ActorId, DeviceTag, PeerId, StorageId};
use comity_store::{Op, RESTORED_META_KEY, Store};

use crate::OpenError;

/// The row of the store that holds the session.
pub(crate) const SESSION_ROW: &str = "session";

/// A node's names.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub key: DeviceKey,
    pub actor: ActorId,
    pub peer: PeerId,
    pub storage: StorageId,
    /// Random for each run: names the run in ephemeral messages and in the peer id.
    pub run: String,
}

/// Reads the device key, or makes one on first start.
pub(crate) fn device_key(file: &Path) -> Result<DeviceKey, OpenError> {
    match fs::read(file) {
        Ok(bytes) => Ok(DeviceKey::from_file_bytes(&bytes)
            .map_err(|reason| OpenError::Key { file: file.to_owned(), reason: reason.to_string() })?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(file),
        Err(error) => Err(OpenError::io("read the device key", file, error)),
    }
}

fn make_key(file: &Path) -> Result<DeviceKey, OpenError> {
    let key = DeviceKey::from_random(random()?);
    let temporary = file.with_extension("new");
    let write = || -> io::Result<()> {
        // A leftover of a start that was cut short holds no key that was ever used.
        if temporary.exists() {
            fs::remove_file(&temporary)?;
        }
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        out.write_all(&key.danger_secret_bytes())?;
        out.sync_all()?;
        fs::rename(&temporary, file)?;
        fs::File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| OpenError::io("write the device key", file, error))?;
    Ok(key)
}

/// Gives random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], OpenError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| OpenError::Random { reason: error.to_string() })?;
    Ok(bytes)
}

/// What is known of the session that wrote last.
struct Session {
    id: [u8; 8],
    /// Device and inode of the data folder: a copied folder must not go on as the same actor.
    folder: [u8; 16],
    /// The last run ended with everything on disk.
    clean: bool,
}

impl Session {
    fn encode(&self) -> Bytes {
        let mut bytes = vec![1, u8::from(self.clean)];
        bytes.extend(self.id);
        bytes.extend(self.folder);
        Bytes::from(bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(2)?;
        let (id, folder) = rest.split_at_checked(8)?;
        if header[0] != 1 {
            return None;
        }
        Some(Self { id: id.try_into().ok()?, folder: folder.try_into().ok()?, clean: header[1] == 1 })
    }
}

/// Opens the session: the last one goes on after a clean stop in the same folder; after a crash, a copy or a restored
/// backup, and when the store has lost something, a new one begins. Two runs that write different changes under one actor and sequence number would corrupt
/// the document for everybody.
pub(crate) fn open(key: DeviceKey, folder: &Path, store: &dyn Store, is_damaged: bool) -> Result<Identity, OpenError> {
    let here = folder_identity(folder)?;
    let row = store.meta(SESSION_ROW).map_err(OpenError::Store)?;
    let is_restored = store.meta(RESTORED_META_KEY).map_err(OpenError::Store)?.is_some();
    let last = row.and_then(|bytes| Session::decode(&bytes));
    let id = match last {
        Some(session) if session.clean && session.folder == here && !is_restored && !is_damaged => session.id,
        _ => random()?,
    };
    write_session(store, &Session { id, folder: here, clean: false })?;
    if is_restored {
        let done = Op::RemoveMeta { key: RESTORED_META_KEY.to_owned() };
        store.commit(&[done]).map_err(OpenError::Store)?;
    }
    let device = key.id().tag();
    let run = hex(&random::<8>()?);
    let peer = format!("comity-{device}-{run}");
    Ok(Identity {
        actor: ActorId::for_session(device, id),
        peer: PeerId::new(&peer).expect("letters and digits, well under the bound"),
        storage: storage_id(device),
        key,
        run,
    })
}

/// Notes that everything the session wrote is on disk.
pub(crate) fn close(identity: &Identity, folder: &Path, store: &dyn Store) -> Result<(), OpenError> {
    let session = &identity.actor.as_bytes()[16..];
    let id = session.try_into().expect("our own actor id: 16 bytes of device, 8 of session");
    write_session(store, &Session { id, folder: folder_identity(folder)?, clean: true })
}

fn write_session(store: &dyn Store, session: &Session) -> Result<(), OpenError> {
    let row = Op::PutMeta { key: SESSION_ROW.to_owned(), value: session.encode() };
    store.commit(&[row]).map_err(OpenError::Store)
}

fn folder_identity(folder: &Path) -> Result<[u8; 16], OpenError> {
    let metadata = fs::metadata(folder).map_err(|error| OpenError::io("look at", folder, error))?;
    let mut identity = [0; 16];
    identity[..8].copy_from_slice(&metadata.dev().to_be_bytes());
    identity[8..].copy_from_slice(&metadata.ino().to_be_bytes());
    Ok(identity)
}

/// Gives the storage id in the form of a UUID, as automerge-repo has it. Version 8: made by our own rule.
fn storage_id(device: DeviceTag) -> StorageId {
    let mut bytes = device.0;
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex(&bytes);
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    StorageId::new(&parts.join("-")).expect("36 hexadecimal digits and dashes")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use comity_store::MemoryStore;

    use super::*;

    fn key() -> DeviceKey {
        DeviceKey::from_random([5; 32])
    }

    #[test]
    fn a_clean_stop_goes_on_as_the_same_actor_and_a_crash_or_a_copy_does_not() {
        let store = MemoryStore::new();
        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = open(key(), folder.path(), &store, false).unwrap();
        close(&first, folder.path(), &store).unwrap();
        let second = open(key(), folder.path(), &store, false).unwrap();
        assert_eq!(first.actor, second.actor, "after a clean stop");
        assert_ne!(first.peer, second.peer, "but it is another run");
        let third = open(key(), folder.path(), &store, false).unwrap();
        assert_ne!(second.actor, third.actor, "after a crash");
        assert_eq!(second.actor.device(), third.actor.device());
        close(&third, folder.path(), &store).unwrap();
        let marked = Op::PutMeta { key: RESTORED_META_KEY.to_owned(), value: Bytes::new() };
        store.commit(&[marked]).unwrap();
        let restored = open(key(), folder.path(), &store, false).unwrap();
        assert_ne!(third.actor, restored.actor, "after a backup was restored");
        close(&restored, folder.path(), &store).unwrap();
        let next = open(key(), folder.path(), &store, false).unwrap();
        assert_eq!(restored.actor, next.actor, "the mark of a restored backup counts once");
        close(&next, folder.path(), &store).unwrap();
        let damaged = open(key(), folder.path(), &store, true).unwrap();
        assert_ne!(next.actor, damaged.actor, "after the store lost something");
        close(&damaged, folder.path(), &store).unwrap();
        let copied = open(key(), copy.path(), &store, false).unwrap();
        assert_ne!(damaged.actor, copied.actor, "in a copied folder");
    }

    #[test]
    fn the_key_is_made_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("device.key");
        let made = device_key(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(device_key(&file).unwrap().id(), made.id());
        fs::write(&file, b"short").unwrap();
        let error = device_key(&file).unwrap_err().to_string();
        assert!(error.contains("device.key") && error.contains("32 bytes"), "{error}");
    }
}
