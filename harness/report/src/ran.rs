//! What ran, in full: all that is needed to judge a number or to have it again.

use crate::units::{bytes, count, number, percent};
use crate::words;
use lanebench_result::{Component, RunResult};

/// What ran, as name and value: when, on what, what was offered, by which build.
pub fn ran(result: &RunResult) -> Vec<(&'static str, String)> {
    let (e, s, w) = (&result.environment, &result.stack, &result.workload);
    let dirty = if e.dirty { ", with uncommitted changes" } else { "" };
    let surge = w.surge.as_ref().map_or("none".to_owned(), |s| {
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
    let service = if w.service_time_ms > 0.0 {
        format!("{}, modelled", words::modelled(result).unwrap_or_default())
    } else {
        "none".into()
    };
    let clients: Vec<String> = s.clients.iter().map(|(name, version)| format!("{name} {version}")).collect();
    vec![
        ("started", result.started_at.clone()),
        ("stack", s.name.clone()),
        (
            "broker",
            format!(
                "{} {}, nodes: {}, replication: {}, min.insync.replicas: {}, acks: {}{}",
                if s.name == "embedded" { "embedded broker" } else { "Kafka" },
                s.kafka.version,
                s.kafka.nodes,
                s.kafka.replication,
                s.kafka.min_isr,
                s.kafka.acks,
                s.kafka.jvm.as_ref().map(|flags| format!(", JVM: {flags}")).unwrap_or_default()
            ),
        ),
        ("store", component(&s.store)),
        ("view", component(&s.view)),
        ("clients", clients.join(", ")),
        ("seed", w.seed.to_string()),
        ("rounds", w.rounds.to_string()),
        ("message key", w.key.clone()),
        ("sent", if w.through == "api" { "through the REST API" } else { "straight to the brokers" }.into()),
        ("orders drawn", format!("{}, {} events an order on average", w.keys, w.events_per_order)),
        ("message value", format!("{} bytes on average", count(w.value_bytes.into()))),
        ("drain", format!("{} events", count(w.drain_events))),
        (
            "steady",
            format!("{} events/s for {} s, {}", number(w.steady_per_s), number(w.steady_s), w.arrivals),
        ),
        ("surge", surge),
        ("service time", service),
        ("commit interval", format!("{} ms", w.commit_interval_ms)),
        ("broken on purpose", w.inject.clone().unwrap_or_else(|| "nothing".into())),
        ("lanebench", format!("{}, {} build, commit {}{dirty}, {}", e.version, e.profile, e.commit, e.rustc)),
        ("machine", format!("{}, {} cores, {}, Linux {}", e.cpu, e.cores, bytes(e.memory_bytes), e.kernel)),
        ("load", format!("{:.2} before, at most {:.2} during the run", e.load_before, e.load_max)),
        ("noise", noise(result)),
    ]
}

/// The worst noise of any trial.
fn noise(result: &RunResult) -> String {
    let worst = |of: fn(&lanebench_result::Noise) -> f64| {
        words::all_trials(result).map(|t| of(&t.noise)).fold(0.0, f64::max)
    };
    format!(
        "worst trial: waiting for a CPU {}, stolen {}, slowest ÷ fastest canary loop {}",
        percent(worst(|n| n.cpu_pressure.unwrap_or(0.0))),
        percent(worst(|n| n.steal)),
        number(worst(|n| n.canary_spread))
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
