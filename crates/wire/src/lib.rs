//! The automerge-repo network protocol: CBOR messages with every length bounded.
