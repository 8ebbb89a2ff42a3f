//! Kafka alone, without a store and a view: for what asks the broker only, as the conformance suite does.

use std::time::Duration;

use super::kafka::{self, BrokerJit, Kafka, NodePorts};
use super::ports::Reserved;
use super::process::{Deadline, Process};
use super::scratch::{self, Scratch};
use super::{StackError, programs};

/// Running Kafka nodes. Dropping them stops and removes everything, blocking the thread for as long as that takes.
#[derive(Debug)]
pub struct NativeBrokers {
    // In this order: processes before the directory they run in.
    kafka: Kafka,
    _scratch: Scratch,
}

impl NativeBrokers {
    /// Sweeps what killed runs left, then starts `nodes` nodes (1 or 3) on free ports and waits until each knows all.
    ///
    /// # Errors
    /// As [`NativeStack::start`](super::NativeStack::start); whatever was started is stopped before this returns.
    pub async fn start(nodes: usize, limit: Duration) -> Result<Self, StackError> {
        if ![1, 3].contains(&nodes) {
            return Err(StackError::Nodes { nodes });
        }
        let programs = kafka::Programs { java: programs::java()?, jars: programs::kafka()? };
        let temp = std::env::temp_dir();
        scratch::sweep(&temp).await;
        let attempt = || async {
            let ports = (0..nodes).map(|_| {
                Ok(NodePorts {
                    broker: Reserved::any("Kafka", "--kafka-port")?,
                    controller: Reserved::any("Kafka's controller", "--kafka-port")?,
                    proxied: None,
                })
            });
            let ports = ports.collect::<Result<_, StackError>>()?;
            let scratch = Scratch::create(&temp)?;
            let kafka =
                kafka::start(&programs, &scratch, ports, BrokerJit::C1, None, Deadline::after(limit)).await?;
            Ok::<_, StackError>(Self { kafka, _scratch: scratch })
        };
        match Box::pin(attempt()).await {
            Err(error) if error.is_lost_port_race() => Box::pin(attempt()).await,
            outcome => outcome,
        }
    }

    /// Broker addresses, `host:port`, by node.
    pub fn bootstrap(&self) -> &[String] {
        &self.kafka.bootstrap
    }

    /// Stops and removes everything, off the runtime's threads.
    pub async fn stop(self) {
        // It fails only if the runtime is shutting down, and then dropping has done it, or a panic says why not.
        if let Err(error) = tokio::task::spawn_blocking(move || drop(self)).await {
            tracing::error!(%error, "the brokers were not stopped properly");
        }
    }
}

impl Drop for NativeBrokers {
    fn drop(&mut self) {
        // All are asked before each is waited for, as the fields are dropped.
        self.kafka.nodes.iter().for_each(Process::ask_to_stop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_nodes_are_refused_before_anything_starts() {
        let error = NativeBrokers::start(2, Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(error, StackError::Nodes { nodes: 2 }), "{error}");
    }

    #[test]
    fn a_start_may_run_on_any_thread() {
        fn check<T: Send>(_: T) {}
        check(NativeBrokers::start(1, Duration::from_secs(1)));
    }
}
