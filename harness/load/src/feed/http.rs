//! Hands planned events to the REST API, as so many clients would.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use payment_delivery::kafka::Origin;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::Failures;
use crate::client::Client;
use crate::{SendFailed, Sink};
use lanebench_measure::timeline::Timeline;
use lanebench_workload::Planned;

/// Clients that post side by side. Each has one request in flight, and all events of an order have the same client, which
/// sends them one after the other.
const CLIENTS: usize = 32;

/// Events that wait for a client or for an answer; then the sender waits.
const WAITING_MAX: u32 = 4_096;

/// One event on its way to a client.
struct Post {
    index: usize,
    value: Vec<u8>,
    /// Given back with the answer.
    _room: OwnedSemaphorePermit,
}

/// Hands planned events to clients from the sender's own thread.
#[derive(Clone)]
pub struct HttpSink {
    clients: Arc<Vec<mpsc::UnboundedSender<Post>>>,
    room: Arc<Semaphore>,
    runtime: Handle,
    cancel: CancellationToken,
}

impl HttpSink {
    /// Starts the clients on this runtime; they end with the last clone of the sink, or when `cancel` is.
    pub fn start(
        client: &Client,
        timeline: &Arc<Timeline>,
        failures: &Failures,
        cancel: &CancellationToken,
    ) -> Self {
        let clients = (0..CLIENTS)
            .map(|_| {
                let (to, posts) = mpsc::unbounded_channel();
                let work = post_all(client.clone(), posts, Arc::clone(timeline), failures.clone());
                let cancel = cancel.clone();
                tokio::spawn(async move { cancel.run_until_cancelled(work).await });
                to
            })
            .collect();
        Self {
            clients: Arc::new(clients),
            room: Arc::new(Semaphore::new(WAITING_MAX as usize)),
            runtime: Handle::current(),
            cancel: cancel.clone(),
        }
    }

    /// Waits until every event that was taken over has its answer.
    pub async fn flushed(&self) {
        // Fails only on a closed semaphore, and nobody closes it.
        let _all = self.cancel.run_until_cancelled(self.room.acquire_many(WAITING_MAX)).await;
    }
}

impl Sink for HttpSink {
    fn send(&mut self, index: usize, event: Planned) -> Result<(), SendFailed> {
        let failed = |reason: &str| SendFailed { index, reason: reason.to_owned() };
        let room = Arc::clone(&self.room).acquire_owned();
        let room = self.runtime.block_on(self.cancel.run_until_cancelled(room));
        let Some(Ok(room)) = room else { return Err(failed("interrupted")) };
        let mut hasher = DefaultHasher::new();
        event.order_id.hash(&mut hasher);
        let client = &self.clients[(hasher.finish() % CLIENTS as u64) as usize];
        let post = Post { index, value: event.value, _room: room };
        client.send(post).map_err(|_| failed("the client has ended"))
    }
}

/// One client: posts what comes, one after the other.
async fn post_all(
    client: Client,
    mut posts: mpsc::UnboundedReceiver<Post>,
    timeline: Arc<Timeline>,
    failures: Failures,
) {
    while let Some(post) = posts.recv().await {
        match client.post(post.value).await {
            Ok(accepted) => {
                let origin = Origin { partition: accepted.partition, offset: accepted.offset };
                timeline.acked(post.index, origin);
            }
            Err(error) => failures.note(post.index, error.to_string()),
        }
    }
}
