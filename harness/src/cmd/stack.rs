//! `lanebench stack`: what a stack needs, one to hold and to play with, and where compose's is.

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Table;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

mod env;

use super::exit::Exit;
use super::out::{UsageError, print, tell};
use super::servers::ExternalFlags;
use crate::stack::{
    Backing, BrokerJit, C1_BIAS, ContainerOptions, ContainerStack, Facts, NativeOptions, NativeStack,
    Presence, Progress, Replicas, Requirement, Stack, StackError, StackKind, StackTarget, requirements,
};

/// How often a stack that is held is looked at.
const WATCH_PERIOD: std::time::Duration = std::time::Duration::from_secs(1);

/// Look at what a stack needs, or start one and hold it.
#[derive(Args)]
pub struct StackArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Check(CheckArgs),
    Up(UpArgs),
    Env(env::EnvArgs),
}

/// Say what a stack needs, what of it is there, and how to install the rest.
///
/// For `--stack external` it asks the broker, the store and the view at the given addresses, and whether a run may do there
/// what it has to; for `--stack containers` the Docker daemon, and for images that are not here their registry.
/// Exit code 0 if everything is there, 1 if not.
#[derive(Args)]
struct CheckArgs {
    /// Which stack.
    #[arg(long, value_enum, default_value_t = StackKind::Native)]
    stack: StackKind,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Replicas that topics on an external stack shall have.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i16).range(1..))]
    replication: i16,
    #[command(flatten)]
    external: ExternalFlags,
}

/// Start Kafka, PostgreSQL and Redis, print their addresses, and hold them until Ctrl-C or SIGTERM.
///
/// The addresses go to stdout as `LANEBENCH_…=…` lines, which other subcommands read from the environment. Data live in a
/// temporary directory and go with the stack. Exit code 0 when it was up and then stopped, 130 when interrupted
/// before, 1 when it could not start.
#[derive(Args, Debug)]
struct UpArgs {
    /// Which stack: native or containers.
    #[arg(long, value_enum, default_value_t = StackKind::Native)]
    stack: StackKind,
    /// Kafka nodes.
    #[arg(long, default_value = "1", value_parser = ["1", "3"])]
    nodes: String,
    /// How the native brokers' JVM compiles. [default: early]
    #[arg(long, value_enum)]
    broker_jit: Option<BrokerJit>,
    /// Port of the first broker; with three nodes the next two are used as well. [default: free ones]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    kafka_port: Option<u16>,
    /// Port of PostgreSQL. [default: a free one]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    postgres_port: Option<u16>,
    /// Port of Redis. [default: a free one]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    redis_port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// One JSON object.
    Json,
}

/// Runs it; returns the exit code.
///
/// # Errors
/// [`StackError`], whose `hint` says what to do, and what keeps stdout from being written.
pub async fn run(args: StackArgs, cancel: CancellationToken) -> anyhow::Result<Exit> {
    match args.action {
        Action::Check(args) => check(args, &cancel).await,
        Action::Up(args) => up(&args, cancel).await,
        Action::Env(args) => env::run(&args),
    }
}

async fn check(args: CheckArgs, cancel: &CancellationToken) -> anyhow::Result<Exit> {
    let CheckArgs { stack, format, replication, external } = args;
    let rows = match stack {
        StackKind::Embedded | StackKind::Native | StackKind::Containers => {
            requirements(stack).await.iter().map(Row::of_requirement).collect()
        }
        StackKind::External => {
            let replicas = Replicas { replication, min_isr: (replication - 1).max(1) };
            let connected = match external.external(replicas)?.check(cancel).await {
                Err(StackError::Interrupted) => return Ok(Exit::Interrupted),
                checked => checked?,
            };
            Row::of_facts(connected.facts(), connected.target())
        }
    };
    let report = Report { stack: stack.to_string(), ready: rows.iter().all(|row| row.present), parts: rows };
    let text = match format {
        Format::Text => report.text(),
        Format::Json => serde_json::to_string_pretty(&report).context("writing JSON")?,
    };
    print(&text)?;
    Ok(if report.ready { Exit::Held } else { Exit::CouldNotRun })
}

