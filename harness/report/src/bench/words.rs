//! What benchmarks say in plain words, and what must be known before trusting them.

use crate::units::{confidence, count, tick};
use crate::words::{DEMONSTRATION, sentences};
use lanebench_result::bench::{Benched, LaneRate, Pipeline};

use super::rows;

/// Benchmarks that ended further apart than this, in s, may be of different builds.
const APART_S: f64 = 3600.0;

/// What a demonstration opens with, and where it is one if not everywhere; `None` where every pipeline ran on real
/// components.
pub(super) fn demonstration(benched: &Benched) -> Option<String> {
    let stand_in = benched.pipelines.iter().find(|p| p.stands_in)?;
    let everywhere = benched.pipelines.iter().all(|p| p.stands_in);
    let place = if everywhere { String::new() } else { format!(" where a name says {}", stand_in.stack) };
    let said = sentences(&benched.demonstration);
    Some(format!("{DEMONSTRATION}{place}: {said} Never quote these numbers as evidence of speed."))
}

/// Each pipeline's ratio in one line. There is no verdict in it: that takes rounds.
pub(super) fn headline(benched: &Benched) -> String {
    let said: Vec<String> = benched.pipelines.iter().flat_map(ratios).collect();
    if said.is_empty() {
        return "Each pipeline was timed in one configuration only: there is nothing to lay beside it."
            .into();
    }
    format!("Throughput of {}. Criterion’s timing, and no verdict.", said.join("; of "))
}

fn ratios(pipeline: &Pipeline) -> impl Iterator<Item = String> {
    let baseline = pipeline.lanes.first().map_or("", |lane| lane.name.as_str());
    pipeline.lanes.iter().filter_map(move |lane| {
        let ratio = rows::ratio_cell(lane.ratio.as_ref()?).inline();
        Some(format!("{}: {} ÷ {baseline} {ratio}", title(pipeline), lane.name))
    })
}

/// Such as `embedded, record, 2 ms modelled`.
pub(super) fn title(pipeline: &Pipeline) -> String {
    format!("{}, {}, {}", pipeline.stack, pipeline.mode, cost(pipeline))
}

/// The modelled cost of an event, or that there is none.
pub(super) fn cost(pipeline: &Pipeline) -> String {
    match pipeline.service_time_ms {
        0.0 => "nothing modelled".into(),
        ms => format!("{} ms modelled", tick(ms)),
    }
}

/// Where the intervals come from and what they leave out, as it goes on after "in brackets: ".
pub(super) fn range_note(benched: &Benched) -> String {
    let Some(e) = lanes(benched).map(|lane| &lane.throughput_per_s).find(|e| e.low.is_some()) else {
        return "nothing, since an interval takes more samples".into();
    };
    format!(
        "criterion’s {} interval of the mean, bootstrapped from its samples; that of a ratio puts two of them together, \
         as if nothing had drifted between them",
        confidence(e)
    )
}

/// Name and message of all that a reader must know; what stands between backticks is code.
pub(super) fn cautions(benched: &Benched) -> Vec<(&'static str, String)> {
    let mut said = vec![(
        "no-rounds",
        "Iterations of one process are not rounds. One configuration was timed after the other, in a fixed order: what \
         differs from run to run, or drifted in between, is in the ratio and not in its interval, and a bootstrapped \
         95 % interval of ten samples covers but 91 % (simulated). For evidence run `lanebench compare`: rounds in \
         random order on the same events, a verdict, response time, lag."
            .to_owned(),
    )];
    let few: Vec<String> = benched
        .pipelines
        .iter()
        .flat_map(|p| p.lanes.iter().filter(|l| l.throughput_per_s.low.is_none()).map(|l| (title(p), l)))
        .map(|(title, lane)| format!("{title}, {}: {}", lane.name, lane.throughput_per_s.n))
        .collect();
    if !few.is_empty() {
        let few = few.join("; ");
        said.push((
            "too-few-samples",
            format!("A quick look has no interval ({few}): leave `--quick` away."),
        ));
    }
    if benched.pipelines.iter().any(|p| p.service_time_ms > 0.0) {
        let told = "Where a name says so, each event waits for a modelled call, which no processor works on: such lanes \
                    scale as calls do, and not as Kafka does. How long the calls really were, criterion does not keep; \
                    `lanebench compare` shows it.";
        said.push(("modelled-work", told.into()));
    }
    let (from, to) = &benched.measured;
    if apart_s(from, to).is_none_or(|s| s > APART_S) {
        said.push((
            "measured-apart",
            format!("The benchmarks ended between {from} and {to}; the older ones may be of another build."),
        ));
    }
    said
}

fn apart_s(from: &str, to: &str) -> Option<f64> {
    let (from, to): (jiff::Timestamp, jiff::Timestamp) = (from.parse().ok()?, to.parse().ok()?);
    Some(to.duration_since(from).as_secs_f64())
}

fn lanes(benched: &Benched) -> impl Iterator<Item = &LaneRate> {
    benched.pipelines.iter().flat_map(|p| &p.lanes)
}

/// What one dot of a pipeline's chart is.
pub(super) fn how_to_read(pipeline: &Pipeline) -> String {
    let mut backlogs: Vec<u64> = pipeline.lanes.iter().map(|lane| lane.events).collect();
    backlogs.dedup();
    let backlogs: Vec<String> = backlogs.into_iter().map(count).collect();
    let mut said = String::new();
    if pipeline.stands_in {
        said.push_str(&format!("{DEMONSTRATION} on the {} stack, {}. ", pipeline.stack, cost(pipeline)));
    }
    format!(
        "{said}Drains of {} events each, higher is better. Each dot: a sample, the mean of a drain or several. Diamond: \
         criterion’s estimate with its interval.",
        backlogs.join(" and ")
    )
}
