//! Whether a worker that takes turns works in its process: only then is it stopped with it. The client of a container or of another machine does not.

use super::run::PhaseRun;
use crate::measure::timeline::Timeline;
use crate::record::SeenBy;

/// What was on its way when a worker was stopped arrives within this.
const ON_ITS_WAY_NS: u64 = 20_000_000;

/// Who goes on while it is stopped gets more than this part of its events done then.
const DONE_WHILE_STOPPED_MAX: f64 = 0.2;

/// No worker reads an event, writes its row and shows its status in less CPU time.
const CPU_NS_PER_EVENT_MIN: f64 = 1_000.0;

/// By what it is seen that a worker took turns in a phase and works elsewhere; none if it does not.
pub(super) fn works(timeline: &Timeline, run: &PhaseRun, seen_by: Option<SeenBy>) -> Option<String> {
    if run.stopped.is_empty() {
        return None;
    }
    let events = timeline.visible_count(run.id).max(1) as f64;
    let spent_ns = run.observed.worker_cpu?.as_nanos() as f64 / events;
    if spent_ns < CPU_NS_PER_EVENT_MIN {
        return Some(format!("it used {:.1} µs of CPU time an event", spent_ns / 1e3));
    }
    // By offsets an event is seen later than it was done, and that may be after its worker's turn.
    if seen_by == Some(SeenBy::Offsets) {
        return None;
    }
    let then = run.stopped.iter().map(|at| timeline.visible_within(run.id, at.start + ON_ITS_WAY_NS..at.end));
    let part = then.sum::<usize>() as f64 / events;
    let told = || {
        format!(
            "{:.0} % of its events were done while it was stopped, as it was the other's turn",
            part * 100.0
        )
    };
    (part > DONE_WHILE_STOPPED_MAX).then(told)
}
