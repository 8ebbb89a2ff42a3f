//! The consumers of one trial, on threads of their own, so that their CPU time can be told from the harness's.

use std::sync::Arc;
use std::time::Duration;

use payment_delivery::mode::record::Parts;
use payment_delivery::probe::Probe;
use payment_delivery::worker::{Consumers, WorkerConfig};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ScenarioError;
use super::options::Lanes;
use super::site::TrialSite;
use crate::worker::LaneRuntime;

/// Holds every consumer's fetching back until it holds `true`.
pub(super) type Gate = watch::Sender<bool>;

/// What all consumers of a trial share.
pub(super) struct LaneSettings {
    /// Modelled downstream call an event.
    pub(super) service_time: Duration,
    /// Commit cadence.
    pub(super) commit_interval: Duration,
}

/// The running consumers of one trial. Dropping them ends them without a goodbye.
pub(super) struct RunningLanes {
    gate: Gate,
    stop: CancellationToken,
    consumers: Consumers,
}

impl RunningLanes {
    /// Starts the consumers, their fetch gate closed. Each has a connection to store and view of its own.
    pub(super) async fn start(
        runtime: &LaneRuntime,
        site: &TrialSite,
        lanes: Lanes,
        settings: &LaneSettings,
        probe: &Arc<dyn Probe>,
    ) -> Result<Self, ScenarioError> {
        let (gate, opened) = watch::channel(false);
        let stop = CancellationToken::new();
        let mut consumers = Consumers::new(stop.clone());
        for index in 0..lanes.consumers {
            let (store, view) = (site.rows.consumer().await?, site.statuses.consumer().await?);
            let parts = Parts { store, view, probe: Arc::clone(probe) };
            let name = format!("consumer-{index}");
            let config = WorkerConfig {
                service_time: settings.service_time,
                commit_interval: settings.commit_interval,
                ..WorkerConfig::new(name, site.bootstrap.clone(), site.topic.clone(), site.group.clone())
            };
            consumers.start(runtime.handle(), config, parts, opened.clone());
        }
        Ok(Self { gate, stop, consumers })
    }

    /// What lets the consumers fetch.
    pub(super) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Resolves when a consumer ended by itself, which none should; never otherwise.
    pub(super) async fn failure(&mut self) -> ScenarioError {
        self.consumers.failure().await.into()
    }

    /// Stops them gracefully: each finishes the message in hand, commits and leaves the group.
    pub(super) async fn stop(self) -> Result<(), ScenarioError> {
        self.stop.cancel();
        Ok(self.consumers.all_ended().await?)
    }
}
