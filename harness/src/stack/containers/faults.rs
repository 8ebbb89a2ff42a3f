//! What breaks a container, as `docker kill`, `docker pause` and `docker network disconnect` do, and what mends it.

use std::time::{Duration, Instant};

use testcontainers::bollard::models::{ContainerState, NetworkConnectRequest, NetworkDisconnectRequest};
use testcontainers::bollard::query_parameters::KillContainerOptions;

use super::project::Project;
use crate::scenario::Action;
use crate::stack::process::POLL;
use crate::stack::{Component, StackError};

/// A container that is killed is gone within this, and one that is let go on goes on, or there is something wrong with the daemon.
const CHANGED_WITHIN: Duration = Duration::from_secs(20);

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
        let acted = async move {
            match how {
                Action::Kill => {
                    let options = KillContainerOptions { signal: "KILL".into() };
                    docker.kill_container(&name, Some(options)).await
                }
                Action::Pause => docker.pause_container(&name).await,
                _ => {
                    let request = NetworkDisconnectRequest { container: name, force: Some(true) };
                    docker.disconnect_network(&network, request).await
                }
            }
        };
        self.daemon.ask(format!("{doing} the container of {component}"), acted).await?;
        if how == Action::Kill {
            self.until_state(component, "it still runs", |state| state.running != Some(true)).await?;
        }
        Ok(())
    }

    /// Waits until a container is as it should be; `lacks` says what it is if it never comes to that.
    async fn until_state(
        &self,
        component: Component,
        lacks: &str,
        holds: impl Fn(&ContainerState) -> bool,
    ) -> Result<(), StackError> {
        let begun = Instant::now();
        loop {
            let (docker, name) = (self.daemon.docker(), self.host_of(component));
            let look = async move { docker.inspect_container(&name, None).await };
            let doing = format!("say how the container of {component} is");
            let state = self.daemon.ask(doing.clone(), look).await?.state.unwrap_or_default();
            if holds(&state) {
                return Ok(());
            }
            if begun.elapsed() > CHANGED_WITHIN {
                return Err(StackError::Docker { doing, reason: lacks.to_owned() });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Lets a container that was paused go on. Nobody waits for it here: [`Project::mend`] does.
    pub(super) fn thaw(&self, component: Component) {
        let (docker, name) = (self.daemon.docker(), self.host_of(component));
        self.daemon.handle().spawn(async move { docker.unpause_container(&name).await });
    }

    /// Starts what was killed again, puts back into the network what was cut off, and sees to it that what was paused goes on.
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
        self.daemon.ask(format!("bring the container of {component} back"), mended).await?;
        if how == Action::Pause {
            self.until_state(component, "it is still paused", |state| state.paused != Some(true)).await?;
        }
        Ok(())
    }
}
