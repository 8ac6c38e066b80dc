//! From the bytes of a frame to a message.

use std::collections::BTreeMap;

use bytes::Bytes;
use comity_model::{ChangeHash, DocumentId, Heads, InvalidId, Limits, PeerId, StorageId};

use crate::error::{DecodeError, cut, excerpt};
use crate::message::{Abilities, Message, PROTOCOL_VERSION, PeerMetadata, RemoteHeads};
use crate::reader::Reader;

impl Message {
    /// Reads the content of one binary WebSocket message. The data inside is a slice of `frame`, not a copy.
    ///
    /// # Errors
    /// When the frame is not one message within the limits. [`DecodeError::UnknownType`] is for ignoring; all others
    /// are for closing the link.
    pub fn decode(frame: &Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        if frame.len() > limits.message_bytes_max {
            return Err(DecodeError::TooLong { what: "message", max: limits.message_bytes_max, actual: frame.len() });
        }
        let mut reader = Reader::new(frame, limits);
        let envelope = Envelope::read(&mut reader, frame, limits)?;
        reader.end()?;
        envelope.message()
    }
}

/// The places of all values that any type of message needs, by key.
struct Envelope<'b> {
    frame: &'b Bytes,
    limits: &'b Limits,
    message_type: Option<Reader<'b>>,
    sender: Option<Reader<'b>>,
    target: Option<Reader<'b>>,
    document: Option<Reader<'b>>,
    data: Option<Reader<'b>>,
    versions: Option<Reader<'b>>,
    selected_version: Option<Reader<'b>>,
    metadata: Option<Reader<'b>>,
    session: Option<Reader<'b>>,
    count: Option<Reader<'b>>,
    new_heads: Option<Reader<'b>>,
    add: Option<Reader<'b>>,
    remove: Option<Reader<'b>>,
    message: Option<Reader<'b>>,
}

impl<'b> Envelope<'b> {
    fn read(reader: &mut Reader<'b>, frame: &'b Bytes, limits: &'b Limits) -> Result<Self, DecodeError> {
        let [
            message_type,
            sender,
            target,
            document,
            data,
            versions,
            selected_version,
            peer_metadata,
            metadata,
            session,
            count,
            new_heads,
            add,
            remove,
            message,
        ] = reader.fields(
            "message",
            &[
                "type",
                "senderId",
                "targetId",
                "documentId",
                "data",
                "supportedProtocolVersions",
                "selectedProtocolVersion",
                "peerMetadata",
                "metadata",
                "sessionId",
                "count",
                "newHeads",
                "add",
                "remove",
                "message",
            ],
        )?;
        Ok(Self {
            frame,
            limits,
            message_type,
            sender,
            target,
            document,
            data,
            versions,
            selected_version,
            metadata: peer_metadata.or(metadata),
            session,
            count,
            new_heads,
            add,
            remove,
            message,
        })
    }

    fn message(self) -> Result<Message, DecodeError> {
        let name = required(&self.message_type, "type")?.text("type")?;
        let data = match name {
            "request" | "sync" | "ephemeral" => self.data()?,
            "join"
            | "peer"
            | "error"
            | "doc-unavailable"
            | "remote-subscription-change"
            | "remote-heads-changed"
            | "leave" => Bytes::new(),
            _ => return Err(DecodeError::UnknownType { name: excerpt(name) }),
        };
        self.check_length(name, &data)?;
        match name {
            "join" => self.join(),
            "peer" => self.peer(),
            "error" => self.error(),
            "leave" => Ok(Message::Leave { sender: self.sender()? }),
            "remote-subscription-change" => self.remote_subscription_change(),
            "remote-heads-changed" => self.remote_heads_changed(),
            _ => self.about_document(name, data),
        }
    }

