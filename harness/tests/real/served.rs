//! `lanebench serve` as a process on the real components: what it answers, and what it writes to stderr.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Client;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

use crate::bed::{Field, check, until};

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// A service on a field, with three consumers. Killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
    client: Client,
    stderr: NamedTempFile,
}

impl Served {
    /// One that is ready, on a free address.
    pub(crate) async fn start(field: &Field) -> Result<Self, Failed> {
        // Free a moment ago: the listener is gone by the end of this line.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        Self::at(field, &address).await
    }

    /// One that is ready, on this address.
    pub(crate) async fn at(field: &Field, address: &str) -> Result<Self, Failed> {
        let stderr = NamedTempFile::new()?;
        let child = Command::new(env!("CARGO_BIN_EXE_lanebench"))
            .args(["serve", "--stack", "external", "--listen", address])
            .env("LANEBENCH_BOOTSTRAP", field.endpoints.bootstrap.join(","))
            .env("LANEBENCH_DATABASE_URL", &field.endpoints.database_url)
            .env("LANEBENCH_REDIS_URL", &field.endpoints.redis_url)
            .env("LANEBENCH_TOPIC", &field.topic)
            .env("LANEBENCH_GROUP", &field.group)
            .env("LANEBENCH_SCHEMA", &field.name)
            .env("LANEBENCH_KEY_PREFIX", format!("{}:", field.name))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stderr(stderr.reopen()?)
            .kill_on_drop(true)
            .spawn()?;
        let client = client()?;
        let mut served = Self { child, address: address.to_owned(), client, stderr };
        until(STARTS_WITHIN, "the service is not ready", async || {
            if let Some(status) = served.child.try_wait()? {
                return Err(format!("the service ended: {status}: {}", served.told()?).into());
            }
            Ok(served.get("/readyz").await.is_ok_and(|(status, _)| status == 200))
        })
        .await?;
        Ok(served)
    }

    /// Status and body of an answer.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Value), Failed> {
        let answer = self.client.get(format!("http://{}{path}", self.address)).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// The figures, as text.
    pub(crate) async fn metrics(&self) -> Result<String, Failed> {
        Ok(self.client.get(format!("http://{}/metrics", self.address)).send().await?.text().await?)
    }

    /// What it wrote to stderr so far.
    pub(crate) fn told(&self) -> Result<String, Failed> {
        Ok(std::fs::read_to_string(self.stderr.path())?)
    }

    /// Waits until stderr has all of these words in one line.
    pub(crate) async fn tells(&self, within: Duration, words: &[&str]) -> Result<(), Failed> {
        let told = || -> Result<bool, Failed> {
            Ok(self.told()?.lines().any(|line| words.iter().all(|word| line.contains(word))))
        };
        let waited = until(within, "stderr does not say it", async || told()).await;
        waited.map_err(|_| {
            format!("no line of stderr has {words:?}: {}", self.told().unwrap_or_default()).into()
        })
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failed> {
        Ok(kill(Pid::from_raw(self.child.id().ok_or("it has ended")? as i32), signal)?)
    }

    /// Its exit code, once it has ended by itself.
    pub(crate) async fn ended(&mut self, within: Duration) -> Result<Option<i32>, Failed> {
        Ok(tokio::time::timeout(within, self.child.wait()).await.map_err(|_| "it goes on")??.code())
    }

    /// Stops it; it must end gracefully.
    pub(crate) async fn stop(mut self) -> Result<(), Failed> {
        self.signal(Signal::SIGTERM)?;
        let code = self.ended(STOPS_WITHIN).await?;
        check(code == Some(0), format!("it should stop gracefully: {code:?}"))
    }
}

/// A client with a bound on each request.
pub(crate) fn client() -> Result<Client, Failed> {
    Ok(Client::builder().no_proxy().timeout(Duration::from_secs(15)).build()?)
}