async fn up(args: &UpArgs, cancel: CancellationToken) -> anyhow::Result<Exit> {
    let stack = match start(args, cancel.clone()).await {
        Ok(stack) => stack,
        Err(error) if matches!(error.downcast_ref(), Some(StackError::Interrupted)) => {
            tell("interrupted; everything is stopped");
            return Ok(Exit::Interrupted);
        }
        Err(error) => return Err(error),
    };
    print(&shell_lines(&stack.target()))?;
    tell("up; Ctrl-C stops it");
    hold(&stack, &cancel).await;
    tell("stopping");
    stack.stop().await;
    Ok(Exit::Held)
}

async fn start(args: &UpArgs, cancel: CancellationToken) -> anyhow::Result<Stack> {
    let nodes = args.nodes.parse().context("--nodes")?;
    let UpArgs { kafka_port, postgres_port, redis_port, broker_jit, .. } = *args;
    let progress = |step: Progress| tell(&step.to_string());
    match args.stack {
        StackKind::Native => {
            let broker_jit = broker_jit.unwrap_or_default();
            if broker_jit == BrokerJit::C1 {
                tell(C1_BIAS);
            }
            let options = NativeOptions {
                nodes,
                kafka_port,
                postgres_port,
                redis_port,
                broker_jit,
                ..NativeOptions::default()
            };
            Ok(NativeStack::start(options, &progress, cancel).await?.into())
        }
        StackKind::Containers if broker_jit.is_some() => Err(UsageError {
            what: "`--broker-jit` is for the native stack; an image's JVM has its own settings".into(),
            hint: "leave `--broker-jit` out, or `--stack containers`".into(),
        }
        .into()),
        StackKind::Containers => {
            let options = ContainerOptions {
                nodes,
                kafka_port,
                postgres_port,
                redis_port,
                ..ContainerOptions::default()
            };
            Ok(ContainerStack::start(options, &progress, cancel).await?.into())
        }
        StackKind::Embedded | StackKind::External => Err(UsageError {
            what: format!("the {} stack is not one to hold up", args.stack),
            hint: "`--stack native` and `--stack containers` are; the embedded one lives within one run"
                .into(),
        }
        .into()),
    }
}

/// Waits for a signal. A part that ends is told, but ends nothing: it may have been ended to see what happens.
async fn hold(stack: &Stack, cancel: &CancellationToken) {
    let mut told = 0;
    while cancel.run_until_cancelled(tokio::time::sleep(WATCH_PERIOD)).await.is_some() {
        let ended = stack.ended().await;
        if ended.len() > told {
            told = ended.len();
            for (component, status) in ended {
                tell(&format!("warning: {component} has ended ({status})"));
            }
        }
    }
}

/// As a shell reads them: `eval "$(…)"`, or one line a variable. No address has a character that needs quotes.
fn shell_lines(place: &StackTarget) -> String {
    let mut lines = format!("LANEBENCH_BOOTSTRAP={}", place.bootstrap.join(","));
    if let Backing::Servers { database_url, redis_url, .. } = &place.backing {
        lines.push_str(&format!("\nLANEBENCH_DATABASE_URL={database_url}\nLANEBENCH_REDIS_URL={redis_url}"));
    }
    lines
}

/// What `check` found.
#[derive(Debug, Serialize)]
struct Report {
    stack: String,
    ready: bool,
    parts: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    purpose: &'static str,
    present: bool,
    version: Option<String>,
    /// Where it is, or why it is not.
    detail: String,
    install: Option<String>,
}

impl Row {
    fn of_requirement(requirement: &Requirement) -> Self {
        let (version, detail) = match &requirement.presence {
            Presence::Present { version, path } => (Some(version.clone()), path.clone()),
            Presence::Missing { reason } => (None, reason.clone()),
        };
        let present = requirement.is_present();
        Self {
            name: requirement.name.to_owned(),
            purpose: requirement.purpose,
            present,
            version,
            detail,
            install: (!present).then(|| requirement.install.clone()),
        }
    }