    /// Bounds the envelope, which is everything but the data, and the data of what nobody stores.
    fn check_length(&self, name: &str, data: &Bytes) -> Result<(), DecodeError> {
        let too_long =
            |what, max, actual| if actual > max { Err(DecodeError::TooLong { what, max, actual }) } else { Ok(()) };
        too_long("envelope", self.limits.envelope_bytes_max, self.frame.len() - data.len())?;
        if name == "ephemeral" {
            too_long("data of an ephemeral message", self.limits.ephemeral_bytes_max, data.len())?;
        }
        Ok(())
    }

    fn join(&self) -> Result<Message, DecodeError> {
        const WHAT: &str = "supportedProtocolVersions";
        let versions = match &self.versions {
            Some(list) => list.clone().list(WHAT, Message::VERSIONS_MAX, |version| {
                version.short_text(WHAT, Message::VERSION_BYTES_MAX).map(str::to_owned)
            })?,
            None => vec![PROTOCOL_VERSION.to_owned()],
        };
        Ok(Message::Join { sender: self.sender()?, versions, metadata: self.metadata()? })
    }

    fn peer(&self) -> Result<Message, DecodeError> {
        let selected_version = match self.selected_version.clone() {
            Some(mut text) => text.short_text("selectedProtocolVersion", Message::VERSION_BYTES_MAX)?,
            None => PROTOCOL_VERSION,
        };
        Ok(Message::Peer {
            sender: self.sender()?,
            target: self.target()?,
            selected_version: selected_version.to_owned(),
            metadata: self.metadata()?,
        })
    }

    fn error(&self) -> Result<Message, DecodeError> {
        let message = required(&self.message, "message")?.text("message")?;
        Ok(Message::Error {
            message: cut(message, Message::ERROR_BYTES_MAX).to_owned(),
            sender: self.sender.is_some().then(|| self.sender()).transpose()?,
            target: self.target.is_some().then(|| self.target()).transpose()?,
        })
    }

    fn about_document(&self, name: &str, data: Bytes) -> Result<Message, DecodeError> {
        let (sender, target, document) = (self.sender()?, self.target()?, self.document()?);
        Ok(match name {
            "request" => Message::Request { sender, target, document, data },
            "sync" => Message::Sync { sender, target, document, data },
            "ephemeral" => {
                let session = required(&self.session, "sessionId")?;
                let session = { session }.short_text("sessionId", Message::SESSION_BYTES_MAX)?.to_owned();
                let count = required(&self.count, "count")?.integer("count")?;
                Message::Ephemeral { sender, target, document, session, count, data }
            }
            _ => Message::DocUnavailable { sender, target, document },
        })
    }

    fn remote_subscription_change(&self) -> Result<Message, DecodeError> {
        let storage_ids = |list: &Option<Reader<'b>>, what| match list.clone() {
            Some(mut list) => list.list(what, self.limits.storage_ids_max, |id| storage_id(what, id.text(what)?)),
            None => Ok(Vec::new()),
        };
        Ok(Message::RemoteSubscriptionChange {
            sender: self.sender()?,
            target: self.target()?,
            add: storage_ids(&self.add, "add")?,
            remove: storage_ids(&self.remove, "remove")?,
        })
    }

    fn remote_heads_changed(&self) -> Result<Message, DecodeError> {
        const WHAT: &str = "newHeads";
        let mut new_heads = BTreeMap::new();
        required(&self.new_heads, WHAT)?.each_key(WHAT, self.limits.storage_ids_max, |value, key| {
            let heads = remote_heads(value, self.limits)?;
            match new_heads.insert(storage_id(WHAT, key)?, heads) {
                Some(_) => Err(DecodeError::Duplicate { what: WHAT, key: excerpt(key) }),
                None => Ok(()),
            }
        })?;
        Ok(Message::RemoteHeadsChanged {
            sender: self.sender()?,
            target: self.target()?,
            document: self.document()?,
            new_heads,
        })
    }

    fn sender(&self) -> Result<PeerId, DecodeError> {
        peer_id(&self.sender, "senderId")
    }

    fn target(&self) -> Result<PeerId, DecodeError> {
        peer_id(&self.target, "targetId")
    }

    /// Reads base58check text, which everybody sends, or the 16 bytes that the protocol document asks for.
    fn document(&self) -> Result<DocumentId, DecodeError> {
        const WHAT: &str = "documentId";
        let mut value = required(&self.document, WHAT)?;
        if value.is_text(WHAT)? { value.text(WHAT)?.parse() } else { DocumentId::try_from(value.bytes(WHAT)?) }
            .map_err(invalid_id(WHAT))
    }

    fn data(&self) -> Result<Bytes, DecodeError> {
        Ok(self.frame.slice_ref(required(&self.data, "data")?.bytes("data")?))
    }

    fn metadata(&self) -> Result<PeerMetadata, DecodeError> {
        let Some(mut value) = self.metadata.clone() else {
            return Ok(PeerMetadata::default());
        };
        let [id, is_ephemeral, comity] = value.fields("peerMetadata", &["storageId", "isEphemeral", "comity"])?;
        Ok(PeerMetadata {
            storage_id: id.map(|mut id| storage_id("storageId", id.text("storageId")?)).transpose()?,
            is_ephemeral: is_ephemeral.map(|mut flag| flag.bool("isEphemeral")).transpose()?.unwrap_or(false),
            comity: comity.map(abilities).transpose()?,
        })
    }
}

