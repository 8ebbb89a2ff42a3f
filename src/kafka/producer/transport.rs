//! One attempt to get a batch into a partition's log: over rskafka, or simulated in the tests.

use rskafka::client::error::Error;
use rskafka::client::partition::Compression;

use super::verdict::{Verdict, verdict};
use crate::kafka::Message;
use crate::kafka::link::{Link, root_cause, to_record};

/// An attempt that was not acknowledged.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    /// In words, for the error that the caller may see.
    pub(super) cause: String,
}

/// Carries batches to one partition, one at a time.
pub(super) trait Transport: Send + 'static {
    /// Finds the partition's leader, if it is not known. Nothing of a batch is sent meanwhile.
    fn connect(&mut self) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }

    /// Makes one attempt and returns the offset of the batch's first message; the others follow without a gap.
    ///
    /// Dropping the future cancels the attempt: the outcome is unknown, and the next attempt must not share a
    /// connection with it.
    fn produce(&mut self, batch: &[Message]) -> impl Future<Output = Result<i64, Failure>> + Send;
}

/// What an error of looking for the leader means. Whatever it says, the batch was not even offered: only waiting for the leader helps.
fn not_offered(error: &Error) -> Failure {
    Failure { verdict: Verdict::NotWritten, cause: root_cause(error).to_string() }
}

impl Transport for Link {
    async fn connect(&mut self) -> Result<(), Failure> {
        let client = self.take().await.map_err(|error| not_offered(&error))?;
        self.keep(client);
        Ok(())
    }

    async fn produce(&mut self, batch: &[Message]) -> Result<i64, Failure> {
        // `send` refused what doesn't convert, so this is never taken; it refuses rather than drop a message silently.
        let Some(records) = batch.iter().map(to_record).collect::<Option<Vec<_>>>() else {
            return Err(Failure {
                verdict: Verdict::Refused,
                cause: "a timestamp is out of range".to_owned(),
            });
        };
        let client = self.take().await.map_err(|error| not_offered(&error))?;
        let failure = |error| Failure { verdict: verdict(&error), cause: root_cause(&error).to_string() };
        let offsets = client.produce(records, Compression::NoCompression).await.map_err(failure)?;
        self.keep(client);
        offsets.first().copied().ok_or_else(|| Failure {
            verdict: Verdict::Unknown,
            cause: "the acknowledgement names no offset".to_owned(),
        })
    }
}
