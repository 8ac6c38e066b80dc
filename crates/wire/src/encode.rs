//! From a message to the bytes of a frame.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use comity_model::{DocumentId, PeerId, StorageId};
use minicbor::encode::{Encoder, Error, Write};

use crate::error::cut;
use crate::message::{Abilities, Message, PeerMetadata, RemoteHeads};

impl Message {
    /// Writes the content of one binary WebSocket message, into one buffer of exactly its length: the data is copied
    /// once.
    pub fn encode(&self) -> Bytes {
        let ids = Ids::of(self);
        let mut length = Encoder::new(Length(0));
        write_message(&mut length, self, &ids).expect("counting bytes cannot fail");
        let mut frame = Encoder::new(Vec::with_capacity(length.writer().0));
        write_message(&mut frame, self, &ids).expect("writing to memory cannot fail");
        frame.into_writer().into()
    }

    /// Writes the message as [`encode`](Self::encode) does, in two parts. The data of a sync message is the second, and
    /// shared, not copied: one long payload may be on its way to many peers. Of other messages the second is empty.
    pub fn encode_apart(&self) -> (Bytes, Bytes) {
        let (Self::Sync { data, .. } | Self::Request { data, .. }) = self else { return (self.encode(), Bytes::new()) };
        let ids = Ids::of(self);
        let mut length = Encoder::new(Length(0));
        write_message(&mut length, self, &ids).expect("counting bytes cannot fail");
        // The data stand last.
        let left = length.writer().0 - data.len();
        let mut head = Encoder::new(Head { bytes: Vec::with_capacity(left), left });
        write_message(&mut head, self, &ids).expect("writing to memory cannot fail");
        (head.into_writer().bytes.into(), data.clone())
    }
}

/// Keeps the first bytes of what is written.
struct Head {
    bytes: Vec<u8>,
    left: usize,
}

impl Write for Head {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        let kept = bytes.len().min(self.left);
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.left -= kept;
        Ok(())
    }
}

/// Ids in the form in which they travel. Base58check costs two hashes, so it is made once for both passes.
struct Ids {
    document: String,
    /// The heads in the order of the message's rows, one after the other.
    heads: Vec<String>,
}

impl Ids {
    fn of(message: &Message) -> Self {
        let heads = match message {
            Message::RemoteHeadsChanged { new_heads, .. } => new_heads
                .values()
                .flat_map(|row| row.heads.as_slice())
                .map(|hash| bs58::encode(hash.0).with_check().into_string())
                .collect(),
            _ => Vec::new(),
        };
        Self { document: message.document().as_ref().map(DocumentId::to_string).unwrap_or_default(), heads }
    }
}

/// Only counts what is written.
struct Length(usize);

impl Write for Length {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0 += bytes.len();
        Ok(())
    }
}

type Written<W> = Result<(), Error<<W as Write>::Error>>;

