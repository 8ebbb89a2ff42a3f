//! Several consumers, each a task of its own.

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{ConsumerConfig, ConsumerError, ProcessorDeps, run};

/// Consumers at work. Dropping it ends them without a goodbye.
///
/// They are spawned here, so that the code of their tasks is compiled in this crate, for speed, whoever starts them.
#[derive(Debug)]
pub struct Consumers {
    running: JoinSet<Result<(), ConsumerError>>,
    stop: CancellationToken,
}

impl Consumers {
    /// None yet; `stop` will tell all of them to end gracefully.
    pub fn new(stop: CancellationToken) -> Self {
        Self { running: JoinSet::new(), stop }
    }

    /// Starts one on `runtime`; see [`run`].
    pub fn start(
        &mut self,
        runtime: &Handle,
        config: ConsumerConfig,
        deps: ProcessorDeps,
        fetch_start: watch::Receiver<bool>,
    ) {
        self.running.spawn_on(run(config, deps, fetch_start, self.stop.clone()), runtime);
    }

    /// Why one ended by itself, which none should. Pending while all work, and when all have ended. Cancel-safe.
    pub async fn failure(&mut self) -> ConsumerError {
        while let Some(ended) = self.ended().await {
            if let Err(error) = ended {
                return error;
            }
        }
        std::future::pending().await
    }

    /// Waits for all of them. Where one ends by itself, the others are told to stop.
    ///
    /// # Errors
    /// The first one's of [`run`], or [`ConsumerError::Panicked`]; others are logged.
    pub async fn all_ended(mut self) -> Result<(), ConsumerError> {
        let mut first = Ok(());
        while let Some(ended) = self.ended().await {
            let Err(error) = ended else { continue };
            self.stop.cancel();
            if first.is_ok() {
                first = Err(error);
            } else {
                tracing::error!(%error, "another consumer ended by itself");
            }
        }
        first
    }

    /// How the next one ended that ends; `None` when none is left.
    async fn ended(&mut self) -> Option<Result<(), ConsumerError>> {
        let ended = self.running.join_next().await?;
        Some(ended.unwrap_or_else(|error| Err(ConsumerError::Panicked { what: error.to_string() })))
    }
}
