//! `index.html`: the page a run is read from. Plain HTML and CSS: no script, nothing fetched but the pictures beside it.

use askama::Template;

use crate::record::{Component, RunResult};
use crate::report::ReportError;
use crate::report::chart::{CHARTS, PNG_SIZE};
use crate::report::table::{self, Row};
use crate::report::units::{bytes, count, number, percent, ratio, spread};
use crate::report::words::{self, Tone};

/// The page as text; everything that comes from the record is escaped by the template.
///
/// # Errors
/// [`ReportError::Page`] when the template cannot be filled in.
pub fn page(result: &RunResult) -> Result<String, ReportError> {
    let headline = words::headline(result);
    let page = Page {
        result,
        tone: match headline.tone {
            Tone::Held => "held",
            Tone::Failed => "failed",
            Tone::Undecided => "undecided",
        },
        headline: headline.text,
        range_note: words::range_note(result),
        rows: table::rows(result),
        figures: figures(result),
        comparisons: comparisons(result),
        lanes: lanes(result),
        explanations: words::throughput_comparisons(result).filter_map(words::explanation).collect(),
        findings: findings(result),
        ran: ran(result),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    result: &'a RunResult,
    tone: &'static str,
    headline: String,
    range_note: String,
    rows: Vec<Row>,
    figures: Vec<Figure>,
    comparisons: Vec<[String; 5]>,
    lanes: Vec<Lane>,
    explanations: Vec<String>,
    findings: Vec<Findings>,
    ran: Vec<(&'static str, String)>,
}

/// A picture and its words.
struct Figure {
    file: &'static str,
    title: &'static str,
    alt: String,
    size: (u32, u32),
}

/// What is said of one configuration below the table.
struct Lane {
    name: String,
    bottlenecks: Vec<String>,
    shares: String,
    truth: Vec<(&'static str, String)>,
}

/// The findings of one trial, and how many were left out of the record.
struct Findings {
    title: String,
    lines: Vec<String>,
    left_out: u64,
}

fn figures(result: &RunResult) -> Vec<Figure> {
    let rows = table::rows(result);
    let say = |of: fn(&Row) -> String| {
        rows.iter().map(|r| format!("{}: {}", r.name, of(r))).collect::<Vec<_>>().join("; ")
    };
    CHARTS
        .iter()
        .map(|chart| {
            let alt = match chart.file {
                "throughput.png" => {
                    format!("Drain throughput in events/s. {}", say(|r| r.throughput.inline()))
                }
                "latency.png" => format!(
                    "Response time of the steady phase. {}",
                    say(|r| format!("p50 {}, p99 {}", r.p50.value, r.p99.value))
                ),
                "lag.png" => {
                    format!("Lag over time. Peak of the surge in records: {}", say(|r| r.peak_lag.inline()))
                }
                _ => {
                    format!("Order violations. {}", say(|r| format!("{} {}", r.order.value, r.order.detail)))
                }
            };
            Figure { file: chart.file, title: chart.title, alt, size: PNG_SIZE }
        })
        .collect()
}

fn comparisons(result: &RunResult) -> Vec<[String; 5]> {
    result
        .comparisons
        .iter()
        .map(|c| {
            [
                format!("{} ÷ {}", c.candidate, c.baseline),
                metric(&c.metric),
                ratio(c.ratio.value),
                format!("{}, n = {}", spread(&c.ratio, number), c.ratio.n),
                table::verdict_word(c.verdict).to_owned(),
            ]
        })
        .collect()
}

/// A metric's name in plain words; one that is not known here keeps its own.
fn metric(name: &str) -> String {
    match name {
        "throughput_per_s" => "throughput",
        "response_time_ns_p50" => "response time, median",
        "response_time_ns_p99" => "response time, p99",
        "surge_max_lag_records" => "peak lag of the surge",
        other => other,
    }
    .to_owned()
}

fn lanes(result: &RunResult) -> Vec<Lane> {
    let of = |part: u64, all: u64| format!("{} of {}", count(part), count(all));
    result
        .configurations
        .iter()
        .map(|c| {
            let v = words::totals(c.trials.iter());
            let mut truth = vec![
                ("acknowledged, of produced", of(v.acked, v.produced)),
                ("applied, of acknowledged", of(v.applied, v.acked)),
                ("lost, of acknowledged", of(v.lost, v.acked)),
                ("parked", count(v.parked)),
                ("dead-lettered", count(v.dead_lettered)),
                ("resent (new offset)", count(v.resent)),
                ("redelivered (same offset)", count(v.redelivered)),
                ("view mismatches, of views", of(v.view_mismatches, v.views_checked)),
            ];
            let gate = |name: &'static str, key: &str| {
                v.order_by_gate.get(key).map(|g| (name, of(g.violations, g.pairs)))
            };
            truth.extend(gate("order violations in the log, of pairs", "log"));
            truth.extend(gate("order violations at the consumer", "consumer"));
            truth.extend(gate("order violations in the row", "row"));
            Lane {
                name: c.name.clone(),
                bottlenecks: words::bottlenecks(c),
                shares: words::shares(c).unwrap_or_default(),
                truth: if c.trials.is_empty() { Vec::new() } else { truth },
            }
        })
        .collect()
}

fn findings(result: &RunResult) -> Vec<Findings> {
    let mut out = Vec::new();
    for c in &result.configurations {
        for t in c
            .trials
            .iter()
            .filter(|t| t.verification.findings_total > 0 || !t.verification.findings.is_empty())
        {
            let v = &t.verification;
            out.push(Findings {
                title: format!("{}, round {}", c.name, t.round),
                lines: v.findings.iter().map(words::finding).collect(),
                left_out: v.findings_total.saturating_sub(v.findings.len() as u64),
            });
        }
    }
    out
}

/// What ran, as name and value.
fn ran(result: &RunResult) -> Vec<(&'static str, String)> {
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
        format!("{} ms an event, modelled", w.service_time_ms)
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
                "Kafka {}, nodes: {}, replication: {}, min.insync.replicas: {}, acks: {}",
                s.kafka.version, s.kafka.nodes, s.kafka.replication, s.kafka.min_isr, s.kafka.acks
            ),
        ),
        ("store", component(&s.store)),
        ("view", component(&s.view)),
        ("clients", clients.join(", ")),
        ("seed", w.seed.to_string()),
        ("rounds", w.rounds.to_string()),
        ("message key", w.key.clone()),
        ("orders drawn", format!("{}, {} events an order on average", w.keys, w.events_per_order)),
        ("message value", format!("{} bytes on average", count(w.value_bytes.into()))),
        ("drain", format!("{} events", count(w.drain_events))),
        ("steady", format!("{} events/s for {} s, {}", number(w.steady_per_s), w.steady_s, w.arrivals)),
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
    let worst = |of: fn(&crate::record::Noise) -> f64| {
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
