//! Removal by label: of all that one project has at the daemon, and of what belongs to owners who were killed.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::models::ContainerSummaryStateEnum as State;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
};

use super::owner::{self, Owner};

/// The project that something belongs to: all that one start made.
pub(super) const PROJECT: &str = "lanebench.project";
/// The process that made it: an [`Owner`].
pub(super) const OWNER: &str = "lanebench.owner";
/// When, in seconds since 1970.
pub(super) const MADE: &str = "lanebench.made";

/// What can't be removed at once, as its removal is under way already or it is still in use, is tried again.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) containers: usize,
    pub(super) networks: usize,
}

type Labels = HashMap<String, String>;

/// Removes all that `project` has.
pub(super) async fn project(docker: &Docker, project: &str) -> Result<Swept, Error> {
    sweep(docker, &format!("{PROJECT}={project}"), |_, _| true).await
}

/// Removes what belongs to owners who are gone. Of what can't be told, nothing is touched.
pub(super) async fn dead(docker: &Docker) -> Result<Swept, Error> {
    let Ok(me) = Owner::me() else { return Ok(Swept::default()) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    sweep(docker, OWNER, |labels, running| abandoned(labels, running, &me, now)).await
}

/// Whether labels say that nobody owns it any more.
fn abandoned(labels: &Labels, running: bool, me: &Owner, now: Duration) -> bool {
    let owner = labels.get(OWNER).and_then(|label| label.parse::<Owner>().ok());
    let made = labels.get(MADE).and_then(|label| label.parse().ok()).map(Duration::from_secs);
    owner
        .zip(made)
        .is_some_and(|(owner, made)| owner::is_abandoned(&owner, me, now.saturating_sub(made), running))
}

/// Removes those of the containers, and then of the networks, with `label` (a name, or name=value) that `chosen` says; it is given
/// the labels, and whether it runs.
async fn sweep(docker: &Docker, label: &str, chosen: impl Fn(&Labels, bool) -> bool) -> Result<Swept, Error> {
    let mut containers = BTreeSet::new();
    let mut networks = BTreeSet::new();
    let mut refused = None;
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let left = (containers_of(docker, label, &chosen).await?, networks_of(docker, label, &chosen).await?);
        if left.0.is_empty() && left.1.is_empty() {
            return Ok(Swept { containers: containers.len(), networks: networks.len() });
        }
        // With its anonymous volumes: the images declare some for their data.
        let whole = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        for id in left.0 {
            refused = docker.remove_container(&id, Some(whole.clone())).await.err().or(refused);
            containers.insert(id);
        }
        for id in left.1 {
            refused = docker.remove_network(&id).await.err().or(refused);
            networks.insert(id);
        }
    }
    let left = "containers or networks are still there after their removal".to_owned();
    Err(refused.unwrap_or(Error::DockerStreamError { error: left }))
}

async fn containers_of(
    docker: &Docker,
    label: &str,
    chosen: impl Fn(&Labels, bool) -> bool,
) -> Result<Vec<String>, Error> {
    let options = ListContainersOptionsBuilder::new().all(true).filters(&by(label)).build();
    let found = docker.list_containers(Some(options)).await?;
    let chosen = found.into_iter().filter(|container| {
        let labels = container.labels.clone().unwrap_or_default();
        chosen(&labels, matches!(container.state, Some(State::RUNNING | State::PAUSED | State::RESTARTING)))
    });
    Ok(chosen.filter_map(|container| container.id).collect())
}

async fn networks_of(
    docker: &Docker,
    label: &str,
    chosen: impl Fn(&Labels, bool) -> bool,
) -> Result<Vec<String>, Error> {
    let options = ListNetworksOptionsBuilder::new().filters(&by(label)).build();
    let found = docker.list_networks(Some(options)).await?;
    // It does not run; while something in it does, Docker refuses to remove it.
    let chosen =
        found.into_iter().filter(|network| chosen(&network.labels.clone().unwrap_or_default(), false));
    Ok(chosen.filter_map(|network| network.id).collect())
}

fn by(label: &str) -> HashMap<String, Vec<String>> {
    [("label".to_owned(), vec![label.to_owned()])].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    #[track_caller]
    fn check(labels: &[(&str, &str)], expected: bool) {
        let me = Owner::me().unwrap();
        let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(abandoned(&labels, false, &me, NOW), expected, "{labels:?}");
    }

    #[test]
    fn only_what_says_whose_it_was_and_since_when_is_removed() {
        let me = Owner::me().unwrap().to_string();
        let gone = "1:1:another-boot:1";
        check(&[(OWNER, gone), (MADE, "1")], true);
        check(&[(OWNER, gone)], false);
        check(&[(OWNER, gone), (MADE, "yesterday")], false);
        check(&[(OWNER, "somebody"), (MADE, "1")], false);
        check(&[(MADE, "1")], false);
        check(&[(OWNER, &me), (MADE, "1")], false);
        // A clock that was set back makes nothing old.
        check(&[(OWNER, gone), (MADE, "1700009999")], false);
    }
}
