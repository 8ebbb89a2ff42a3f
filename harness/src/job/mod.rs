//! What a subcommand runs and concludes: which phases, from which options, to which verdict. The rounds themselves are
//! [`crate::rounds`]'s.
//!
//! ```text
//! compare ─┐
//! gate ────┼─▶ rounds (warm-up, rates, trials in random order or two at once) ─▶ trial (phases, checks) ─▶ workspace
//! drain ───┤
//! scenario ┤
//! selftest ┘
//! limits ────▶ one component at a time, at a trial's place
//! ```

pub mod compare;
mod describe;
pub mod drain;
pub(crate) mod environment;
pub mod gate;
pub mod limits;
pub mod options;
pub mod scenario;
pub mod selftest;
pub mod summary;
pub mod warnings;
