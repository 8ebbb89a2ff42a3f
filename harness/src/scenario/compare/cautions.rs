//! Which warnings a comparison earns: from its options beforehand, from its trials afterwards. Pure.

use crate::measure::noise;
use crate::record::RunResult;
use crate::scenario::describe;
use crate::scenario::options::Options;
use crate::scenario::warnings::{self, Caution};
use crate::stack::{C1_ALONE, Facts};

/// A fastest drain below this is warned of (METHOD.md asks for 1.5 s; a little less is chance).
const SHORT_DRAIN_S: f64 = 1.35;

/// Cautions that are known from the options and the stack.
pub(in crate::scenario) fn beforehand(options: &Options, facts: &Facts) -> Vec<Caution> {
    let mut cautions = Vec::new();
    if facts.kafka.settings.get("jvm").is_some_and(|flags| flags.contains(C1_ALONE)) {
        cautions.push(Caution::C1Brokers);
    }
    if cfg!(debug_assertions) {
        cautions.push(Caution::DebugBuild);
    }
    if !options.service_time.is_zero() {
        cautions.push(Caution::ModelledWork { service_time_ms: options.service_time.as_secs_f64() * 1e3 });
    }
    for lanes in &options.configs {
        let idle = lanes.consumers.saturating_sub(lanes.partitions.unsigned_abs());
        if idle > 0 {
            cautions.push(Caution::IdleConsumers { config: lanes.to_string(), idle });
        }
    }
    cautions.extend(options.inject.map(|kind| Caution::Injected { what: describe::kebab(&kind) }));
    cautions.extend(options.throttle.map(|part| Caution::Throttled { what: describe::kebab(&part) }));
    cautions
}

/// Cautions that show in the trials so far.
pub(super) fn afterwards(result: &RunResult) -> Vec<Caution> {
    let mut cautions = Vec::new();
    if result.stack.store.settings.get("fsync").is_some_and(|fsync| fsync == "off") {
        cautions.push(Caution::FsyncOff);
    }
    let rounds = result.configurations.iter().map(|c| c.trials.len()).min().unwrap_or(0);
    if rounds < 3 {
        cautions.push(Caution::TooFewRounds { rounds });
    }
    for configuration in &result.configurations {
        for trial in &configuration.trials {
            cautions.extend(warnings::of_trial(&configuration.name, trial));
            let foreign = noise::foreign_cpu(&trial.resources, result.environment.cores);
            let busy = noise::host_was_busy(&trial.noise, foreign);
            cautions.extend(busy.map(|what| Caution::HostBusy { what }));
        }
    }
    cautions.extend(short_drain(result));
    cautions.extend(shared_bottleneck(result));
    cautions
}

fn short_drain(result: &RunResult) -> Option<Caution> {
    let drains =
        result.configurations.iter().flat_map(|c| c.trials.iter().map(move |t| (&c.name, t.drain_s)));
    let (config, drain_s) = drains.min_by(|a, b| a.1.total_cmp(&b.1))?;
    (drain_s < SHORT_DRAIN_S).then(|| Caution::ShortDrain { config: config.clone(), drain_s })
}

/// The part that held every trial of every configuration back, where more lanes hardly helped.
fn shared_bottleneck(result: &RunResult) -> Option<Caution> {
    const HARDLY: f64 = 1.4;
    let mut names =
        result.configurations.iter().flat_map(|c| c.trials.iter().map(|t| t.bottleneck.name.as_str()));
    let part = names.next()?;
    let shared = matches!(part, "store" | "view" | "broker") && names.all(|name| name == part);
    let helped = result.comparisons.iter().any(|c| c.metric == "throughput_per_s" && c.ratio.value >= HARDLY);
    (shared && !helped && result.configurations.len() > 1)
        .then(|| Caution::SharedBottleneck { part: part.into() })
}
