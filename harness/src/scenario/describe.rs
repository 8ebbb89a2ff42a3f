//! What a result says of its stack and workload.

use super::options::{Key, Options};
use super::rates::Rates;
use crate::record;
use crate::stack::{PartFacts, Stack};

/// How often consumers commit.
pub(super) const COMMIT_INTERVAL: std::time::Duration = std::time::Duration::from_millis(100);

/// What the numbers were measured on.
pub(super) fn stack(stack: &Stack, options: &Options) -> record::Stack {
    let facts = stack.facts();
    let component = |part: &PartFacts| record::Component {
        name: part.name.into(),
        version: part.version.clone().unwrap_or_else(|| "unknown".into()),
        settings: part.settings.clone(),
    };
    record::Stack {
        name: stack.kind().to_string(),
        demonstration: stack.stands_in(),
        kafka: record::Kafka {
            version: component(&facts.kafka).version,
            nodes: facts.nodes,
            replication: options.replication,
            min_isr: options.min_isr,
            acks: "all".into(),
            jvm: facts.kafka.settings.get("jvm").cloned(),
        },
        store: component(&facts.store),
        view: component(&facts.view),
        clients: ["rskafka", "kafka-protocol", "sqlx", "redis", "tokio"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), locked_version(name)?.to_owned())))
            .collect(),
    }
}

/// What was offered. `value_bytes` is the mean over the drain's events.
pub(super) fn workload(options: &Options, rates: &Rates, value_bytes: f64) -> record::Workload {
    record::Workload {
        seed: options.seed,
        rounds: options.rounds,
        through: kebab(&options.through),
        key: match options.key {
            Key::OrderId => "order-id".into(),
            Key::None => "none".into(),
        },
        keys: options.keys.to_string(),
        events_per_order: options.events_per_order,
        value_bytes: value_bytes.round() as u32,
        arrivals: options.arrivals.to_string(),
        service_time_ms: options.service_time.as_secs_f64() * 1e3,
        drain_events: rates.drain_events,
        steady_per_s: rates.steady_per_s,
        steady_s: rates.steady.as_secs_f64(),
        surge: rates.surge.clone(),
        commit_interval_ms: COMMIT_INTERVAL.as_millis() as u64,
        inject: options.inject.map(|kind| kebab(&kind)),
    }
}

/// A value of a flag, as it is typed.
pub(super) fn kebab(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}

/// The version of a crate in the lock file that this binary was built from.
fn locked_version(name: &str) -> Option<&'static str> {
    const LOCK: &str = include_str!("../../../Cargo.lock");
    let entry = LOCK.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{name}\"\n")))?;
    entry.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_lock_file_names_the_clients() {
        assert!(super::locked_version("rskafka").unwrap().starts_with("0.6"));
        assert_eq!(super::locked_version("no-such-crate"), None);
    }
}
