//! Whole stories with real `comity` processes.

mod crash;
mod demo;
mod offline;
mod trial;
