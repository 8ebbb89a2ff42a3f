//! Whether the parts have settled: from the passes of a warm-up to a decision (docs/method.md, "Warm-up"). Pure.

use crate::record::{Pass, PassTrial};

/// JIT compilers that use this part of the host's CPU time, or more, are at work.
const JIT_PART: f64 = 0.05;
/// Brokers whose CPU time an event fell by more than this part since the pass before are still getting faster; so is what has
/// a median response time that did.
const FELL: f64 = 0.33;
/// Where neither is known, a throughput that changed by more than this part has not settled.
const THROUGHPUT_CHANGED: f64 = 0.15;
/// Failed proofs of one steady rate until it is lowered.
const PROOFS: u32 = 2;
/// How often it is lowered at most.
const LOWERED_MAX: u32 = 3;

/// The passes so far, and what follows from them.
#[derive(Debug)]
pub(super) struct Settling {
    /// Of the host.
    cores: usize,
    passes: Vec<Pass>,
    /// Failed proofs of the present rate.
    failed: u32,
    /// How often the rate was lowered.
    lowered: u32,
}

/// What a pass led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Something still moves, or the rate is not proven.
    Pass,
    /// All have settled, and the rate is proven.
    Rounds,
}

impl Settling {
    /// On a host of so many cores.
    pub(super) fn new(cores: usize) -> Self {
        Self { cores, passes: Vec::new(), failed: 0, lowered: 0 }
    }

    /// How often the steady rate was lowered.
    pub(super) fn lowered(&self) -> u32 {
        self.lowered
    }

    /// The passes, and whether the last one found all settled.
    pub(super) fn into_passes(self) -> (Vec<Pass>, bool) {
        let settled = self.passes.last().is_some_and(|pass| pass.moved.is_empty());
        (self.passes, settled)
    }

    /// Takes a pass. `chosen` says that the rate is ours, to be lowered where it proves too high.
    pub(super) fn add(&mut self, mut pass: Pass, chosen: bool) -> Next {
        let (passes, cores) = (&self.passes, self.cores);
        pass.moved = pass
            .configurations
            .iter()
            .flat_map(|(name, now)| {
                let earlier: Vec<&PassTrial> =
                    passes.iter().filter_map(|pass| pass.configurations.get(name)).collect();
                moved(&earlier, now, cores).into_iter().map(move |what| format!("{name}: {what}"))
            })
            .collect();
        let still = !pass.moved.is_empty();
        let unproven = chosen && pass.configurations.values().any(|now| now.grows == Some(true));
        let lowest = self.lowered == LOWERED_MAX;
        if unproven {
            let grow = pass.configurations.iter().filter(|(_, now)| now.grows == Some(true));
            let said: Vec<String> = grow.map(|(name, _)| format!("{name}: its backlog grew")).collect();
            pass.moved.extend(said);
            self.failed += 1;
            if self.failed == PROOFS && !lowest {
                (self.failed, self.lowered) = (0, self.lowered + 1);
            }
        }
        self.passes.push(pass);
        // At the lowest rate another pass would prove nothing: the run goes on, and says that it has not settled.
        if still || (unproven && !lowest) { Next::Pass } else { Next::Rounds }
    }
}

/// The rate of a pass's open loop, if every configuration kept up with it.
pub(super) fn proven(pass: &Pass) -> Option<f64> {
    let mut trials = pass.configurations.values();
    let rate = trials.clone().next()?.offered_per_s?;
    trials.all(|trial| trial.grows == Some(false)).then_some(rate)
}

