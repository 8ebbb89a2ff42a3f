//! What is offered: which orders are paid ([`keys`]), when ([`schedule`]), and the events that follow ([`plan`]).
//!
//! Pure and seeded: the same seed gives the same events on every machine, so that each configuration of a round meets
//! the same load. (Logarithms and powers come from the platform's maths library; where two differ in a last bit, a due
//! time may move by a nanosecond.)

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub mod keys;
pub mod plan;
pub mod schedule;

pub use keys::{Keys, KeysError};
pub use plan::{Plan, PlanError, PlanSpec, Planned, PlannedEvent};
pub use schedule::{Arrivals, Segment, due_times};

/// What a stream of random numbers is drawn for. Each purpose has a ChaCha stream of its own, so that a draw more for
/// one never shifts the draws of another.
#[derive(Clone, Copy)]
enum Purpose {
    Arrivals,
    Keys,
    Bodies,
}

/// The generator of `purpose` in the phase named by `prefix`.
fn rng(seed: u64, purpose: Purpose, prefix: &str) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // A phase's name tells its stream apart, lest every phase draws the same orders. At most 7 bytes count.
    let name = prefix.bytes().take(7).fold(0u64, |name, byte| (name << 8) | u64::from(byte));
    rng.set_stream((name << 8) | purpose as u64);
    rng
}
