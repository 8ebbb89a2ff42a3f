//! Timer.