fn write_message<W: Write>(out: &mut Encoder<W>, message: &Message, ids: &Ids) -> Written<W> {
    let name = message.type_name();
    match message {
        Message::Join { sender, versions, metadata } => {
            out.map(4)?.str("type")?.str(name)?.str("senderId")?.str(sender.as_str())?;
            write_texts(out, "supportedProtocolVersions", versions.iter().map(String::as_str))?;
            write_metadata(out, metadata)
        }
        Message::Peer { sender, target, selected_version, metadata } => {
            write_head(out, 5, name, sender, target)?;
            out.str("selectedProtocolVersion")?.str(selected_version)?;
            write_metadata(out, metadata)
        }
        Message::Error { message, sender, target } => {
            let named = [("senderId", sender), ("targetId", target)];
            let named = named.iter().filter_map(|(key, id)| Some((key, id.as_ref()?)));
            out.map(2 + named.clone().count() as u64)?.str("type")?.str(name)?;
            for (key, id) in named {
                out.str(key)?.str(id.as_str())?;
            }
            out.str("message")?.str(cut(message, Message::ERROR_BYTES_MAX))?.ok()
        }
        Message::Request { sender, target, data, .. } | Message::Sync { sender, target, data, .. } => {
            write_head(out, 5, name, sender, target)?;
            out.str("documentId")?.str(&ids.document)?.str("data")?.bytes(data)?.ok()
        }
        Message::DocUnavailable { sender, target, .. } => {
            write_head(out, 4, name, sender, target)?;
            out.str("documentId")?.str(&ids.document)?.ok()
        }
        Message::Ephemeral { sender, target, session, count, data, .. } => {
            write_head(out, 7, name, sender, target)?;
            out.str("documentId")?.str(&ids.document)?.str("sessionId")?.str(session)?.str("count")?;
            write_count(out, *count)?;
            out.str("data")?.bytes(data)?.ok()
        }
        Message::RemoteSubscriptionChange { sender, target, add, remove } => {
            write_head(out, 5, name, sender, target)?;
            write_texts(out, "add", add.iter().map(StorageId::as_str))?;
            write_texts(out, "remove", remove.iter().map(StorageId::as_str))
        }
        Message::RemoteHeadsChanged { sender, target, new_heads, .. } => {
            write_head(out, 5, name, sender, target)?;
            out.str("documentId")?.str(&ids.document)?;
            write_new_heads(out, new_heads, &ids.heads)
        }
        Message::Leave { sender } => out.map(2)?.str("type")?.str(name)?.str("senderId")?.str(sender.as_str())?.ok(),
    }
}

fn write_head<W: Write>(out: &mut Encoder<W>, keys: u64, name: &str, sender: &PeerId, target: &PeerId) -> Written<W> {
    out.map(keys)?.str("type")?.str(name)?;
    out.str("senderId")?.str(sender.as_str())?.str("targetId")?.str(target.as_str())?.ok()
}

fn write_texts<'a, W: Write>(
    out: &mut Encoder<W>,
    key: &str,
    texts: impl ExactSizeIterator<Item = &'a str>,
) -> Written<W> {
    out.str(key)?.array(texts.len() as u64)?;
    for text in texts {
        out.str(text)?;
    }
    Ok(())
}

/// Writes an integer only within u32: JavaScript reads a 64-bit integer as a `BigInt`, and itself writes a float.
fn write_count<W: Write>(out: &mut Encoder<W>, count: u64) -> Written<W> {
    match u32::try_from(count) {
        Ok(small) => out.u32(small)?.ok(),
        Err(_) => out.f64(count.min(Message::COUNT_MAX) as f64)?.ok(),
    }
}

fn write_metadata<W: Write>(out: &mut Encoder<W>, metadata: &PeerMetadata) -> Written<W> {
    let keys = 1 + u64::from(metadata.storage_id.is_some()) + u64::from(metadata.comity.is_some());
    out.str("peerMetadata")?.map(keys)?;
    if let Some(id) = &metadata.storage_id {
        out.str("storageId")?.str(id.as_str())?;
    }
    out.str("isEphemeral")?.bool(metadata.is_ephemeral)?;
    if let Some(Abilities { version, durable_acks }) = metadata.comity {
        out.str("comity")?.map(2)?.str("version")?.u32(version)?.str("durableAcks")?.bool(durable_acks)?;
    }
    Ok(())
}

fn write_new_heads<W: Write>(
    out: &mut Encoder<W>,
    new_heads: &BTreeMap<StorageId, RemoteHeads>,
    texts: &[String],
) -> Written<W> {
    let mut texts = texts.iter().map(String::as_str);
    out.str("newHeads")?.map(new_heads.len() as u64)?;
    for (id, row) in new_heads {
        out.str(id.as_str())?.map(2)?;
        write_texts(out, "heads", texts.by_ref().take(row.heads.as_slice().len()))?;
        out.str("timestamp")?.f64(row.timestamp_ms)?;
    }
    Ok(())
}
