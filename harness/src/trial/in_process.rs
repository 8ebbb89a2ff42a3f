//! The consumers of one trial, on threads of their own, so that their CPU time can be told from the harness's.

use std::sync::Arc;
use std::time::Duration;

use payment_delivery::consumer::{ConsumerConfig, Consumers, ProcessorDeps, ServiceTime};
use payment_delivery::probe::Probe;
use payment_delivery::store::DeliveryStore;
use payment_delivery::view::StatusView;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::contender::Lanes;
use crate::error::RunError;
use crate::worker::ConsumerRuntime;
use crate::workspace::TrialWorkspace;

/// Holds every consumer back from fetching until it is released.
#[derive(Clone)]
pub(super) struct FetchStart(watch::Sender<bool>);

impl FetchStart {
    /// One that holds, and what a consumer waits for.
    pub(super) fn held() -> (Self, watch::Receiver<bool>) {
        let (start, released) = watch::channel(false);
        (Self(start), released)
    }

    /// Whether it still holds.
    pub(super) fn is_held(&self) -> bool {
        !*self.0.borrow()
    }

    /// Lets all of them fetch.
    pub(super) fn release(&self) {
        self.0.send_replace(true);
    }
}

/// What all consumers of a trial share.
pub(super) struct ConsumerSettings {
    /// Modelled downstream call an event.
    pub(super) service_time: ServiceTime,
    /// Commit cadence.
    pub(super) commit_interval: Duration,
    /// They look at the topic so often; as they do by themselves where it is `None`.
    pub(super) looks_at_topic: Option<Duration>,
}

/// What is put around each consumer's store and view.
pub(super) struct Around<'a> {
    pub(super) store: &'a (dyn Fn(Arc<dyn DeliveryStore>) -> Arc<dyn DeliveryStore> + Sync),
    pub(super) view: &'a (dyn Fn(Arc<dyn StatusView>) -> Arc<dyn StatusView> + Sync),
}

/// The running consumers of one trial. Dropping them ends them without a goodbye.
pub(super) struct InProcessConsumers {
    fetch_start: FetchStart,
    stop: CancellationToken,
    consumers: Consumers,
}

impl InProcessConsumers {
    /// Starts the consumers, held back from fetching. Each has a connection to store and view of its own; `around` is put around its store and view.
    pub(super) async fn start(
        runtime: &ConsumerRuntime,
        place: &TrialWorkspace,
        lanes: Lanes,
        settings: &ConsumerSettings,
        probe: &Arc<dyn Probe>,
        around: &Around<'_>,
    ) -> Result<Self, RunError> {
        let (fetch_start, released) = FetchStart::held();
        let stop = CancellationToken::new();
        let mut consumers = Consumers::new(stop.clone());
        for index in 0..lanes.consumers {
            let opened =
                async { Ok::<_, RunError>((place.rows.consumer().await?, place.statuses.consumer().await?)) };
            let (store, view) = Box::pin(runtime.opening(opened)).await?;
            let (store, view) = ((around.store)(store), (around.view)(view));
            let parts = ProcessorDeps { store, view, probe: Arc::clone(probe) };
            let name = format!("consumer-{index}");
            let mut config = ConsumerConfig {
                mode: lanes.mode,
                service_time: settings.service_time,
                commit_interval: settings.commit_interval,
                ..ConsumerConfig::new(
                    name,
                    place.consumers_bootstrap.clone(),
                    place.topic.clone(),
                    place.group.clone(),
                )
            };
            config.group.metadata_max_age = settings.looks_at_topic.unwrap_or(config.group.metadata_max_age);
            consumers.start(runtime.handle(), config, parts, released.clone());
        }
        Ok(Self { fetch_start, stop, consumers })
    }

    /// What lets the consumers fetch.
    pub(super) fn fetch_start(&self) -> FetchStart {
        self.fetch_start.clone()
    }

    /// Resolves when a consumer ended by itself, which none should; never otherwise.
    pub(super) async fn failure(&mut self) -> RunError {
        self.consumers.failure().await.into()
    }

    /// Stops them gracefully: each finishes the message in hand, commits and leaves the group.
    pub(super) async fn stop(self) -> Result<(), RunError> {
        self.stop.cancel();
        Ok(self.consumers.all_ended().await?)
    }
}
