//! Every limit of Comity, in one place.

use std::time::Duration;

/// Bounds on everything that outside input can make grow. Each has a test at its value and one above.
///
/// Units stand last in each name. Defaults are for a relay on the open internet; a device uses the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    // Frames and messages.
    /// Longest WebSocket message. JavaScript clients send a whole document in one message, so this also bounds a
    /// document on its first way through.
    pub message_bytes_max: usize,
    /// Most bytes of messages that are on their way in, over all connections of a relay and beyond the first 16 KiB of
    /// each. Who finds no room waits; who uploads very slowly meanwhile is cut. At least one longest message fits.
    pub received_bytes_max: usize,
    /// Longest envelope (everything but the data) of any frame, and longest whole frame that carries no document.
    pub envelope_bytes_max: usize,
    /// Longest data of an ephemeral message.
    pub ephemeral_bytes_max: usize,
    /// Deepest nesting of CBOR that is skipped over in unknown keys.
    pub cbor_depth_max: usize,
    /// Most storage ids in each list of a gossip message.
    pub storage_ids_max: usize,

    // Admission of foreign bytes.
    /// Most hashes in `heads`, in `need`, and in `last_sync` of a sync message.
    pub hashes_max: usize,
    /// Most `have` rows in a sync message.
    pub have_max: usize,
    /// Most entries of a Bloom filter.
    pub bloom_entries_max: u32,
    /// Most change chunks in one sync message.
    pub chunks_max: usize,
    /// Most bytes that the chunks of one message may inflate to.
    pub inflated_bytes_max: usize,
    /// Most operations in one change, and most that are applied at once. For a moment Automerge needs about 570 bytes for
    /// each.
    pub change_operations_max: u64,
    /// Most operations in all chunks of one message (a document chunk holds its whole history).
    pub message_operations_max: u64,
    /// Memory that taking in a message of any size may cost, by estimate.
    pub price_free_bytes_max: u64,
    /// Bytes of memory that a message may cost besides for each of its bytes. Run lengths and deflate make millions of a
    /// few bytes.
    pub price_per_byte_max: u64,
    /// Most memory that taking in a message may cost, by estimate, however long it is.
    pub price_bytes_max: u64,
    /// Most actors in one chunk.
    pub chunk_actors_max: usize,
    /// Most dependencies of one change.
    pub dependencies_max: usize,
    /// Most bytes of memory for changes whose dependencies have not come yet, per document.
    pub orphan_bytes_max: usize,
    /// Most operations in a document. One that no message may hold could never reach a new peer.
    pub document_operations_max: u64,
    /// Most changes in a document. Loading costs Automerge about a kilobyte for each, if there are operations in it or not.
    pub document_changes_max: u64,

    // Local edits.
    /// Most writes in one edit.
    pub edit_writes_max: usize,
    /// Longest value of a register.
    pub value_bytes_max: usize,

    // Links.
    /// Most connections of a relay.
    pub connections_max: usize,
    /// Most connections from one address.
    pub connections_per_address_max: usize,
    /// Most connections of one identity.
    pub connections_per_identity_max: usize,
    /// Most documents that one link may have open.
    pub documents_per_link_max: usize,
    /// Most messages handed to a link that it has not written yet; then news coalesces.
    pub link_queue_messages_max: usize,
    /// Most bytes handed to a link that it has not written yet; then news coalesces.
    pub link_queue_bytes_max: usize,
    /// Most bytes handed to all links of a shard together that they have not written yet. Beyond half of it, a link that has
    /// its share on its way waits for others, and one that meanwhile writes less than 64 KiB a second of it is closed. One message
    /// may always be on its way.
    pub queued_bytes_max: usize,
    /// How long a peer may take to send the request headers.
    pub header_deadline: Duration,
    /// Longest request head.
    pub header_bytes_max: usize,
    /// Most request headers.
    pub headers_max: usize,
    /// How long a peer may take to send `join`.
    pub join_deadline: Duration,
    /// How often an idle link is pinged.
    pub ping_interval: Duration,
    /// How long a silent link is thought alive.
    pub dead_after: Duration,

    // Ephemeral messages.
    /// Ephemeral messages that a link may send in a second, on average.
    pub ephemeral_per_second: u32,
    /// Ephemeral messages that a link may send at once.
    pub ephemeral_burst: u32,
    /// Most (sender, session) pairs remembered for deduplication, over all documents of a shard.
    pub ephemeral_sessions_max: usize,

    // Documents.
    /// Most documents in memory per shard; beyond it, idle ones are evicted early.
    pub documents_loaded_max: usize,
    /// Most (document, link) pairs remembered because a peer asked for a document that is not here, per shard. Beyond it,
    /// the peer that asked for most is forgotten with what it asked for first.
    pub asked_max: usize,
    /// How long a peer that asks for a document which is not here waits to hear so: whoever has it may be bringing it
    /// just now, and some clients give a document up at the first *no*.
    pub unavailable_after: Duration,
    /// Most bytes that the documents in memory may take, by estimate, per shard; beyond it, the longest unused are evicted
    /// early. The one used last may always stay.
    pub loaded_bytes_max: usize,
    /// Most inputs that wait for one document to load.
    pub waiting_inputs_max: usize,
    /// Most bytes of messages that wait for one document to load. One message may always wait.
    pub waiting_bytes_max: usize,
    /// Most documents being read from the store at once for links that are pulled.
    pub loads_max: usize,
    /// Most sync sessions kept per document; beyond it, a new peer's session is not kept across connections.
    pub sessions_per_document_max: usize,
    /// How long a document without news stays in memory.
    pub idle_after: Duration,
    /// Fewest bytes of change chunks before a document is compacted.
    pub compaction_bytes_min: usize,
    /// Memory that the engine of the store is told to use for its cache, at least a mebibyte. sled keeps the 16,000 pages
    /// that it read last (up to some 400 MB) whatever this says.
    pub cache_bytes_max: u64,
    /// Most quarantined messages kept as evidence.
    pub evidence_max: usize,
    /// Longest quarantined message that is kept; longer ones are cut.
    pub evidence_bytes_max: usize,
    /// Most bytes of evidence on disk, all records together. One record may always be there.
    pub evidence_total_bytes_max: usize,
    /// Records of evidence that are written in a minute, once `evidence_max` of them were written at once: a flood must
    /// not wear out the disk.
    pub evidence_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        Self {
            message_bytes_max: 64 * MIB,
            received_bytes_max: 96 * MIB,
            envelope_bytes_max: MIB,
            ephemeral_bytes_max: 16 * KIB,
            cbor_depth_max: 16,
            storage_ids_max: 1_000,
            hashes_max: 10_000,
            have_max: 8,
            bloom_entries_max: 2_000_000,
            chunks_max: 200_000,
            inflated_bytes_max: 256 * MIB,
            change_operations_max: 150_000,
            message_operations_max: 1_000_000,
            price_free_bytes_max: 96 * MIB as u64,
            price_per_byte_max: 32,
            price_bytes_max: 512 * MIB as u64,
            chunk_actors_max: 5_000,
            dependencies_max: 10_000,
            orphan_bytes_max: 16 * MIB,
            document_operations_max: 1_000_000,
            document_changes_max: 80_000,
            edit_writes_max: 100_000,
            value_bytes_max: 64 * KIB,
            connections_max: 4_096,
            connections_per_address_max: 256,
            connections_per_identity_max: 16,
            documents_per_link_max: 100_000,
            link_queue_messages_max: 512,
            link_queue_bytes_max: 8 * MIB,
            queued_bytes_max: 256 * MIB,
            header_deadline: Duration::from_secs(5),
            header_bytes_max: 16 * KIB,
            headers_max: 64,
            join_deadline: Duration::from_secs(5),
            ping_interval: Duration::from_secs(15),
            dead_after: Duration::from_secs(45),
            ephemeral_per_second: 50,
            ephemeral_burst: 100,
            ephemeral_sessions_max: 10_000,
            documents_loaded_max: 1_000,
            asked_max: 20_000,
            unavailable_after: Duration::from_secs(1),
            loaded_bytes_max: 64 * MIB,
            waiting_inputs_max: 10_000,
            waiting_bytes_max: 64 * MIB,
            loads_max: 16,
            sessions_per_document_max: 1_000,
            idle_after: Duration::from_secs(60),
            compaction_bytes_min: 64 * KIB,
            cache_bytes_max: 64 * MIB as u64,
            evidence_max: 64,
            evidence_bytes_max: 256 * KIB,
            evidence_total_bytes_max: 8 * MIB,
            evidence_per_minute: 6,
        }
    }
}
