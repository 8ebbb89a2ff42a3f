//! What `cargo bench` measured: read from the files that criterion 0.7 keeps, and 1 laid against 3 partitions.
//!
//! ```text
//! target/criterion/**/new/{benchmark,estimates,sample}.json ─▶ files.rs ─▶ rates, ratio.rs ─▶ record::bench
//! ```

use std::path::Path;
use std::time::SystemTime;

use crate::record::Estimate;
use crate::record::bench::{Benched, ComponentRate, LaneRate, Pipeline};
use crate::stack::{StackKind, embedded};

mod error;
mod files;
mod id;
mod ratio;
#[cfg(test)]
mod tests;

pub use error::BenchedError;
pub use id::{NoPipelineId, PIPELINE, PipelineId};

use files::Saved;

/// An interval needs this many samples: criterion's own least, which `--quick` does not keep.
const SAMPLES_MIN: usize = 10;

/// Reads all that lies in criterion's `directory`, such as `target/criterion`: of each benchmark the newest run.
///
/// # Errors
/// [`BenchedError`] where there is no such directory, no benchmark of a pipeline in it, or a file that is not criterion's.
pub fn read(directory: &Path) -> Result<Benched, BenchedError> {
    let mut saved = files::all(directory)?;
    saved.sort_by(|a, b| a.id.full_id.cmp(&b.id.full_id));
    let none = || BenchedError::NoPipeline { path: directory.into(), others: saved.len() };
    let when = |of: fn(std::vec::IntoIter<SystemTime>) -> Option<SystemTime>| {
        of(saved.iter().map(|s| s.when).collect::<Vec<_>>().into_iter())
    };
    let (first, last) = (when(Iterator::min).ok_or_else(none)?, when(Iterator::max).ok_or_else(none)?);
    let mut pipelines: Vec<(PipelineId, Vec<LaneRate>)> = Vec::new();
    let mut components = Vec::new();
    for benchmark in &saved {
        let Some(elements) = benchmark.id.elements() else { continue };
        let throughput_per_s = rate(elements, benchmark);
        let Some((id, name)) = pipeline(benchmark) else {
            let name = benchmark.id.full_id.clone();
            components.push(ComponentRate { name, elements, throughput_per_s });
            continue;
        };
        let lane = LaneRate { name, events: elements, throughput_per_s, ratio: None };
        match pipelines.iter_mut().find(|(known, _)| *known == id) {
            Some((_, lanes)) => lanes.push(lane),
            None => pipelines.push((id, vec![lane])),
        }
    }
    if pipelines.is_empty() {
        return Err(none());
    }
    pipelines.sort_by(|(a, _), (b, _)| a.cmp(b));
    let pipelines: Vec<Pipeline> = pipelines.into_iter().map(|(id, lanes)| compared(&id, lanes)).collect();
    Ok(Benched {
        measured: (utc(first), utc(last)),
        demonstration: if pipelines.iter().any(|p| p.stands_in) { embedded::stands_in() } else { Vec::new() },
        pipelines,
        components,
    })
}

/// The pipeline that a benchmark drained, and its configuration.
fn pipeline(benchmark: &Saved) -> Option<(PipelineId, String)> {
    let id = &benchmark.id;
    let function = id.function_id.as_deref().filter(|_| id.group_id == PIPELINE)?;
    Some((function.parse().ok()?, id.value_str.clone()?))
}

/// Each configuration against the one with the fewest partitions.
fn compared(id: &PipelineId, mut lanes: Vec<LaneRate>) -> Pipeline {
    let partitions = |lane: &LaneRate| {
        lane.name.split_once('p').and_then(|(digits, _)| digits.parse().ok()).unwrap_or(u32::MAX)
    };
    lanes.sort_by_key(partitions);
    if let Some((baseline, others)) = lanes.split_first_mut() {
        for lane in others {
            lane.ratio = Some(ratio::ratio(&lane.throughput_per_s, &baseline.throughput_per_s));
        }
    }
    Pipeline {
        stack: id.stack.clone(),
        stands_in: id.stack == StackKind::Embedded.to_string(),
        mode: id.mode.clone(),
        service_time_ms: id.service_time_ms(),
        lanes,
    }
}

/// Elements a second: criterion's time of an iteration turned over, so that its upper bound becomes the lower one.
fn rate(elements: u64, saved: &Saved) -> Estimate {
    let per_s = |ns: f64| elements as f64 / ns * 1e9;
    let time = saved.estimates.typical();
    let interval = &time.confidence_interval;
    let n = saved.sample.times.len();
    let bounds = (n >= SAMPLES_MIN).then(|| (per_s(interval.upper_bound), per_s(interval.lower_bound)));
    let values = saved.sample.iters.iter().zip(&saved.sample.times).map(|(iters, ns)| per_s(ns / iters));
    Estimate {
        n,
        value: per_s(time.point_estimate),
        low: bounds.map(|b| b.0),
        high: bounds.map(|b| b.1),
        confidence: interval.confidence_level,
        values: values.collect(),
    }
}

fn utc(when: SystemTime) -> String {
    let when = jiff::Timestamp::try_from(when).unwrap_or_default();
    when.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
