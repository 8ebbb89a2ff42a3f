//! Where records come from: a partition's leader over rskafka, or a log in memory in the tests.

use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::OffsetAt;

use super::FetchConfig;
use crate::kafka::Fetched;
use crate::kafka::link::{Link, root_cause, to_fetched};

/// Why a fetch failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The offset is not in the log.
    OutOfRange,
    /// Anything else; the cause in words.
    Passing(String),
}

/// The log of one partition. Dropping a call's future cancels it, connection and all.
pub(super) trait Source: Send {
    /// Records from `offset` on; none if there were none within `max_wait`.
    fn fetch(
        &mut self,
        offset: i64,
        config: &FetchConfig,
    ) -> impl Future<Output = Result<Vec<Fetched>, Trouble>> + Send;

    /// The log's first offset, and the one after its last.
    fn range(&mut self) -> impl Future<Output = Result<(i64, i64), String>> + Send;
}

impl Source for Link {
    async fn fetch(&mut self, offset: i64, config: &FetchConfig) -> Result<Vec<Fetched>, Trouble> {
        let client = self.take().await.map_err(|e| trouble(&e))?;
        // rskafka takes the limit as an exclusive end.
        let bytes = config.min_bytes..config.max_bytes.saturating_add(1);
        let wait_ms = i32::try_from(config.max_wait.as_millis()).unwrap_or(i32::MAX);
        let fetched = client.fetch_records(offset, bytes, wait_ms).await.map_err(|e| trouble(&e))?;
        self.keep(client);
        let (records, high_watermark) = fetched;
        if records.is_empty() && high_watermark > offset {
            // Control batches only, which nothing here writes: without a pause this would be asked again at once.
            let error =
                format!("no record came at offset {offset}, though the log goes on to {high_watermark}");
            return Err(Trouble::Passing(error));
        }
        let partition = self.partition();
        Ok(records.into_iter().map(|record| to_fetched(partition, record)).collect())
    }

    async fn range(&mut self) -> Result<(i64, i64), String> {
        let words = |error: Error| root_cause(&error).to_string();
        let client = self.take().await.map_err(words)?;
        let start = client.get_offset(OffsetAt::Earliest).await.map_err(words)?;
        let end = client.get_offset(OffsetAt::Latest).await.map_err(words)?;
        self.keep(client);
        Ok((start, end))
    }
}

fn trouble(error: &Error) -> Trouble {
    match root_cause(error) {
        Error::ServerError { protocol_error: ProtocolError::OffsetOutOfRange, .. } => Trouble::OutOfRange,
        other => Trouble::Passing(other.to_string()),
    }
}
