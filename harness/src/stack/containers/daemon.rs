//! The connection to the Docker daemon.
//!
//! All that is said to it is said on threads of their own: so removal works from wherever a stack is dropped, on a runtime that is
//! ending or on none, and a request goes on when whoever asked has stopped waiting. A container that is half made when Ctrl-C comes
//! would otherwise be made by the daemon all the same, after the tidying up.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::time::Duration;

use testcontainers::bollard::Docker;
use testcontainers::core::client::docker_client_instance;
use tokio::runtime::{Handle, Runtime};

use crate::stack::StackError;

/// For a first answer.
const REACH_LIMIT: Duration = Duration::from_secs(10);

/// For any other; a start of a container on a busy machine takes seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A daemon that has answered.
pub(super) struct Daemon {
    runtime: Option<Runtime>,
    handle: Handle,
    docker: Docker,
    version: String,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Daemon {
    /// Finds it by DOCKER_HOST, or at its usual sockets, and asks its version.
    pub(super) async fn reach() -> Result<Self, StackError> {
        let host = host();
        if !is_local(&host) {
            return Err(StackError::DockerElsewhere { host });
        }
        let failed = |reason: String| StackError::NoDocker { host: host.clone(), reason };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("docker")
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let handle = runtime.handle().clone();
        // Shut down in the background whatever comes: a runtime must not be dropped by a task of another.
        let runtime = Background(Some(runtime));
        let asked = handle.spawn(async {
            let docker = docker_client_instance().await.map_err(|error| said(&error))?;
            let version = docker.version().await.map_err(|error| said(&error))?;
            Ok::<_, String>((docker, version.version.unwrap_or_default()))
        });
        let answer = tokio::time::timeout(REACH_LIMIT, asked)
            .await
            .map_err(|_| failed(format!("no answer within {} s", REACH_LIMIT.as_secs())))?;
        let (docker, version) = answer.map_err(|error| failed(error.to_string()))?.map_err(failed)?;
        Ok(Self { runtime: runtime.keep(), handle, docker, version })
    }

    /// Docker's API.
    pub(super) fn docker(&self) -> Docker {
        self.docker.clone()
    }

    /// As the daemon says.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// The threads on which it is spoken to.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Puts a question to it. `doing` completes "Docker could not …".
    pub(super) async fn ask<T: Send + 'static, E: std::error::Error + Send + 'static>(
        &self,
        doing: impl Display,
        question: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, StackError> {
        self.ask_within(ANSWER_LIMIT, doing, question).await
    }

    /// The same with a limit of its own.
    pub(super) async fn ask_within<T: Send + 'static, E: std::error::Error + Send + 'static>(
        &self,
        limit: Duration,
        doing: impl Display,
        question: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, StackError> {
        let asked = self.handle.spawn(async move { question.await.map_err(|error| said(&error)) });
        let reason = match tokio::time::timeout(limit, asked).await {
            Ok(Ok(Ok(answer))) => return Ok(answer),
            Ok(Ok(Err(reason))) => reason,
            Ok(Err(broken)) => broken.to_string(),
            Err(_) => format!("no answer within {} s", limit.as_secs()),
        };
        Err(StackError::Docker { doing: doing.to_string(), reason })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(Background(self.runtime.take()));
    }
}

/// A runtime that may be dropped anywhere.
struct Background(Option<Runtime>);

impl Background {
    fn keep(mut self) -> Option<Runtime> {
        self.0.take()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// An error with its causes, each once: some print their cause, and some keep it to themselves.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// Where the daemon is looked for, to say it in errors; which other sockets are tried is testcontainers' matter.
fn host() -> String {
    std::env::var("DOCKER_HOST")
        .ok()
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
}

/// Whether ports that the daemon publishes on its 127.0.0.1 are on ours. A name is not looked up: `localhost` is the one that counts.
fn is_local(host: &str) -> bool {
    let Some((scheme, rest)) = host.split_once("://") else {
        return true; // no address at all; whoever connects says so
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
    let loopback = |name: &str| name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    scheme == "unix" || name == "localhost" || name == "[::1]" || loopback(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, local: bool) {
        assert_eq!(is_local(host), local, "{host}");
    }

    #[test]
    fn a_socket_and_the_loopback_are_this_machine() {
        check("unix:///var/run/docker.sock", true);
        check("tcp://127.0.0.1:2375", true);
        check("http://localhost:2375/", true);
        check("tcp://[::1]:2375", true);
        check("tcp://build-7.example:2375", false);
        check("tcp://10.0.0.7:2376", false);
        check("tcp://127.0.0.1.example:2375", false);
    }
}
