//! The plainest environment, stack and workload, for tests of what is saved.

use std::collections::BTreeMap;

use super::{Component, Environment, Kafka, Stack, Workload};

/// A machine of which little is known.
pub fn environment() -> Environment {
    Environment {
        version: "0.1.0".into(),
        commit: "unknown".into(),
        dirty: false,
        profile: "debug".into(),
        rustc: String::new(),
        cpu: String::new(),
        cores: 2,
        memory_bytes: 1,
        kernel: String::new(),
        load_before: 0.0,
        load_max: 0.0,
    }
}

/// One node of everything.
pub fn stack() -> Stack {
    let component = || Component { name: "c".into(), version: "1".into(), settings: BTreeMap::new() };
    Stack {
        name: "native".into(),
        demonstration: Vec::new(),
        kafka: Kafka {
            version: "4.1.1".into(),
            nodes: 1,
            replication: 1,
            min_isr: 1,
            acks: "all".into(),
            jvm: None,
        },
        store: component(),
        view: component(),
        clients: BTreeMap::new(),
    }
}

/// A workload of nothing yet.
pub fn workload() -> Workload {
    Workload {
        through: "kafka".into(),
        seed: 7,
        rounds: 3,
        key: "order-id".into(),
        keys: "uniform".into(),
        events_per_order: 3,
        value_bytes: 300,
        arrivals: "poisson".into(),
        service_time_ms: 0.0,
        service_time_range_ms: None,
        commit_interval_ms: 100,
        inject: None,
        objective_ns: None,
    }
}
