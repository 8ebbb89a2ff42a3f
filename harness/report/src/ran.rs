//! What ran, in full: all that is needed to judge a number or to have it again.

use crate::units::{bytes, count, counted, number, percent, tick};
use crate::words;
use lanebench_result::scenario::ScenarioRecord;
use lanebench_result::{Component, Environment, Noise, PhaseKind, RunResult, Stack, Trial, WarmUp};

/// What ran, as name and value: when, on what, what was offered, by which build.
pub fn ran(result: &RunResult) -> Vec<(&'static str, String)> {
    let (e, s, w) = (&result.environment, &result.stack, &result.workload);
    let rates = &result.warm_up.rates;
    let surge = rates.surge.as_ref().map_or("none".to_owned(), |s| {
        format!(
            "{} → {} → {} events/s for {} s, {} s, {} s",
            number(s.base_per_s),
            number(s.peak_per_s),
            number(s.base_per_s),
            s.base_s,
            s.peak_s,
            s.base_s
        )
    });
    let service = if let Some(values) = varied(result, "service-time") {
        format!("{values}, modelled")
    } else if w.service_time_ms > 0.0 {
        format!("{}, modelled", words::modelled(result).unwrap_or_default())
    } else {
        "none".into()
    };
    let mut said = vec![("started", result.started_at.clone())];
    said.extend(components(s, varied(result, "replication")));
    said.extend([
        ("seed", w.seed.to_string()),
        ("rounds", w.rounds.to_string()),
        ("message key", w.key.clone()),
        ("sent", if w.through == "api" { "through the REST API" } else { "straight to the brokers" }.into()),
        ("orders drawn", format!("{}, {} events an order on average", w.keys, w.events_per_order)),
        ("message value", format!("{} bytes on average", count(w.value_bytes.into()))),
        ("warm-up", warm_up(&result.warm_up)),
        ("drain", drained(result)),
        ("sustained", format!("{} s counted, closed loop", number(rates.sustained_s))),
        (
            "steady",
            format!(
                "{} events/s for {} s, {}",
                number(rates.steady_per_s),
                number(rates.steady_s),
                w.arrivals
            ),
        ),
        ("surge", surge),
        ("service time", service),
        ("commit interval", format!("{} ms", w.commit_interval_ms)),
        ("broken on purpose", w.inject.clone().unwrap_or_else(|| "nothing".into())),
    ]);
    said.extend(machine(e));
    said.push(("noise", noise(words::all_trials(result))));
    said
}

/// The same of scenarios: when, on what, what was offered, by which build.
pub fn scenarios(record: &ScenarioRecord) -> Vec<(&'static str, String)> {
    let trials = || record.scenarios.iter().flat_map(|s| &s.configurations).flat_map(|c| &c.trials);
    let capacity: Vec<String> = record
        .warm_up
        .sustained_per_s
        .iter()
        .map(|(name, rate)| format!("{name} {} events/s", number(*rate)))
        .collect();
    let offered: Vec<String> = record
        .scenarios
        .iter()
        .map(|run| &run.scenario)
        .map(|s| format!("{}: {} events/s for {} s", s.name, number(s.rate_per_s), tick(s.length_s)))
        .collect();
    let or = |said: Vec<String>, none: &str| if said.is_empty() { none.to_owned() } else { said.join(", ") };
    let mut said = vec![("started", record.started_at.clone())];
    said.extend(components(&record.stack, None));
    said.extend([
        ("warm-up", warm_up(&record.warm_up)),
        ("sustained in it", or(capacity, words::NOT_MEASURED)),
        ("offered", or(offered, "nothing")),
    ]);
    said.extend(machine(&record.environment));
    said.push(("noise", noise(trials())));
    said
}