/// By which part a figure fell since the pass before, if by more than [`FELL`]. One that only came back to the lowest that it has been is no
/// faster than it was: a single pass was slow in between.
fn fell(earlier: &[&PassTrial], now: &PassTrial, of: fn(&PassTrial) -> Option<f64>) -> Option<f64> {
    let (before, now) = (of(earlier.last()?)?, of(now)?);
    let lowest = earlier.iter().filter_map(|pass| of(pass)).fold(f64::INFINITY, f64::min);
    let came_back = (lowest * (1.0 - FELL)..=lowest * (1.0 + FELL)).contains(&now);
    let part = 1.0 - now / before.max(f64::MIN_POSITIVE);
    (part > FELL && !came_back).then_some(part)
}

/// What of a configuration has not settled, a phrase each.
fn moved(earlier: &[&PassTrial], now: &PassTrial, cores: usize) -> Vec<String> {
    let mut moved = Vec::new();
    if let Some(busy) = now.jit_cores.filter(|busy| *busy >= JIT_PART * cores as f64) {
        moved.push(format!("the brokers' compilers kept {busy:.2} cores busy"));
    }
    let Some(before) = earlier.last() else {
        moved.push("one pass tells no change".to_owned());
        return moved;
    };
    let broker = before.broker_cpu_ns_per_event.zip(now.broker_cpu_ns_per_event);
    if let Some(part) = fell(earlier, now, |pass| pass.broker_cpu_ns_per_event) {
        moved.push(format!("the brokers' CPU time an event fell by {:.0} %", part * 100.0));
    }
    let response = before.response_time_ns_p50.zip(now.response_time_ns_p50);
    if let Some(part) = fell(earlier, now, |pass| pass.response_time_ns_p50.map(|ns| ns as f64)) {
        moved.push(format!("the median response time fell by {:.0} %", part * 100.0));
    }
    if broker.is_some() && now.offered_per_s.is_some() && response.is_none() {
        moved.push("one open loop tells no change".to_owned());
    }
    let changed = (1.0 - now.drain_per_s / before.drain_per_s.max(f64::MIN_POSITIVE)).abs();
    if broker.is_none() && response.is_none() && changed > THROUGHPUT_CHANGED {
        moved.push(format!("its drain changed by {:.0} %", changed * 100.0));
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration that has settled.
    const CALM: PassTrial = PassTrial {
        drain_per_s: 2000.0,
        sustained_per_s: 1000.0,
        offered_per_s: Some(600.0),
        response_time_ns_p50: Some(5_000_000),
        grows: Some(false),
        jit_cores: Some(0.01),
        broker_cpu_ns_per_event: Some(300_000.0),
        untrue: false,
    };

    fn pass(trial: PassTrial) -> Pass {
        Pass { configurations: [("1p1c".to_owned(), trial)].into(), moved: Vec::new() }
    }

    #[track_caller]
    fn after_calm(now: PassTrial, expected: Next, words: &str) {
        let mut settling = Settling::new(2);
        settling.add(pass(CALM), true);
        assert_eq!(settling.add(pass(now), true), expected);
        let (passes, settled) = settling.into_passes();
        let moved = passes[1].moved.join("; ");
        assert_eq!(settled, expected == Next::Rounds);
        assert!(moved.contains(words) && moved.is_empty() == words.is_empty(), "{moved}");
    }

    #[test]
    fn what_moves_is_named() {
        after_calm(CALM, Next::Rounds, "");
        let jit = |cores| PassTrial { jit_cores: Some(cores), ..CALM };
        after_calm(jit(0.10), Next::Pass, "compilers kept 0.10 cores busy"); // of two
        after_calm(jit(0.09), Next::Rounds, "");
        let cpu = |ns| PassTrial { broker_cpu_ns_per_event: Some(ns), ..CALM };
        after_calm(cpu(200_000.0), Next::Pass, "CPU time an event fell by 33 %");
        after_calm(cpu(202_000.0), Next::Rounds, "");
        after_calm(cpu(900_000.0), Next::Rounds, ""); // what rises is noise, not a warm-up
        let p50 = |ns| PassTrial { response_time_ns_p50: Some(ns), ..CALM };
        after_calm(p50(3_200_000), Next::Pass, "median response time fell by 36 %");
        after_calm(p50(3_500_000), Next::Rounds, "");
    }

    #[test]
    fn one_slow_pass_in_between_is_no_warm_up() {
        let p50 = |ns| PassTrial { response_time_ns_p50: Some(ns), ..CALM };
        let mut settling = Settling::new(2);
        settling.add(pass(p50(5_000_000)), true);
        settling.add(pass(p50(12_000_000)), true);
        assert_eq!(settling.add(pass(p50(5_800_000)), true), Next::Rounds, "as low as it has been before");
        settling.add(pass(p50(20_000_000)), true);
        assert_eq!(
            settling.add(pass(p50(10_000_000)), true),
            Next::Pass,
            "it still falls, and is not that low"
        );
        assert_eq!(settling.add(pass(p50(3_000_000)), true), Next::Pass, "lower than ever");
    }

    #[test]
    fn a_rate_is_proven_by_a_pass_in_which_all_keep_up() {
        assert_eq!(proven(&pass(CALM)), Some(600.0));
        assert_eq!(proven(&pass(PassTrial { grows: Some(true), ..CALM })), None);
        assert_eq!(proven(&pass(PassTrial { offered_per_s: None, grows: None, ..CALM })), None);
    }

    #[test]
    fn one_pass_is_never_enough() {
        assert_eq!(Settling::new(2).add(pass(CALM), true), Next::Pass);
    }

    #[test]
    fn of_brokers_that_compile_one_open_loop_is_not_enough() {
        let mut settling = Settling::new(2);
        settling.add(
            pass(PassTrial { offered_per_s: None, response_time_ns_p50: None, grows: None, ..CALM }),
            true,
        );
        assert_eq!(settling.add(pass(CALM), true), Next::Pass);
        assert_eq!(settling.add(pass(CALM), true), Next::Rounds);
    }

    #[test]
    fn where_no_broker_can_be_seen_the_drain_decides_until_there_are_two_open_loops() {
        let first = PassTrial {
            offered_per_s: None,
            response_time_ns_p50: None,
            grows: None,
            jit_cores: None,
            broker_cpu_ns_per_event: None,
            ..CALM
        };
        let unseen = PassTrial { jit_cores: None, broker_cpu_ns_per_event: None, ..CALM };
        let mut settling = Settling::new(2);
        settling.add(pass(first), true);
        assert_eq!(settling.add(pass(unseen), true), Next::Rounds);
        assert_eq!(
            settling.add(pass(PassTrial { response_time_ns_p50: Some(3_000_000), ..unseen }), true),
            Next::Pass
        );

        let unseen = first;
        let mut settling = Settling::new(2);
        settling.add(pass(unseen), true);
        let faster = PassTrial { drain_per_s: 2400.0, ..unseen };
        assert_eq!(settling.add(pass(faster), true), Next::Pass);
        assert_eq!(settling.add(pass(faster), true), Next::Rounds);
    }

    #[test]
    fn a_rate_that_is_ours_is_lowered_after_two_failed_proofs_three_times_at_most() {
        let grows = PassTrial { grows: Some(true), ..CALM };
        let mut settling = Settling::new(2);
        let lowered: Vec<u32> = (0..8)
            .map(|_| {
                settling.add(pass(grows), true);
                settling.lowered()
            })
            .collect();
        assert_eq!(lowered, [0, 1, 1, 2, 2, 3, 3, 3]);
        assert_eq!(settling.add(pass(grows), true), Next::Rounds, "then the run goes on and says so");
        let (passes, settled) = settling.into_passes();
        assert!(!settled && passes.last().unwrap().moved.join("").contains("its backlog grew"));

        let mut asked = Settling::new(2);
        asked.add(pass(grows), false);
        assert_eq!(
            (asked.add(pass(grows), false), asked.lowered()),
            (Next::Rounds, 0),
            "a rate that was asked for"
        );
    }
}
