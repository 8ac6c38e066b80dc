//! The sans-IO heart: inputs in, effects out.
