//! The tables' rows as text: one source for page, Markdown and terminal.

use crate::table::Cell;
use crate::units::{count, duration, number, range, ratio};
use lanebench_result::Estimate;
use lanebench_result::bench::{Benched, ComponentRate};

use super::words;

/// One configuration of a pipeline.
pub(super) struct Row {
    /// Such as `3p3c`.
    pub(super) name: String,
    /// Such as `embedded, record, 2 ms modelled`.
    pub(super) pipeline: String,
    /// Samples.
    pub(super) n: String,
    /// Events of one drain.
    pub(super) events: String,
    /// Events/s, with the interval.
    pub(super) throughput: Cell,
    /// Throughput ÷ that of the baseline, with the interval.
    pub(super) ratio: Cell,
}

/// One benchmark of a part.
pub(super) struct Part {
    /// As criterion has it.
    pub(super) name: String,
    /// Elements/s, with the interval.
    pub(super) rate: Cell,
    /// What one element takes.
    pub(super) one: String,
}

/// A row a configuration, pipeline by pipeline.
pub(super) fn rows(benched: &Benched) -> Vec<Row> {
    let of = |pipeline| {
        let title = words::title(pipeline);
        pipeline.lanes.iter().map(move |lane| Row {
            name: lane.name.clone(),
            pipeline: title.clone(),
            n: lane.throughput_per_s.n.to_string(),
            events: count(lane.events),
            throughput: cell(&lane.throughput_per_s, number),
            ratio: lane.ratio.as_ref().map_or(Cell::new("1", "baseline"), ratio_cell),
        })
    };
    benched.pipelines.iter().flat_map(of).collect()
}

/// A row a benchmark of a part.
pub(super) fn parts(benched: &Benched) -> Vec<Part> {
    let of = |part: &ComponentRate| Part {
        name: part.name.clone(),
        rate: cell(&part.throughput_per_s, short),
        one: duration(1e9 / part.throughput_per_s.value),
    };
    benched.components.iter().map(of).collect()
}

/// How many times the baseline's rate, and the interval of that.
pub(super) fn ratio_cell(estimate: &Estimate) -> Cell {
    Cell { value: ratio(estimate.value), ..cell(estimate, number) }
}

/// Rates of code beyond a million are in millions.
fn short(x: f64) -> String {
    if x < 999_500.0 { number(x) } else { format!("{} M", number(x / 1e6)) }
}

/// The value, and its interval where there is one.
pub(super) fn cell(estimate: &Estimate, show: fn(f64) -> String) -> Cell {
    let detail = match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => range(low, high, show),
        _ => String::new(),
    };
    Cell::new(show(estimate.value), detail)
}
