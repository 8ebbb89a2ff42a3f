//! `lanebench serve`: the service over HTTP, with its consumers, on any stack.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use payment_delivery::api::{self, Limits, Token};
use payment_delivery::consumer::Mode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::exit::Exit;
use super::interrupt;
use super::logs::LogFlags;
use super::out::{UsageError, print, tell};
use super::place::{Needs, PlaceFlags};
use super::secret::from_environment_or;
use super::values::{ReaderFlag, duration};
use crate::serve::{self, ServeError, Settings};
use crate::stack::StackKind;

const EXAMPLES: &str = "\
It stops at Ctrl-C or SIGTERM: it accepts nothing more, finishes what is in hand, drains its
consumers, and exits with 0. A second Ctrl-C ends it at once (130).

Examples:
  lanebench serve                              a demonstration on http://127.0.0.1:8080; needs nothing
  lanebench serve --stack native               real Kafka, PostgreSQL and Redis, started here
  lanebench serve --stack external --create    a team's own, by LANEBENCH_BOOTSTRAP and the like
  lanebench serve --check                      is one there, and ready? exit code 0 or 1
  lanebench serve --print openapi              what it offers; --print postman: a collection";

/// How long `--check` waits for an answer.
const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// Serve payments and deliveries over HTTP, until Ctrl-C or SIGTERM.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    #[command(flatten)]
    place: PlaceFlags,
    /// Address and port to listen on; anything but loopback needs a token, or --no-auth
    #[arg(long, env = "LANEBENCH_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Consumers in this process; 0 where other processes work
    #[arg(long, env = "LANEBENCH_CONSUMERS", default_value_t = 3)]
    consumers: u16,
    /// How each consumer works through its events: record (one at a time), batch (what is at hand, in one transaction) or keyed64 (64 orders at once)
    #[arg(long, env = "LANEBENCH_MODE", default_value_t)]
    mode: Mode,
    /// Partitions of a topic that is created here
    #[arg(long, env = "LANEBENCH_PARTITIONS", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// The topic that payments go to
    #[arg(long, env = "LANEBENCH_TOPIC", default_value = "payment-completed")]
    topic: String,
    /// The consumer group that delivers them
    #[arg(long, env = "LANEBENCH_GROUP", default_value = "deliveries")]
    group: String,
    /// Create the topic and its dead-letter topic on an external stack if they are missing
    #[arg(long, env = "LANEBENCH_CREATE", value_parser = clap::builder::FalseyValueParser::new())]
    create: bool,
    /// PostgreSQL schema of the tables
    #[arg(long, env = "LANEBENCH_SCHEMA", default_value = "payment_delivery")]
    schema: String,
    /// What the statuses' keys begin with
    #[arg(long, env = "LANEBENCH_KEY_PREFIX", default_value = "")]
    key_prefix: String,
    /// Who reads the topic for the consumers in this process
    #[arg(long, env = "LANEBENCH_READER", value_enum, default_value_t = ReaderFlag::Rskafka)]
    reader: ReaderFlag,
    /// Name of this instance, the same after a restart [default: host name and port]
    #[arg(long, env = "LANEBENCH_INSTANCE")]
    instance: Option<String>,
    /// File with the token that clients must show; or set LANEBENCH_API_TOKEN
    #[arg(long, env = "LANEBENCH_API_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Listen beyond loopback without a token
    #[arg(long)]
    no_auth: bool,
    #[command(flatten)]
    pub(super) logs: LogFlags,
    #[command(flatten)]
    limits: LimitFlags,
    /// Ask a service that listens there whether it is ready, and exit with 0 or 1
    #[arg(long, conflicts_with = "print")]
    check: bool,
    /// Print a description of what it offers, and exit
    #[arg(long)]
    print: Option<Description>,
}

/// Descriptions of the API.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Description {
    /// OpenAPI 3.1.
    Openapi,
    /// A collection for Postman, format 2.1.
    Postman,
}

