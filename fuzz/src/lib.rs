//! Shared by the fuzz.
