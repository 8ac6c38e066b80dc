//! S1.6: policies as people write them.

mod bounds;
mod examples;
mod hash;
mod reading;