/// What clients may ask of it. The defaults are those of [`Limits`], which a test compares.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
struct LimitFlags {
    /// Largest request body in bytes; beyond it 413
    #[arg(long, env = "LANEBENCH_MAX_BODY_BYTES", default_value_t = 65_536)]
    max_body_bytes: usize,
    /// Largest request line and headers in bytes, at least 8192; beyond it 431
    #[arg(long, env = "LANEBENCH_MAX_HEADER_BYTES", default_value_t = 16_384)]
    max_header_bytes: usize,
    /// How long headers may take, and an idle connection is kept; then it is closed
    #[arg(long, env = "LANEBENCH_HEADER_TIMEOUT", default_value = "10s", value_parser = duration)]
    header_timeout: Duration,
    /// How long a body may take; then 408
    #[arg(long, env = "LANEBENCH_BODY_TIMEOUT", default_value = "10s", value_parser = duration)]
    body_timeout: Duration,
    /// How long a request may take once its body is there; then 503
    #[arg(long, env = "LANEBENCH_REQUEST_TIMEOUT", default_value = "10s", value_parser = duration)]
    request_timeout: Duration,
    /// How long a client may leave an answer unread; then the connection is closed
    #[arg(long, env = "LANEBENCH_WRITE_TIMEOUT", default_value = "10s", value_parser = duration)]
    write_timeout: Duration,
    /// Connections at a time; one more is answered 503 and closed
    #[arg(long, env = "LANEBENCH_MAX_CONNECTIONS", default_value_t = 512)]
    max_connections: usize,
    /// Payments at a time, and as many other requests beside them; one more is answered 503
    #[arg(long, env = "LANEBENCH_MAX_REQUESTS", default_value_t = 256)]
    max_requests: usize,
    /// How long a stop waits for what is in hand
    #[arg(long, env = "LANEBENCH_DRAIN", default_value = "10s", value_parser = duration)]
    drain: Duration,
}

impl From<&LimitFlags> for Limits {
    fn from(flags: &LimitFlags) -> Self {
        Self {
            body_bytes: flags.max_body_bytes,
            header_bytes: flags.max_header_bytes,
            header_timeout: flags.header_timeout,
            body_timeout: flags.body_timeout,
            request_timeout: flags.request_timeout,
            write_timeout: flags.write_timeout,
            connections: flags.max_connections,
            requests: flags.max_requests,
            drain: flags.drain,
        }
    }
}

