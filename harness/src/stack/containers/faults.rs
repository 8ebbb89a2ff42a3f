//! What breaks a container, as `docker kill`, `docker pause` and `docker network disconnect` do, and what mends it.

use std::time::Duration;

use testcontainers::bollard::errors::Error;
use testcontainers::bollard::models::{NetworkConnectRequest, NetworkDisconnectRequest};
use testcontainers::bollard::query_parameters::KillContainerOptions;

use super::project::Project;
use crate::scenario::Action;
use crate::stack::process::POLL;
use crate::stack::{Component, StackError};

/// A container that is killed is gone within this, or there is something wrong with the daemon.
const GONE_WITHIN: Duration = Duration::from_secs(20);

impl Project {
    /// Breaks a container. What is killed has ended when this returns.
    pub(super) async fn break_down(&self, component: Component, how: Action) -> Result<(), StackError> {
        let (docker, name, network) = (self.daemon.docker(), self.host_of(component), self.name.clone());
        let doing = match how {
            Action::Kill => "kill",
            Action::Pause => "pause",
            Action::Disconnect => "cut off",
            _ => return Ok(()), // by its own commands
        };
        let broken = async move {
            match how {
                Action::Kill => {
                    let options = KillContainerOptions { signal: "KILL".into() };
                    docker.kill_container(&name, Some(options)).await?;
                    let ended = async {
                        while docker
                            .inspect_container(&name, None)
                            .await?
                            .state
                            .and_then(|state| state.running)
                            == Some(true)
                        {
                            tokio::time::sleep(POLL).await;
                        }
                        Ok::<_, Error>(())
                    };
                    tokio::time::timeout(GONE_WITHIN, ended).await.unwrap_or(Ok(()))
                }
                Action::Pause => docker.pause_container(&name).await,
                _ => {
                    let request = NetworkDisconnectRequest { container: name, force: Some(true) };
                    docker.disconnect_network(&network, request).await
                }
            }
        };
        self.daemon.ask(format!("{doing} the container of {component}"), broken).await
    }

    /// Lets a container that was paused go on. Nobody waits for it: whoever asks whether it answers does.
    pub(super) fn thaw(&self, component: Component) {
        let (docker, name) = (self.daemon.docker(), self.host_of(component));
        self.daemon.handle().spawn(async move { docker.unpause_container(&name).await });
    }

    /// Starts what was killed again, or puts back into the network what was cut off.
    pub(super) async fn mend(&self, component: Component, how: Action) -> Result<(), StackError> {
        let (docker, name, network) = (self.daemon.docker(), self.host_of(component), self.name.clone());
        let mended = async move {
            match how {
                Action::Kill => docker.start_container(&name, None).await,
                Action::Disconnect => {
                    let request =
                        NetworkConnectRequest { container: name, ..NetworkConnectRequest::default() };
                    docker.connect_network(&network, request).await
                }
                _ => Ok(()),
            }
        };
        self.daemon.ask(format!("bring the container of {component} back"), mended).await
    }
}
