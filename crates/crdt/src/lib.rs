//! Documents, registers, sync sessions, and the only door for foreign bytes.
