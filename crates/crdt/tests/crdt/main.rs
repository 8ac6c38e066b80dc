//! Stories about documents, edits and synchronisation.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod convergence;
mod deciding;
mod editing;
mod foreign;
mod long;
mod reading;
mod receiving;
mod slices;
mod storing;
mod support;
mod syncing;