/// Runs until `cancel`; the exit code is 0 if it served until it was told to stop.
///
/// # Errors
/// [`ServeError`] and [`crate::stack::StackError`], whose hints say what to do, or bad usage.
pub async fn run(args: ServeArgs, cancel: CancellationToken) -> anyhow::Result<Exit> {
    match args.print {
        Some(Description::Openapi) => return print(&api::openapi_json()).map(|()| Exit::Held),
        Some(Description::Postman) => return print(&api::postman_json()).map(|()| Exit::Held),
        None if args.check => return check(args.listen).await,
        None => {}
    }
    args.place.fit()?;
    let external = args.place.external(&[])?;
    let (replication, min_isr) = args.place.replicas()?;
    let token = args.token()?;
    let listen = |cause| ServeError::Listen { address: args.listen.to_string(), cause };
    // Before anything is started: is the port free?
    let listener = TcpListener::bind(args.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let console = Console::new(false);
    let Some(stack) = args.place.start(external, Needs::default(), &console, &cancel).await? else {
        return Ok(Exit::Interrupted);
    };
    drop(console);
    let settings = Settings {
        topic: args.topic,
        group: args.group,
        consumers: args.consumers,
        mode: args.mode,
        partitions: args.partitions,
        replication,
        min_isr,
        create: args.create || args.place.stack != StackKind::External,
        schema: args.schema,
        key_prefix: args.key_prefix,
        instance: args.instance.unwrap_or_else(|| format!("{}:{}", host_name(), address.port())),
        reader: args.reader.into(),
        limits: (&args.limits).into(),
    };
    let welcome = welcome(args.place.stack, address, &settings, token.is_some());
    let place = stack.target();
    let ready = || tell(&welcome);
    let serving = Box::pin(serve::run(listener, &place, settings, token, ready, cancel.clone()));
    let ended = tokio::select! {
        ended = serving => ended,
        pressed = interrupt::again(&cancel) => {
            pressed?;
            tell("interrupted again: ended at once; what was accepted is kept, and sent at the next start");
            stack.stop().await;
            return Ok(Exit::Interrupted);
        }
    };
    tell("stopping");
    stack.stop().await;
    ended?;
    Ok(Exit::Held)
}

impl ServeArgs {
    /// The token, from the environment or a file; none is an error where others than this machine can ask.
    fn token(&self) -> anyhow::Result<Option<Token>> {
        // Not a flag: it would be seen in `ps`, and clap would print it in an error.
        let given = from_environment_or("LANEBENCH_API_TOKEN", self.token_file.as_deref())?;
        let token = given.map(|given| Token::new(given.expose())).transpose().map_err(|error| {
            UsageError { what: error.to_string(), hint: "make one with `openssl rand -hex 32`".into() }
        })?;
        if token.is_none() && !self.no_auth && !self.listen.ip().is_loopback() {
            return Err(UsageError {
                what: format!("{} can be reached from other machines, and there is no token", self.listen),
                hint: "set LANEBENCH_API_TOKEN or give --token-file; --no-auth serves everybody".into(),
            }
            .into());
        }
        Ok(token)
    }
}

/// What it serves, and a line to try.
fn welcome(stack: StackKind, address: SocketAddr, settings: &Settings, token: bool) -> String {
    let Settings { topic, group, consumers, .. } = settings;
    let url = format!("http://{}", reachable(address));
    let header = if token { " -H \"Authorization: Bearer $LANEBENCH_API_TOKEN\"" } else { "" };
    let opening = match stack {
        StackKind::Embedded => {
            "DEMONSTRATION: broker and statuses in this process, rows in a temporary file; all of it ends with it\n"
        }
        _ => "",
    };
    let noun = if *consumers == 1 { "consumer" } else { "consumers" };
    format!(
        "{opening}serving {url} on the {stack} stack: topic {topic}, {consumers} {noun} of group {group}; Ctrl-C stops\n\
         try:\n  curl -i{header} -H 'Content-Type: application/json' {url}/payments \\\n    \
         -d '{{\"orderId\":\"order-1\",\"amountMinor\":1999,\"currency\":\"EUR\",\"address\":\"Hauptstraße 1, Köln\"}}'\n  \
         curl{header} {url}/deliveries/order-1\n  curl{header} {url}/orders/order-1/events\n\
         all of it: {url}/openapi.json"
    )
}

/// An address by which this machine reaches what listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Asks for readiness; what is away is said on stderr.
async fn check(listen: SocketAddr) -> anyhow::Result<Exit> {
    let url = format!("http://{}/readyz", reachable(listen));
    let client = reqwest::Client::builder().no_proxy().timeout(CHECK_WITHIN).build()?;
    let answer = client.get(&url).send().await.map_err(reqwest::Error::without_url);
    let answer = answer.with_context(|| format!("nobody answers at {url}"))?;
    if answer.status().is_success() {
        tell("ready");
        return Ok(Exit::Held);
    }
    tell(&why_not_ready(&answer.json().await.unwrap_or_default()));
    Ok(Exit::CouldNotRun)
}

/// What `/readyz` said, and of each part that is away why, on a line each.
fn why_not_ready(problem: &serde_json::Value) -> String {
    let mut told = problem["detail"].as_str().unwrap_or("not ready").to_owned();
    for away in problem["errors"].as_array().into_iter().flatten() {
        let said = |field: &str| away[field].as_str().unwrap_or("?");
        told.push_str(&format!("\n  {}: {}", said("parameter"), said("detail")));
    }
    told
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".into() } else { name.trim().into() }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        serve: ServeArgs,
    }

    #[test]
    fn the_limits_of_the_command_line_are_the_documented_ones() {
        let line = Line::try_parse_from(["serve"]).unwrap();
        assert_eq!(Limits::from(&line.serve.limits), Limits::default());
        let line = Line::try_parse_from(["serve", "--max-requests", "7", "--drain", "3s"]).unwrap();
        let told = Limits { requests: 7, drain: Duration::from_secs(3), ..Limits::default() };
        assert_eq!(Limits::from(&line.serve.limits), told);
    }

    #[test]
    fn each_part_that_is_away_is_told_with_its_reason() {
        let problem = serde_json::json!({"detail": "not ready: store, view", "errors": [
            {"parameter": "store", "detail": "no answer within 2 s"},
            {"parameter": "view", "detail": "connection refused"},
        ]});
        let told = "not ready: store, view\n  store: no answer within 2 s\n  view: connection refused";
        assert_eq!(why_not_ready(&problem), told);
        assert_eq!(why_not_ready(&serde_json::Value::Null), "not ready", "another's answer");
    }

    #[test]
    fn what_listens_everywhere_is_reached_by_loopback() {
        let reached = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(reached("[::]:80"), "[::1]:80");
        assert_eq!(reached("10.0.0.7:80"), "10.0.0.7:80");
    }
}
