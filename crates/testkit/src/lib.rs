//! A simulated world: clock, network, disk and oracles, from one seed.
