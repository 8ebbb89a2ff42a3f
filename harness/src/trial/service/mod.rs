//! The REST API in front of one trial's topic: events come in by it, and it is asked what became of them.
//!
//! It runs on threads of its own, so that its CPU time is told apart, and speaks HTTP over the loopback interface: nothing
//! of it is left out but the network between machines.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::api::{self, Limits, Metrics, Service};
use payment_delivery::kafka::producer::ProducerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::RunError;
use crate::worker::ConsumerRuntime;
use crate::workspace::TrialWorkspace;

mod answers;

pub(super) use crate::load::client::Client;
pub(super) use answers::ask;

/// How long the service may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// The running service of one trial. Dropping it stops it.
pub(super) struct RunningService {
    client: Client,
    serving: JoinHandle<Result<(), api::ApiError>>,
    stop: CancellationToken,
    _stopped: DropGuard,
    _runtime: ConsumerRuntime,
}

impl RunningService {
    /// Starts it on a free port, with an empty table of accepted payments.
    pub(super) async fn start(place: &TrialWorkspace) -> Result<Self, RunError> {
        let (payments, store) = place.rows.service().await?;
        payments.prepare_payments().await?;
        payments.clear_payments().await?;
        let service = Service {
            bootstrap: place.bootstrap.clone(),
            topic: place.topic.clone(),
            group: place.group.clone(),
            instance: place.topic.clone(),
            payments,
            store,
            view: place.statuses.consumer().await?,
            metrics: Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), env!("LANEBENCH_COMMIT"))),
            // As `lanebench serve` has it: each payment waits for its own acknowledgement.
            producer: ProducerConfig { batch_interval: Duration::ZERO, ..ProducerConfig::default() },
        };
        let failed = |error: std::io::Error| RunError::Service(error.to_string());
        let runtime = ConsumerRuntime::of_api().map_err(failed)?;
        // Bound on the runtime that will serve it.
        let bound = runtime.handle().spawn(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = bound.await.map_err(std::io::Error::other).flatten().map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let run = api::run(listener, service, Limits::default(), None, stop.clone());
        let serving = runtime.handle().spawn(run);
        let client = Client::new(address).map_err(|error| RunError::Service(error.to_string()))?;
        let mut service =
            Self { client, serving, _stopped: stop.clone().drop_guard(), stop, _runtime: runtime };
        tokio::select! {
            answered = tokio::time::timeout(READY_WITHIN, service.client.alive()) => answered
                .map_err(|_| RunError::Service(format!("it did not answer within {} s", READY_WITHIN.as_secs())))?,
            ended = &mut service.serving => return Err(early(ended)),
        }
        Ok(service)
    }

    /// How it is spoken to.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Lets it finish what is in hand.
    pub(super) async fn stop(self) -> Result<(), RunError> {
        self.stop.cancel();
        match self.serving.await {
            Ok(Ok(())) => Ok(()),
            ended => Err(early(ended)),
        }
    }
}

fn early(ended: Result<Result<(), api::ApiError>, tokio::task::JoinError>) -> RunError {
    RunError::Service(match ended {
        Ok(Ok(())) => "it ended by itself".into(),
        Ok(Err(error)) => error.to_string(),
        Err(panicked) => panicked.to_string(),
    })
}