    /// All of them answered, and allow a run what it needs.
    fn of_facts(facts: &Facts, place: &StackTarget) -> Vec<Self> {
        let StackTarget { bootstrap, prefix, .. } = place;
        let noun = if facts.nodes == 1 { "broker" } else { "brokers" };
        let (nodes, bootstrap) = (facts.nodes, bootstrap.join(","));
        let topics =
            format!("{nodes} {noun}, by {bootstrap}; topics and groups {prefix}_* may be made and removed");
        let evicts = facts.view.evicts().map_or(String::new(), |(policy, bytes)| {
            format!("; it evicts keys once it holds {bytes} bytes ({policy}): a run may miss statuses")
        });
        [
            (&facts.kafka, "the broker", topics),
            (&facts.store, "the store", format!("a schema {prefix}_* may be made and removed")),
            (&facts.view, "the view", format!("keys {prefix}_* may be read, scripted and removed{evicts}")),
        ]
        .into_iter()
        .map(|(part, purpose, detail)| Self {
            name: part.name.to_owned(),
            purpose,
            present: true,
            version: part.version.clone(),
            detail,
            install: None,
        })
        .collect()
    }
}

impl Report {
    fn text(&self) -> String {
        if self.parts.is_empty() {
            return format!("`--stack {}` needs nothing beside this program", self.stack);
        }
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["part", "for", "state", "version", "where, or why not"]);
        for row in &self.parts {
            let state = if row.present { "present" } else { "MISSING" };
            let version = row.version.as_deref().unwrap_or("–");
            table.add_row([&row.name, row.purpose, state, version, &row.detail]);
        }
        let mut text = table.trim_fmt();
        let commands: Vec<_> = self.parts.iter().filter_map(|row| row.install.as_deref()).collect();
        if commands.is_empty() {
            text.push_str(&format!("\n\nready: `--stack {}` can be used", self.stack));
        } else {
            // What `ci/setup` installs is the native stack.
            let all_at_once =
                if self.stack == StackKind::Native.to_string() { " run `ci/setup`, or by hand" } else { "" };
            text.push_str(&format!("\n\nto install what is missing,{all_at_once}:"));
            for command in commands {
                text.push_str("\n    ");
                text.push_str(command);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Endpoints;

    fn requirement(presence: Presence) -> Requirement {
        Requirement {
            name: "Java",
            purpose: "runs Kafka",
            presence,
            install: "apt-get install default-jdk-headless".to_owned(),
        }
    }

    fn report(presence: Presence) -> Report {
        let row = Row::of_requirement(&requirement(presence));
        Report { stack: "native".to_owned(), ready: row.present, parts: vec![row] }
    }

    #[test]
    fn what_is_missing_comes_with_its_command() {
        let text = report(Presence::Missing { reason: "no `java` on PATH".to_owned() }).text();
        assert!(text.contains("MISSING"), "{text}");
        assert!(text.contains("no `java` on PATH"), "{text}");
        assert!(text.ends_with("by hand:\n    apt-get install default-jdk-headless"), "{text}");
    }

    #[test]
    fn what_is_there_comes_with_its_version_and_no_command() {
        let present = Presence::Present { version: "17.0.16".to_owned(), path: "/usr/bin/java".to_owned() };
        let report = report(present);
        let text = report.text();
        assert!(text.contains("17.0.16") && text.contains("/usr/bin/java"), "{text}");
        assert!(!text.contains("apt-get"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["ready"], true);
        assert_eq!(json["parts"][0]["install"], serde_json::Value::Null);
    }

    #[test]
    fn what_needs_nothing_says_so() {
        let report = Report { stack: "embedded".to_owned(), ready: true, parts: Vec::new() };
        assert_eq!(report.text(), "`--stack embedded` needs nothing beside this program");
    }

    #[test]
    fn the_addresses_are_lines_for_a_shell() {
        let endpoints = Endpoints {
            bootstrap: vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()],
            database_url: "postgres://lanebench:0af@127.0.0.1:3/postgres".to_owned(),
            redis_url: "redis://127.0.0.1:4".to_owned(),
        };
        assert_eq!(
            shell_lines(&(&endpoints).into()),
            "LANEBENCH_BOOTSTRAP=127.0.0.1:1,127.0.0.1:2\n\
             LANEBENCH_DATABASE_URL=postgres://lanebench:0af@127.0.0.1:3/postgres\n\
             LANEBENCH_REDIS_URL=redis://127.0.0.1:4"
        );
    }
}
