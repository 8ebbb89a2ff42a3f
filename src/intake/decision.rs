//! Which was first: the deadline, or the write that can't be taken back.

use std::sync::atomic::{AtomicU8, Ordering};

const OPEN: u8 = 0;
const WRITING: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Shared by whoever writes a payment and whoever waits for it. Each asks by one atomic step, so whatever their order, a payment of which its
/// client was told that nothing is accepted is never written.
#[derive(Debug, Default)]
pub(super) struct Decision(AtomicU8);

impl Decision {
    /// Leave to write; `false` once it was given up, and for ever.
    pub(super) fn may_write(&self) -> bool {
        self.0.compare_exchange(OPEN, WRITING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// What was to be written was not, since another was first.
    pub(super) fn not_written(&self) {
        // It stays given up.
        let _ = self.0.compare_exchange(WRITING, OPEN, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Nobody waits any longer. `true` if nothing is written and nothing will be; else it may be.
    pub(super) fn give_up(&self) -> bool {
        self.0.swap(GIVEN_UP, Ordering::AcqRel) == OPEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever writes tries up to three times and is not first in the ones before the last; the deadline comes before, between and after
    /// each of its steps.
    #[test]
    fn nothing_is_written_once_that_was_promised_whatever_comes_first() {
        for attempts in 1..=3 {
            for written_at_last in [false, true] {
                let steps = 3 * attempts;
                for deadline_before in 0..=steps {
                    let decision = Decision::default();
                    let (mut promised, mut gave_up, mut wrote, mut leave) = (false, false, false, true);
                    for step in 0..=steps {
                        if step == deadline_before {
                            promised = decision.give_up();
                            gave_up = true;
                            assert!(!(promised && wrote), "what is written was denied");
                        }
                        if step == steps || !leave {
                            continue;
                        }
                        let last = step / 3 + 1 == attempts;
                        match step % 3 {
                            0 => leave = decision.may_write(),
                            1 => {
                                assert!(!promised, "written after it was denied");
                                wrote = last && written_at_last;
                            }
                            _ if !wrote => decision.not_written(),
                            _ => {}
                        }
                    }
                    assert!(gave_up && (!wrote || !promised));
                    assert!(wrote || !decision.may_write(), "nothing is begun once nobody waits");
                }
            }
        }
    }
}
