//! Stories about what a store keeps, over every engine: one test binary.

mod backups;
mod basics;
mod common;
mod crash;
mod damage;
mod oracle;
mod writers;
