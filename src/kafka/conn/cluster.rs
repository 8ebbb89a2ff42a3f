//! Whom to ask when it does not matter whom: every broker that is known, side by side.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::MetadataResponse;
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{ConnError, Connection};

/// Version of every Metadata request.
pub(crate) const METADATA: i16 = 12;

/// The cluster as seen from its bootstrap addresses; learns the others, so that it outlives the ones it was given.
#[derive(Debug)]
pub(crate) struct Cluster {
    client_id: String,
    bootstrap: Vec<String>,
    /// Brokers of the last metadata, by id.
    known: Mutex<BTreeMap<i32, String>>,
}

impl Cluster {
    pub(crate) fn new(bootstrap: Vec<String>, client_id: String) -> Self {
        Self { client_id, bootstrap, known: Mutex::default() }
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Address of broker `id`, if the last metadata named it.
    pub(crate) fn address(&self, id: i32) -> Option<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Takes note of the brokers that `metadata` names.
    pub(crate) fn learn(&self, metadata: &MetadataResponse) {
        let brokers = metadata.brokers.iter().map(|b| (b.node_id.0, host_port(&b.host, b.port)));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = brokers.collect();
    }

    /// Asks every known address over a connection of its own; the first answer that `accept` likes wins, else the
    /// last one, else the last error. Side by side, since one dead address must not eat the time of the others.
    pub(crate) async fn ask<R>(
        &self,
        version: i16,
        request: R,
        limit: Duration,
        accept: impl Fn(&R::Response) -> bool,
    ) -> Result<R::Response, ConnError>
    where
        R: Request + Send + Sync + 'static,
        R::Response: Send + 'static,
    {
        let deadline = Instant::now() + limit;
        let request = Arc::new(request);
        let mut asked = JoinSet::new();
        for address in self.addresses() {
            let (request, client_id) = (Arc::clone(&request), self.client_id.clone());
            asked.spawn(async move {
                let mut conn = Connection::connect(&address, &client_id, limit).await?;
                conn.call(version, &*request, deadline - Instant::now()).await
            });
        }
        let mut outcome = Err(ConnError::NoAddress);
        while let Some(answered) = asked.join_next().await {
            match answered {
                Ok(Ok(response)) if accept(&response) => return Ok(response),
                Ok(Err(error)) if outcome.is_ok() => tracing::debug!(%error, "a broker was not reached"),
                Ok(answer) => outcome = answer,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        outcome
    }

    /// Metadata of `topics` from whoever answers first; creates nothing.
    pub(crate) async fn metadata(
        &self,
        topics: &[String],
        limit: Duration,
    ) -> Result<MetadataResponse, ConnError> {
        let metadata = self.ask(METADATA, metadata_request(topics), limit, |_| true).await?;
        self.learn(&metadata);
        Ok(metadata)
    }

    fn addresses(&self) -> Vec<String> {
        let mut addresses = self.bootstrap.clone();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.extend(known.values().filter(|a| !self.bootstrap.contains(a)).cloned());
        addresses
    }
}

/// A metadata request for `topics` that never creates them; none means brokers only.
pub(crate) fn metadata_request(topics: &[String]) -> MetadataRequest {
    let topics =
        topics.iter().map(|t| MetadataRequestTopic::default().with_name(Some(topic_name(t)))).collect();
    MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(false)
}

pub(crate) fn topic_name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn host_port(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
