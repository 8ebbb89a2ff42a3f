//! Whether a worker that takes turns works in its process: only then is it stopped with it. The client of a container or of another machine does not.

use std::ops::Range;

use nix::errno::Errno;

use super::run::PhaseRun;
use crate::error::RunError;
use crate::measure::timeline::Timeline;
use crate::record::SeenBy;

/// Who goes on while it is stopped works then as fast as at other times; who does not, not at all. In between lies what is seen late.
const PACE_WHILE_STOPPED_MAX: f64 = 0.5;

/// No worker reads an event, writes its row and shows its status in less CPU time.
const CPU_NS_PER_EVENT_MIN: f64 = 1_000.0;

/// The error of a worker that can't be stopped.
pub(super) fn unstoppable(errno: Errno) -> RunError {
    RunError::WorksElsewhere { seen: format!("it can't be stopped: {}", errno.desc()) }
}

/// By what it is seen that a worker took turns in a phase and works elsewhere; none if it does not, or if that can't be seen.
pub(super) fn works(timeline: &Timeline, run: &PhaseRun, seen_by: Option<SeenBy>) -> Option<String> {
    if run.stopped.is_empty() {
        return None;
    }
    let events = timeline.visible_count(run.id).max(1) as f64;
    let spent_ns = run.observed.worker_cpu?.as_nanos() as f64 / events;
    if spent_ns < CPU_NS_PER_EVENT_MIN {
        return Some(format!("it used only {:.1} µs of CPU time an event", spent_ns / 1e3));
    }
    // A transaction may end in the database after its worker was stopped, and by offsets an event is seen late. A status is shown by the worker alone.
    if seen_by != Some(SeenBy::View) {
        return None;
    }
    let visible: Vec<u64> = timeline.due_and_visible_ns(run.id).filter_map(|(_, visible)| visible).collect();
    let pace = pace_at_the_end_of(&run.stopped, &visible, timeline.started_ns(run.id)?..run.ended_ns);
    let told = || format!("while it was stopped, events became visible at {:.0} % of its pace", pace * 100.0);
    (pace > PACE_WHILE_STOPPED_MAX).then(told)
}

/// Events per time in the last thirds of these times, when what was on its way has arrived, as a part of events per time in all of the phase.
fn pace_at_the_end_of(stops: &[Range<u64>], visible: &[u64], phase: Range<u64>) -> f64 {
    let within = |stop: &Range<u64>| stop.start.max(phase.start)..stop.end.min(phase.end);
    let thirds: Vec<Range<u64>> = stops
        .iter()
        .map(within)
        .filter(|stop| stop.start < stop.end)
        .map(|stop| stop.end - (stop.end - stop.start) / 3..stop.end)
        .collect();
    let in_third = |at: &&u64| {
        let next = thirds.partition_point(|third| third.end <= **at);
        thirds.get(next).is_some_and(|third| third.contains(at))
    };
    let pace = |events: usize, ns: u64| events as f64 / ns.max(1) as f64;
    let then = pace(
        visible.iter().filter(in_third).count(),
        thirds.iter().map(|third| third.end - third.start).sum(),
    );
    let all = pace(visible.len(), phase.end.saturating_sub(phase.start));
    if all > 0.0 { then / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_while_stopped_tells_who_goes_on() {
        let stops = [5..60, 100..160, 200..260, 300..360];
        let pace = |visible: Vec<u64>| pace_at_the_end_of(&stops, &visible, 50..400);
        assert!((pace((50..400).collect()) - 1.0).abs() < 0.1, "it never stops");
        let works = |at: &u64| {
            (60..100).contains(at) || (160..200).contains(at) || (260..300).contains(at) || *at >= 360
        };
        assert_eq!(pace((50..400).filter(works).collect()), 0.0);
        let late = |at: &u64| works(&at.saturating_sub(30));
        assert_eq!(pace((50..400).filter(late).collect()), 0.0, "seen late");
        assert_eq!(pace(Vec::new()), 0.0);
    }
}
