//! What a trial made on the stack and could not take back at once: tried again when the run ends, and told if it stays.

use std::fmt;
use std::time::Duration;

use super::RunWorkspace;
use super::statuses::Statuses;
use crate::error::RunError;

/// How long a run goes on trying at its end. A group whose last member was killed is not empty before its session ends.
const REMOVE_WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// Something of a trial's. Only what the run made is ever one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leftover {
    /// By its name.
    Topic(String),
    /// By its name.
    Group(String),
    /// By what their keys begin with.
    Statuses(String),
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Statuses(prefix) => write!(f, "keys {prefix}*"),
        }
    }
}

impl Leftover {
    /// Removes it. What is gone already counts as removed.
    pub(crate) async fn remove(&self, workspace: &RunWorkspace) -> Result<(), RunError> {
        match self {
            Self::Topic(name) => workspace.admin.delete_topic(name).await?,
            Self::Group(name) => workspace.admin.delete_group(name).await?,
            Self::Statuses(prefix) => {
                Statuses::open(&workspace.target, prefix.clone()).await?.own().clear().await?;
            }
        }
        Ok(())
    }

    /// Tries all of them until none is left or the time is up; what is left, with the last reason.
    pub(crate) async fn remove_all(
        mut leftovers: Vec<Self>,
        workspace: &RunWorkspace,
    ) -> Vec<(Self, String)> {
        let deadline = tokio::time::Instant::now() + REMOVE_WITHIN;
        let mut reasons = vec![format!("not removed within {} s", REMOVE_WITHIN.as_secs()); leftovers.len()];
        while !leftovers.is_empty() {
            let mut at = 0;
            while at < leftovers.len() {
                match tokio::time::timeout_at(deadline, leftovers[at].remove(workspace)).await {
                    Ok(Ok(())) => {
                        leftovers.remove(at);
                        reasons.remove(at);
                        continue;
                    }
                    Ok(Err(error)) => reasons[at] = error.to_string(),
                    Err(_) => {}
                }
                at += 1;
            }
            if tokio::time::Instant::now() + PAUSE >= deadline {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        leftovers.into_iter().zip(reasons).collect()
    }
}
