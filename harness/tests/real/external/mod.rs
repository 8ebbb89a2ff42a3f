//! `--stack external`: what it says when it may not, or can't be, and that it keeps to what is its own and keeps secrets.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use tokio::process::Command;

use crate::Case;
use crate::bed::{Bed, check};
use crate::tools::{psql, redis_cli, shown};

mod broker;
mod least;
mod ledger;
mod ours;
mod refused;
mod secrets;
mod tls;

pub(crate) fn cases() -> Vec<Case> {
    [refused::CASES, tls::CASES, ours::CASES, least::CASES, secrets::CASES].concat()
}

pub(crate) fn nightly() -> Vec<Case> {
    [tls::NIGHTLY, ours::NIGHTLY, least::NIGHTLY, secrets::NIGHTLY].concat()
}

/// What every refusal has to come within.
const WITHIN: Duration = Duration::from_secs(15);

/// A password with whatever a URL wants encoded; no other text of ours has it.
const SECRET: &str = "S3cr#t/W%rd&é=?";
/// The same, percent-encoded.
const SECRET_ENCODED: &str = "S3cr%23t%2FW%25rd%26%C3%A9%3D%3F";
/// The beginning of both.
const SECRET_BEGINS: &str = "S3cr";

/// Flags of `compare` for a run that ends soon; the backlog's size is each test's own.
const SHORT: [&str; 10] =
    ["--configs", "1p1c", "--rounds", "1", "--no-surge", "--no-warm-up", "--rate", "500", "--duration", "1s"];

/// Addresses of an external stack.
#[derive(Clone)]
struct At {
    bootstrap: String,
    database_url: String,
    redis_url: String,
}

impl At {
    /// The shared stack, as it is.
    fn shared(bed: &Bed) -> Self {
        let endpoints = bed.endpoints();
        Self {
            bootstrap: endpoints.bootstrap.join(","),
            database_url: endpoints.database_url.replace("?sslmode=disable", ""),
            redis_url: endpoints.redis_url.clone(),
        }
    }

    fn bootstrap(&self, bootstrap: &str) -> Self {
        Self { bootstrap: bootstrap.into(), ..self.clone() }
    }

    fn database(&self, database_url: &str) -> Self {
        Self { database_url: database_url.into(), ..self.clone() }
    }

    fn redis(&self, redis_url: &str) -> Self {
        Self { redis_url: redis_url.into(), ..self.clone() }
    }

    /// `lanebench ARGUMENTS --stack external` at these addresses.
    fn lanebench(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command
            .args(["--stack", "external"])
            .env("LANEBENCH_BOOTSTRAP", &self.bootstrap)
            .env("LANEBENCH_DATABASE_URL", &self.database_url)
            .env("LANEBENCH_REDIS_URL", &self.redis_url);
        command
    }

    /// Fails unless `stack check` refuses in time, with exit code 1, a hint, and all of `says`.
    async fn refused(&self, says: &[&str]) -> Result<(), Failed> {
        self.refused_with(&[], says).await
    }

    async fn refused_with(&self, flags: &[&str], says: &[&str]) -> Result<(), Failed> {
        let mut command = self.lanebench(&["stack", "check"]);
        command.args(flags);
        refuses(command, 1, says).await.map(drop)
    }

    /// Fails unless `stack check` finds everything there and allowed.
    async fn accepted(&self, flags: &[&str]) -> Result<Output, Failed> {
        let output = self.lanebench(&["stack", "check"]).args(flags).output().await?;
        check(output.status.code() == Some(0), shown(&output))?;
        Ok(output)
    }
}

/// `lanebench` that knows of no server.
fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LANEBENCH_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

/// Fails unless it refuses in time, with this exit code, a hint, all of `says`, and no secret.
async fn refuses(mut command: Command, exit: i32, says: &[&str]) -> Result<Output, Failed> {
    let begun = Instant::now();
    let output = command.output().await?;
    let (took, told) = (begun.elapsed(), shown(&output));
    check(took < WITHIN, format!("it took {took:?}: {told}"))?;
    check(output.status.code() == Some(exit), format!("exit {exit} was expected: {told}"))?;
    check(told.contains("\nhint: "), format!("no hint: {told}"))?;
    for part in says {
        check(told.contains(part), format!("`{part}` is not in: {told}"))?;
    }
    check(!told.contains(SECRET_BEGINS), format!("the secret is in: {told}"))?;
    ledger::refusal(&told, took)?;
    Ok(output)
}

/// The scheme, the login and the rest of the shared database's URL, and the same with another login.
fn login(url: &str, user: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{user}:{password}@{host}")
}

/// Several statements, one after the other: some can't share a transaction.
async fn sql(bed: &Bed, statements: &[&str]) -> Result<(), Failed> {
    for statement in statements {
        psql(bed, statement).await?;
    }
    Ok(())
}

/// A command of Redis, its words separated by blanks.
async fn redis(bed: &Bed, words: &str) -> Result<String, Failed> {
    let words: Vec<&str> = words.split(' ').collect();
    let answer = redis_cli(bed, &words).await?;
    check(!answer.starts_with("ERR") && !answer.starts_with("(error)"), format!("{words:?}: {answer}"))?;
    Ok(answer)
}
