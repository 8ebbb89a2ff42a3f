//! One attempt to get a batch into a partition's log: over rskafka, or simulated in the tests.

use rskafka::client::partition::Compression;

use super::verdict::{Verdict, verdict};
use crate::kafka::Message;
use crate::kafka::link::{Link, to_record};

/// An attempt that was not acknowledged.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    /// In words, for the error that the caller may see.
    pub(super) cause: String,
}

/// Carries batches to one partition, one at a time.
pub(super) trait Transport: Send + 'static {
    /// Makes one attempt and returns the offset of the batch's first message; the others follow without a gap.
    ///
    /// Dropping the future cancels the attempt: the outcome is unknown, and the next attempt must not share a
    /// connection with it.
    fn produce(&mut self, batch: &[Message]) -> impl Future<Output = Result<i64, Failure>> + Send;
}

impl Transport for Link {
    async fn produce(&mut self, batch: &[Message]) -> Result<i64, Failure> {
        let failure = |error: &rskafka::client::error::Error| Failure {
            verdict: verdict(error),
            cause: crate::kafka::link::root_cause(error).to_string(),
        };
        // `send` refused what doesn't convert, so this is never taken; it refuses rather than drop a message silently.
        let Some(records) = batch.iter().map(to_record).collect::<Option<Vec<_>>>() else {
            return Err(Failure {
                verdict: Verdict::Refused,
                cause: "a timestamp is out of range".to_owned(),
            });
        };
        let client = match self.take().await {
            Ok(client) => client,
            // Whatever it says, the batch was not even offered: only waiting for the leader helps.
            Err(error) => {
                return Err(Failure { verdict: Verdict::NotWritten, ..failure(&error) });
            }
        };
        let offsets = client.produce(records, Compression::NoCompression).await.map_err(|e| failure(&e))?;
        self.keep(client);
        offsets.first().copied().ok_or_else(|| Failure {
            verdict: Verdict::Unknown,
            cause: "the acknowledgement names no offset".to_owned(),
        })
    }
}
