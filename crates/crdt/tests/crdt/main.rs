//! Stories about documents, edits and synchronisation.

mod convergence;
mod editing;
mod foreign;
mod reading;
mod receiving;
mod storing;
mod support;
mod syncing;
