//! A node's listener: one task that accepts, and one a connection below it.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::connection;
use super::error::BrokerError;
use super::shared::{HOST, Shared};

/// Connections of one node. What comes on top is closed at once: a client that leaks must not take the rest down.
const CONNECTIONS_MAX: usize = 2_000;
/// How long a restarted node tries for its old port, which a connection that is still closing may hold.
const BIND_ATTEMPTS: u32 = 50;
const BIND_PAUSE: Duration = Duration::from_millis(100);
/// After a failed accept, as when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds a port of the loopback interface; 0 takes any.
pub(super) async fn bind(node: i32, port: u16) -> Result<TcpListener, BrokerError> {
    let mut attempt = 1;
    loop {
        match TcpListener::bind((HOST, port)).await {
            Ok(listener) => return Ok(listener),
            Err(source) if attempt == BIND_ATTEMPTS || port == 0 => {
                return Err(BrokerError::Listen { node, port, source });
            }
            Err(_) => attempt += 1,
        }
        tokio::time::sleep(BIND_PAUSE).await;
    }
}

/// A listener at work. Dropping it ends it and its connections.
#[derive(Debug)]
pub(super) struct Listening {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Listening {
    /// Serves `node` on `listener`.
    pub(super) fn start(shared: Arc<Shared>, node: i32, listener: TcpListener) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(shared, node, listener, stop.clone()));
        Self { task, stop }
    }

    /// Closes the port and every connection, and waits until they are.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort(); // its connections are in a set that it owns
    }
}

async fn run(shared: Arc<Shared>, node: i32, listener: TcpListener, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(connection(Arc::clone(&shared), node, stream));
                }
                Ok(_) => tracing::warn!(node, "too many connections: the embedded broker closes one"),
                Err(error) => {
                    tracing::warn!(node, %error, "the embedded broker could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => if let Err(error) = ended {
                tracing::error!(node, %error, "a connection of the embedded broker failed");
            },
        }
    }
    connections.shutdown().await;
}

async fn connection(shared: Arc<Shared>, node: i32, stream: TcpStream) {
    let Ok(node) = shared.node(node) else { return };
    let closed = node.connection_token();
    if let Some(Err(ended)) = closed.run_until_cancelled(connection::serve(&shared, node, stream)).await {
        tracing::debug!(node = node.id, %ended, "the embedded broker closed a connection");
    }
}
