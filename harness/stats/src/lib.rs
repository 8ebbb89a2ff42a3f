//! From the values of several rounds to numbers with an error, and from nanoseconds to a distribution.
//!
//! Pure functions; METHOD.md says why these and no others.

mod compare;
mod histogram;
mod interval;
mod trend;

pub use compare::{Better, Compared, compare};
pub use histogram::{Durations, HIGHEST_NS, RestoreError};
pub use interval::{ROUNDS_MIN, estimate};
pub use trend::{CLIMBS_FROM, FLAT_UP_TO, Shape, shape, slope};
