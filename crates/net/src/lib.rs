//! Links between nodes: dialing WebSockets; bytes only.
