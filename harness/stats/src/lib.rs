//! From the values of several rounds to numbers with an error, and from nanoseconds to a distribution.
//!
//! Pure functions; docs/method.md says why these and no others.

mod compare;
mod growth;
mod histogram;
mod interval;
mod trend;

pub use compare::{Better, Compared, compare};
pub use growth::{DueVisible, Growth, growth};
pub use histogram::{Durations, HIGHEST_NS, RestoreError};
pub use interval::{ROUNDS_MIN, estimate, median};
pub use trend::slope;
