//! How the phase at hand goes, a few times a second, for whoever looks on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use crate::measure::lag::LagGauge;
use crate::measure::timeline::{PhaseId, Timeline};
use crate::progress::{PhaseProgress, Progress};

const TICK: Duration = Duration::from_millis(250);
/// The rate is that of the last second.
const WINDOW: usize = 4;

/// Tells `progress` of the phase that was started last, until dropped. Never ends; idle where nobody looks on.
pub(super) async fn watch(progress: &dyn Progress, timeline: &Timeline, lag: &LagGauge) -> Infallible {
    if !progress.watches() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(TICK);
    let mut recent = Recent::default();
    loop {
        ticks.tick().await;
        let begun = timeline.phases().filter(|&phase| timeline.started_ns(phase).is_some());
        let Some(phase) = begun.last() else { continue };
        let visible = timeline.visible_count(phase);
        let rate_per_s = recent.rate_per_s(phase, visible);
        let events = timeline.offered_count(phase);
        progress.pulse(PhaseProgress { visible, events, rate_per_s, lag_records: lag.get() });
    }
}

/// What the last ticks of a phase saw.
#[derive(Default)]
struct Recent {
    phase: Option<PhaseId>,
    visible: VecDeque<usize>,
}

impl Recent {
    fn rate_per_s(&mut self, phase: PhaseId, visible: usize) -> f64 {
        if self.phase.replace(phase) != Some(phase) {
            self.visible.clear();
        }
        self.visible.push_back(visible);
        if self.visible.len() > WINDOW + 1 {
            self.visible.pop_front();
        }
        let ticks = self.visible.len() - 1;
        let first = self.visible.front().copied().unwrap_or(visible);
        if ticks == 0 { 0.0 } else { (visible - first) as f64 / (TICK.as_secs_f64() * ticks as f64) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::measure::Clock;
    use crate::measure::timeline::Due;
    use crate::workload::{Keys, Plan, PlanSpec};

    fn plan(prefix: &str) -> Arc<Plan> {
        let spec = PlanSpec { prefix, events_per_order: 1, keys: Keys::Uniform, value_bytes: 300, seed: 1 };
        Arc::new(Plan::backlog(&spec, 1).unwrap())
    }

    #[test]
    fn the_rate_is_that_of_the_last_second_of_this_phase() {
        let timeline = Timeline::new(Clock::start(), |_| None);
        let [a, b] = ["a", "b"].map(|name| timeline.add_phase(name, Due::Planned, plan(name)).unwrap());
        let mut recent = Recent::default();
        assert_eq!(recent.rate_per_s(a, 1000), 0.0, "one look tells no rate");
        assert_eq!(recent.rate_per_s(a, 1100), 400.0);
        for visible in [1200, 1300, 1400, 1400, 1400, 1400] {
            recent.rate_per_s(a, visible);
        }
        assert_eq!(recent.rate_per_s(a, 1400), 0.0, "nothing for a second");
        assert_eq!(recent.rate_per_s(b, 50), 0.0, "what came before is another phase's");
        assert_eq!(recent.rate_per_s(b, 75), 100.0);
    }
}
