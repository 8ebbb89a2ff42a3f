//! Candidate against baseline, on paired rounds: an answer whose error rate is known.
//!
//! Pure: the rounds come from elsewhere, and the only thing read is `gate.toml`. A [`Gate`] takes one [`GateRound`] after
//! another and says when it is over:
//!
//! ```
//! use lanebench_gate::{Gate, GateRound, GateTrial, GateVerdict, Rules, Values};
//! use lanebench_result::Verification;
//!
//! let trial = |per_s: f64| GateTrial {
//!     values: Values {
//!         throughput_per_s: Some(per_s),
//!         cpu_ns_per_event: Some(1e9 / per_s),
//!         peak_memory_bytes: Some(8e7),
//!         steady_p99_ns: None,
//!     },
//!     verification: Verification { passed: true, ..Verification::default() },
//!     noise: None,
//! };
//! let mut gate = Gate::new(Rules::built_in());
//! let mut round = 0;
//! let verdict = loop {
//!     round += 1;
//!     let jitter = 1.0 + 0.01 * f64::from(round % 3);
//!     let (baseline, candidate) = (trial(5_000.0), trial(4_000.0 * jitter));
//!     if let Some(verdict) =
//!         gate.add(GateRound { round, seed: 7, candidate_first: round % 2 == 0, baseline, candidate })
//!     {
//!         break verdict;
//!     }
//! };
//! assert_eq!((verdict, round), (GateVerdict::Regressed, 6));
//! ```
//!
//! Architecture invariant: this module uses [`lanebench_result`] and nothing else of the harness.

mod course;
pub mod decision;
pub mod design;
pub mod pool;
pub mod replay;
pub mod rules;
mod walk;

pub use course::{About, Gate};
pub use design::Design;
pub use lanebench_result::gate::{
    GateRecord, GateRound, GateTrial, GateVerdict, Metric, MetricVerdict, Side, Values,
};
pub use rules::{Rules, RulesError};
