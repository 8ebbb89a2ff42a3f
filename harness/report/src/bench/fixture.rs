//! Made-up benchmarks.

use lanebench_result::Estimate;
use lanebench_result::bench::{Benched, ComponentRate, LaneRate, Pipeline};

/// Every set of benchmarks there is, by name.
pub fn all() -> Vec<(&'static str, Benched)> {
    vec![
        ("bench", embedded()),
        ("bench-native", native()),
        ("bench-both", both()),
        ("bench-quick", quick()),
        ("bench-hostile", hostile()),
    ]
}

/// As a newcomer has it: two modelled costs, and the parts.
pub fn embedded() -> Benched {
    let part = |name: &str, elements, rate| ComponentRate {
        name: name.into(),
        elements,
        throughput_per_s: samples(rate, 30),
    };
    Benched {
        measured: ("2026-11-24T22:10:04Z".into(), "2026-11-24T22:14:09Z".into()),
        demonstration: vec![
            "The broker runs in this process and keeps its logs in memory; replicas are simulated.".into(),
            "SQLite with synchronous off stands in for PostgreSQL, and a map in this process for Redis."
                .into(),
        ],
        pipelines: vec![
            pipeline("embedded", 0.0, 20_000, [23_805.0, 25_817.0]),
            pipeline("embedded", 2.0, 600, [441.1, 1047.5]),
        ],
        components: vec![
            part("assignor/range/30 members, 300 partitions", 300, 37e6),
            part("checkers/verify", 10_000, 2.26e6),
            part("codec/decode/300 B", 1000, 4.04e6),
            part("embedded broker/produce then fetch/3 partitions, 300 B", 20_160, 555_623.0),
            part("partitioner/order ids", 10_000, 239.7e6),
            part("store/next revision/embedded", 1, 23_953.0),
            part("view/put/embedded", 1, 19.1e6),
        ],
    }
}

/// On real components: nothing modelled, nothing stands in for anything.
pub fn native() -> Benched {
    Benched {
        demonstration: Vec::new(),
        pipelines: vec![pipeline("native", 0.0, 3000, [2_610.0, 4_480.0])],
        components: Vec::new(),
        ..embedded()
    }
}

/// One after the other in the same directory.
pub fn both() -> Benched {
    let mut benched = embedded();
    benched.pipelines.truncate(1);
    benched.pipelines.extend(native().pipelines);
    benched
}

/// Two samples each, as `--quick` takes them, and parts of another day.
pub fn quick() -> Benched {
    let mut benched = embedded();
    benched.measured.0 = "2026-11-20T08:00:00Z".into();
    let bare = |e: &mut Estimate| {
        e.values.truncate(2);
        (e.n, e.low, e.high) = (2, None, None);
    };
    for lane in benched.pipelines.iter_mut().flat_map(|p| &mut p.lanes) {
        bare(&mut lane.throughput_per_s);
        lane.ratio.iter_mut().for_each(bare);
    }
    benched.components.iter_mut().for_each(|part| bare(&mut part.throughput_per_s));
    benched
}

/// Names made to break out of their places.
pub fn hostile() -> Benched {
    let mut benched = embedded();
    let long = "<b onclick=alert(1)>&quot;</svg></style>".to_owned() + &"W".repeat(70);
    benched.pipelines[0].mode.clone_from(&long);
    benched.pipelines[0].lanes[1].name.clone_from(&long);
    benched.components[0].name.clone_from(&long);
    benched
}

fn pipeline(stack: &str, service_time_ms: f64, events: u64, [one, three]: [f64; 2]) -> Pipeline {
    let lane = |name: &str, rate| LaneRate {
        name: name.into(),
        events,
        throughput_per_s: samples(rate, 10),
        ratio: None,
    };
    let ratio = three / one;
    let (low, high) = (Some(ratio * 0.91), Some(ratio * 1.08));
    let ratio = Estimate { n: 10, value: ratio, low, high, confidence: 0.95, values: Vec::new() };
    let lanes = vec![lane("1p1c", one), LaneRate { ratio: Some(ratio), ..lane("3p3c", three) }];
    let stands_in = stack == "embedded";
    Pipeline { stack: stack.into(), stands_in, mode: "record".into(), service_time_ms, lanes }
}

/// Samples around a rate, and an interval that is not symmetric.
fn samples(rate: f64, n: u32) -> Estimate {
    let values = (0..n).map(|i| rate * (1.0 + (f64::from(i * 7 % n) / f64::from(n) - 0.45) * 0.2)).collect();
    let (low, high) = (Some(rate * 0.95), Some(rate * 1.04));
    Estimate { n: n as usize, value: rate, low, high, confidence: 0.95, values }
}
