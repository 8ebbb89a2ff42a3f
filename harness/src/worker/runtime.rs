//! The threads on which consumers run.

use std::io;

use tokio::runtime::{Handle, Runtime};
use tokio_util::context::TokioContext;

use crate::measure::resources::{API_THREAD_PREFIX, CONSUMER_THREAD_PREFIX};

/// A runtime for consumers, or for the REST API, alone, so that their CPU time can be told from that of whatever else the
/// process does.
///
/// Dropping it ends what runs there, without waiting for it.
#[derive(Debug)]
pub struct ConsumerRuntime(Option<Runtime>);

impl ConsumerRuntime {
    /// As many threads as the machine has cores: a consumer is one loop, so more would not be used.
    ///
    /// # Errors
    /// What the system says where it gives no threads.
    pub fn start() -> io::Result<Self> {
        Self::named(CONSUMER_THREAD_PREFIX)
    }

    /// The same for the REST API.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn of_api() -> io::Result<Self> {
        Self::named(API_THREAD_PREFIX)
    }

    fn named(prefix: &str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name(format!("{prefix}worker")) // by which its CPU time is told apart
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// What `work` comes to. These threads wait for the connections that it opens, so that an answer wakes the consumer that it is for, and no other
    /// thread before it.
    pub(crate) async fn opening<T>(&self, work: impl Future<Output = T>) -> T {
        TokioContext::new(work, self.handle().clone()).await
    }

    /// By which tasks are put there.
    pub fn handle(&self) -> &Handle {
        self.0.as_ref().expect("the runtime is taken only by drop").handle()
    }
}

impl Drop for ConsumerRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background(); // a plain drop would block, which async code must not
        }
    }
}
