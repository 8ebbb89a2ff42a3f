//! The checks of truth: whether what a trial measured is also what it should have done.
//!
//! Pure functions over [`Evidence`]; whoever ran the trial gathers that. Every check has tests by mutation: healthy
//! evidence, spoilt in one way, must give that finding and no other.
//!
//! ```text
//! sent ──▶ log ──▶ deliveries ──▶ rows, parked, dead letters ──▶ view
//!      provenance: nothing that nobody sent, every acknowledgement true
//!      accounting: acked = applied + parked + dead-lettered, as sets of (order, revision)
//!      order:      per key, at the log, at the consumer, in the row
//!      agreement:                                  row and view show the same
//!      service:    where events were sent through the REST API, it tells what row and log have
//! ```

mod accounting;
mod agreement;
mod evidence;
mod findings;
mod index;
mod order;
mod provenance;
mod service;
#[cfg(test)]
mod tests;

pub use evidence::{ApiAnswers, DeadLetter, Evidence, Logged, Seen, SendOutcome, Sent};
pub use findings::{FINDINGS_PER_KIND, Kind};

use findings::Findings;
use index::Index;
use lanebench_result::{Finding, Verification};

/// Checks a trial. It passes if nothing at all was found; repeats (`resent`, `redelivered`) are counted, not found.
///
/// A check that had nothing to look at is itself a finding ([`Kind::NothingChecked`]): no acknowledged event, no pair
/// at some place although an order has two acknowledged events, or an applied event that no consumer reported.
pub fn verify(evidence: &Evidence) -> Verification {
    let index = Index::new(evidence);
    let mut findings = Findings::default();
    let mut verification = Verification::default();
    provenance::check(&index, &mut findings);
    accounting::check(&index, &mut findings, &mut verification);
    order::check(&index, &mut findings, &mut verification);
    agreement::check(&index, &mut findings, &mut verification);
    service::check(&index, &mut findings, &mut verification);
    verification.findings_total = findings.total();
    verification.passed = findings.total() == 0;
    verification.findings = findings.into_kept();
    verification
}

/// Adds that a phase did not come to its end: whatever else holds, the trial's numbers do not count.
pub fn note_unfinished(verification: &mut Verification, what: &str) {
    verification.passed = false;
    verification.findings_total += 1;
    verification.findings.push(Finding {
        kind: "unfinished".into(),
        order_id: String::new(),
        revision: 0,
        partition: None,
        offset: None,
        message: what.into(),
    });
}
