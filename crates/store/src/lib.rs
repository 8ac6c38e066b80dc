//! Fallible storage: a journal in front of sled, or redb; integrity, salvage, backup.
