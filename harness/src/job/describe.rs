//! What a result says of its stack and workload.

use std::time::Duration;

use super::options::{Contender, Key, Options};
use crate::record;
use crate::stack::{PartFacts, Stack};
use crate::trial::COMMIT_INTERVAL;
use crate::trial::options::kebab;
use crate::workload::plan::VALUE_BYTES_DEFAULT;

/// What the numbers were measured on.
pub(super) fn stack(stack: &Stack, options: &Options) -> record::Stack {
    stack_of(stack, options.contenders.first())
}

/// The same, with the topics of this contender.
pub(super) fn stack_of(stack: &Stack, baseline: Option<&Contender>) -> record::Stack {
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
            replication: baseline.map_or(1, |contender| contender.replication),
            min_isr: baseline.map_or(1, |contender| contender.min_isr),
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

/// What was offered, in so many rounds.
pub(super) fn workload(options: &Options, rounds: u32) -> record::Workload {
    let service_times = options.contenders.iter().map(|contender| contender.service_time);
    let modelled = service_times.max_by_key(|service_time| service_time.mean()).unwrap_or_default();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    record::Workload {
        seed: options.seed,
        rounds,
        through: kebab(&options.trial.through),
        key: match options.trial.key {
            Key::OrderId => "order-id".into(),
            Key::None => "none".into(),
        },
        keys: options.draw.keys.to_string(),
        events_per_order: options.draw.events_per_order,
        value_bytes: VALUE_BYTES_DEFAULT as u32,
        arrivals: options.draw.arrivals.to_string(),
        service_time_ms: ms(modelled.mean()),
        service_time_range_ms: modelled.bounds().map(|(low, high)| [ms(low), ms(high)]),
        commit_interval_ms: COMMIT_INTERVAL.as_millis() as u64,
        objective_ns: options
            .objective
            .map(|objective| u64::try_from(objective.as_nanos()).unwrap_or(u64::MAX)),
        inject: options.inject.map(|kind| kebab(&kind)),
    }
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