/// Stack, broker, store, view and clients; `replication` where it was varied.
fn components(s: &Stack, replication: Option<String>) -> [(&'static str, String); 5] {
    let clients: Vec<String> = s.clients.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let broker = format!(
        "{} {}, nodes: {}, replication: {}, min.insync.replicas: {}, acks: {}{}",
        if s.name == "embedded" { "embedded broker" } else { "Kafka" },
        s.kafka.version,
        s.kafka.nodes,
        replication.unwrap_or_else(|| s.kafka.replication.to_string()),
        s.kafka.min_isr,
        s.kafka.acks,
        s.kafka.jvm.as_ref().map(|flags| format!(", JVM: {flags}")).unwrap_or_default()
    );
    [
        ("stack", s.name.clone()),
        ("broker", broker),
        ("store", component(&s.store)),
        ("view", component(&s.view)),
        ("clients", clients.join(", ")),
    ]
}

/// Build, machine and load.
fn machine(e: &Environment) -> [(&'static str, String); 3] {
    let dirty = if e.dirty { ", with uncommitted changes" } else { "" };
    [
        ("lanebench", format!("{}, {} build, commit {}{dirty}, {}", e.version, e.profile, e.commit, e.rustc)),
        ("machine", format!("{}, {} cores, {}, Linux {}", e.cpu, e.cores, bytes(e.memory_bytes), e.kernel)),
        ("load", format!("{:.2} before, at most {:.2} during the run", e.load_before, e.load_max)),
    ]
}

/// The values of a flag that was varied.
fn varied(result: &RunResult, flag: &str) -> Option<String> {
    let mut values: Vec<&str> = Vec::new();
    for value in result.configurations.iter().filter_map(|c| c.settings.get(flag)) {
        if !values.contains(&value.as_str()) {
            values.push(value);
        }
    }
    (!values.is_empty()).then(|| format!("{} (varied)", values.join("; ")))
}

/// Events of the drains, and the fewest where a configuration is far slower.
fn drained(result: &RunResult) -> String {
    let phases = words::all_trials(result).flat_map(|trial| &trial.phases);
    let drains = phases.filter(|phase| phase.kind == PhaseKind::Drain).map(|phase| phase.events);
    let (events, fewest) = (result.warm_up.rates.drain_events, drains.min());
    match fewest.filter(|fewest| *fewest < events) {
        Some(fewest) => format!("{} events; {} where that would take too long", count(events), count(fewest)),
        None => format!("{} events", count(events)),
    }
}

/// How long it took until the first round, and whether all had settled.
fn warm_up(warm_up: &WarmUp) -> String {
    if warm_up.passes.is_empty() {
        return "none".into();
    }
    let passes = counted(warm_up.passes.len() as u64, "pass", "passes");
    let settled = if warm_up.settled { "all had settled" } else { "not all had settled" };
    format!("{passes} in {} s, {settled}", number(warm_up.took_s))
}

/// The worst noise of any phase.
fn noise<'a>(trials: impl Iterator<Item = &'a Trial>) -> String {
    let phases: Vec<&Noise> = trials.flat_map(|t| &t.phases).map(|phase| &phase.noise).collect();
    let all = || phases.iter().copied();
    let worst = |of: fn(&Noise) -> Option<f64>| all().filter_map(of).reduce(f64::max);
    let part = |of| worst(of).map_or_else(|| words::NOT_MEASURED.to_owned(), percent);
    format!(
        "worst phase: waiting for a CPU {}, for I/O {}, stolen {}, slowest ÷ fastest canary loop {}",
        part(|n| n.cpu_pressure),
        part(|n| n.io_pressure),
        part(|n| n.steal),
        worst(|n| n.canary_spread).map_or_else(|| words::NOT_MEASURED.to_owned(), number)
    )
}

fn component(c: &Component) -> String {
    let settings: Vec<String> = c.settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    if settings.is_empty() {
        format!("{} {}", c.name, c.version)
    } else {
        format!("{} {} ({})", c.name, c.version, settings.join(", "))
    }
}
