//! Logs on stderr: which are shown, and how often the same one is.
//!
//! `LANEBENCH_LOG` says which: a level (`warn`, `debug`), or levels by target
//! (`warn,payment_delivery::kafka=debug`). Without it a command shows what it is told to show. What runs for long and unattended can say
//! all that it has to say as JSON, an object a line.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The same warning comes at most once in this time.
const QUIET: Duration = Duration::from_secs(10);

/// What is told apart at the most; beyond it all of it is forgotten, so that memory stays bounded.
const MOST: usize = 1_024;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// A line to read.
    #[default]
    Text,
    /// An object a line, for whatever collects logs.
    Json,
}

/// The flag of commands that run for long and unattended.
#[derive(Args)]
pub(super) struct LogFlags {
    /// How stderr is written: lines to read, or an object a line
    #[arg(long = "log-format", env = "LANEBENCH_LOG_FORMAT", value_enum, default_value_t)]
    pub(super) format: LogFormat,
}

/// Sends logs to stderr. `default` is what is shown where the environment says nothing.
pub(super) fn init(default: LevelFilter, format: LogFormat) {
    let asked = std::env::var("LANEBENCH_LOG").ok().filter(|text| !text.trim().is_empty());
    let (targets, fault) = match asked.as_deref().map(str::parse::<Targets>) {
        None => (Targets::new().with_default(default), None),
        Some(Ok(targets)) => (targets, None),
        Some(Err(error)) => (Targets::new().with_default(default), Some(error)),
    };
    // sqlx quotes the value of each parameter of a URL that it doesn't know, `passwrod` as well.
    let targets = targets.with_target("sqlx_postgres::options", LevelFilter::OFF);
    let colour =
        std::env::var_os("NO_COLOR").is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Text => layer
            .with_ansi(colour)
            .event_format(Sparing::new(Format::default(), |n| {
                format!("  ({n} more like it since the last one shown)")
            }))
            .boxed(),
        LogFormat::Json => {
            super::out::tell_as_json();
            let format = Format::default().json();
            layer.json().with_ansi(false).event_format(Sparing::new(format, left_out_as_json)).boxed()
        }
    };
    tracing_subscriber::registry().with(targets).with(layer).init();
    if let Some(error) = fault {
        super::out::tell(&format!("warning: LANEBENCH_LOG is not understood and not heeded: {error}"));
    }
}

/// That so many were left out.
fn left_out_as_json(left_out: u64) -> String {
    super::out::json_line("WARN", &format!("{left_out} more like the one before since the last one shown"))
}

/// A format that leaves out what was said a moment ago, and tells how much it left out.
struct Sparing<F> {
    inner: F,
    /// The line that says so.
    tell: fn(u64) -> String,
    said: Mutex<HashMap<Subject, Said>>,
}

/// What makes two events the same: where they come from in the code, and what they are about. An error's words are no part of it,
/// since they name ports and offsets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject {
    callsite: Identifier,
    about: String,
}

struct Said {
    at: Instant,
    left_out: u64,
}

impl<F> Sparing<F> {
    fn new(inner: F, tell: fn(u64) -> String) -> Self {
        Self { inner, tell, said: Mutex::default() }
    }

    /// Whether to say it now, and if so how many like it were left out since the last; `None` to leave it out.
    fn turn(&self, subject: Subject, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = said.get_mut(&subject)
            && now.duration_since(last.at) < QUIET
        {
            last.left_out += 1;
            return None;
        }
        if said.len() >= MOST {
            said.clear();
        }
        Some(said.insert(subject, Said { at: now, left_out: 0 }).map_or(0, |last| last.left_out))
    }
}

impl<S, N, F> FormatEvent<S, N> for Sparing<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Who asks for more than warnings wants all of it.
        if *event.metadata().level() > tracing::Level::WARN {
            return self.inner.format_event(context, writer, event);
        }
        let mut about = About::default();
        event.record(&mut about);
        let subject = Subject { callsite: event.metadata().callsite(), about: about.0 };
        let Some(left_out) = self.turn(subject, Instant::now()) else {
            return Ok(());
        };
        self.inner.format_event(context, writer.by_ref(), event)?;
        if left_out > 0 {
            writeln!(writer, "{}", (self.tell)(left_out))?;
        }
        Ok(())
    }
}

/// The fields that say what an event is about.
#[derive(Default)]
struct About(String);

impl Visit for About {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), "consumer" | "component" | "partition" | "topic" | "group" | "node") {
            use fmt::Write as _;
            let _ = write!(self.0, "{}={value:?} ", field.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(events: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .event_format(Sparing::new(Format::default(), |_| String::new()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_was_left_out_is_an_object_as_well() {
        let line: serde_json::Value = serde_json::from_str(&left_out_as_json(7)).unwrap();
        assert_eq!((&line["level"], &line["target"]), (&"WARN".into(), &"lanebench".into()));
        assert!(line["fields"]["message"].as_str().unwrap().starts_with("7 more"), "{line}");
    }

    #[test]
    fn the_same_warning_is_said_once_in_a_while_and_another_at_once() {
        let text = logged(|| {
            for attempt in 0..50 {
                for consumer in ["consumer-0", "consumer-1"] {
                    tracing::warn!(consumer, part = "store", attempt, "attempt failed");
                }
                tracing::info!(attempt, "all of it");
            }
            tracing::warn!(consumer = "consumer-0", part = "view", "attempt failed");
        });
        let lines = |word: &str| text.lines().filter(|line| line.contains(word)).count();
        assert_eq!((lines("WARN"), lines("INFO")), (3, 50), "{text}");
    }

    #[test]
    fn what_was_left_out_is_counted_when_it_is_said_again() {
        let sparing = Sparing::new((), |_| String::new());
        let (subject, begin) = (
            |about: &str| Subject {
                callsite: {
                    static META: tracing::Metadata<'static> = tracing::Metadata::new(
                        "event",
                        "here",
                        tracing::Level::WARN,
                        None,
                        None,
                        None,
                        tracing::field::FieldSet::new(&[], Identifier(&CALLSITE)),
                        tracing::metadata::Kind::EVENT,
                    );
                    static CALLSITE: tracing::callsite::DefaultCallsite =
                        tracing::callsite::DefaultCallsite::new(&META);
                    Identifier(&CALLSITE)
                },
                about: about.into(),
            },
            Instant::now(),
        );
        let at = |ms: u64| begin + Duration::from_millis(ms);
        assert_eq!(sparing.turn(subject("a"), at(0)), Some(0));
        assert_eq!(sparing.turn(subject("b"), at(1)), Some(0), "another one");
        assert_eq!(sparing.turn(subject("a"), at(2)), None);
        assert_eq!(sparing.turn(subject("a"), at(9_999)), None);
        assert_eq!(sparing.turn(subject("a"), at(10_000)), Some(2));
        assert_eq!(sparing.turn(subject("a"), at(20_000)), Some(0));
        for n in 0..10_000 {
            sparing.turn(subject(&n.to_string()), at(20_001));
        }
        assert!(sparing.said.lock().unwrap().len() <= MOST);
    }
}
