//! The language, and the tally over random histories.

mod language;
mod random;
mod tallies;