fn abilities(mut value: Reader<'_>) -> Result<Abilities, DecodeError> {
    const VERSION: &str = "version of comity";
    let [version, durable_acks] = value.fields("comity", &["version", "durableAcks"])?;
    let version = required(&version, VERSION)?.integer(VERSION)?;
    Ok(Abilities {
        version: version
            .try_into()
            .map_err(|_| DecodeError::OutOfRange { what: VERSION, expected: "a whole number below 2^32" })?,
        durable_acks: durable_acks.map(|mut flag| flag.bool("durableAcks")).transpose()?.unwrap_or(false),
    })
}

/// Reads one row of `newHeads`, and leaves the reader after it.
fn remote_heads(value: &mut Reader<'_>, limits: &Limits) -> Result<RemoteHeads, DecodeError> {
    let [heads, timestamp] = value.fields("newHeads", &["heads", "timestamp"])?;
    let heads = required(&heads, "heads")?.list("heads", limits.hashes_max, |head| change_hash(head.text("heads")?))?;
    let timestamp_ms = required(&timestamp, "timestamp")?.float("timestamp")?;
    if !timestamp_ms.is_finite() || timestamp_ms < 0.0 {
        let expected = "a number of milliseconds from 0";
        return Err(DecodeError::OutOfRange { what: "timestamp", expected });
    }
    Ok(RemoteHeads { heads: Heads::new(heads), timestamp_ms })
}

fn change_hash(text: &str) -> Result<ChangeHash, DecodeError> {
    // 36 bytes with the checksum are at most 50 digits; the buffer refuses more before the quadratic work is felt.
    let mut buffer = [0; 40];
    let length = bs58::decode(text).with_check(None).onto(&mut buffer[..]);
    match length {
        Ok(32) => Ok(ChangeHash(buffer[..32].try_into().expect("a slice of 32 bytes"))),
        _ => Err(DecodeError::InvalidHead { text: excerpt(text) }),
    }
}

fn required<'b>(value: &Option<Reader<'b>>, what: &'static str) -> Result<Reader<'b>, DecodeError> {
    value.clone().ok_or(DecodeError::Missing { what })
}

fn peer_id(value: &Option<Reader<'_>>, what: &'static str) -> Result<PeerId, DecodeError> {
    PeerId::new(required(value, what)?.text(what)?).map_err(invalid_id(what))
}

fn storage_id(what: &'static str, text: &str) -> Result<StorageId, DecodeError> {
    StorageId::new(text).map_err(invalid_id(what))
}

fn invalid_id(what: &'static str) -> impl Fn(InvalidId) -> DecodeError {
    move |source| DecodeError::InvalidId { what, source }
}
