//! The embedding API of Comity: a [`Node`] on a data folder, its [`Document`]s, and links to relays.
//!
//! A node works without any network: every edit is on this device's disk when it is acknowledged. With a link
//! ([`Node::connect`]) its documents are kept in step with a relay, and through it with every other device that has
//! them. Nobody is in charge: concurrent edits merge, and where two people gave one register different values, both
//! stay visible ([`View::disagreements`]).
//!
//! ```
//! use comity_node::{NewDocument, Node, NodeConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let (node, _report) = Node::open(NodeConfig::device(folder)).await?;
//! let audit = node.create(NewDocument::new("audit".parse()?, "Roof 7")).await?;
//!
//! // One edit is one atomic change, on disk when it returns.
//! audit
//!     .edit(|edit| {
//!         edit.set("M030", "status", "dead")?;
//!         edit.set("M031", "status", "dead")
//!     })
//!     .await?;
//!
//! let dead = audit.read(|view| view.entries().len()).await?;
//! assert_eq!(dead, 2);
//! node.close().await?;
//! # Ok(())
//! # }
//! ```

mod clock;
mod config;
mod document;
mod editor;
mod error;
pub mod evidence;
mod identity;
mod link;
mod losses;
mod node;
mod open;
mod places;
mod policy;
mod queue;
mod shard;
mod space;
mod status;
mod uplink;
mod view;

pub use comity_access::DeviceId;
pub use comity_crdt::{DecodedChange, Entry, HistoryFilter, HistoryItem, Register, Version};
pub use comity_engine::{Answer, Event, Failure, FailureKind, Load, Origin, Peer, PeerStanding, RefusedEdit, Standing};
pub use comity_net::{Connection, DialOptions, Url};
pub use comity_review::{Disagreement, DisagreementSide};
pub use config::{NodeConfig, OpenError, Role, STORE_FOLDER};
pub use document::{Change, Changes, Document, NewDocument};
pub use editor::Editor;
pub use error::NodeError;
pub use link::{LinkEnd, LinkInfo};
pub use losses::{Loss, LossSummary, note_damage};
pub use node::{Node, NodeEvent};
pub use policy::{CarriedPolicy, PolicySet, PolicyStanding, SetPolicyError};
pub use space::Listed;
pub use status::SyncState;
pub use uplink::{Uplink, UplinkState};
pub use view::View;
