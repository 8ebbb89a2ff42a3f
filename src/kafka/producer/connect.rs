//! Getting to know the partitions of a topic, bounded in time.

use std::time::Duration;

use rskafka::client::error::Error;
use tokio::time::{Instant, sleep, timeout_at};

use super::ProducerError;
use crate::kafka::link::{self, Link};

/// Between two attempts while a cluster starts or a new topic finds its leaders.
const PAUSE: Duration = Duration::from_millis(50);

/// One link to each partition of the topic, from 0.
///
/// With `expected`, the topic must have that many partitions, and each link is connected to its leader. Without, whatever
/// number it has is right, and each link connects when it is first used: a partition without a leader holds nobody up
/// who does not need it.
pub(super) async fn links(
    bootstrap: &[String],
    topic: &str,
    expected: Option<i32>,
    within: Duration,
) -> Result<Vec<Link>, ProducerError> {
    let start = Instant::now();
    let mut cause = "no broker answered".to_owned();
    let attempts = async {
        loop {
            match attempt(bootstrap, topic, expected).await {
                Ok(Ok(links)) => return Ok(links),
                Ok(Err(wrong_count)) => return Err(wrong_count),
                Err(error) => cause = link::root_cause(&error).to_string(),
            }
            sleep(PAUSE).await;
        }
    };
    match timeout_at(start + within, attempts).await {
        Ok(result) => result,
        Err(_) => Err(ProducerError::Connect {
            topic: topic.to_owned(),
            bootstrap: bootstrap.join(","),
            waited: within,
            cause,
        }),
    }
}

/// The links, or why no further attempt can help.
async fn attempt(
    bootstrap: &[String],
    topic: &str,
    expected: Option<i32>,
) -> Result<Result<Vec<Link>, ProducerError>, Error> {
    let cluster = link::client(bootstrap).await?;
    let topics = cluster.list_topics().await?;
    let Some(known) = topics.iter().find(|known| known.name == topic) else {
        return Err(Error::InvalidResponse(format!("the cluster has no topic {topic}")));
    };
    let found = known.partitions.len();
    if found == 0 {
        return Err(Error::InvalidResponse(format!("the topic {topic} has no partitions yet")));
    }
    let mut links: Vec<_> =
        (0..).take(found).map(|partition| Link::new(bootstrap, topic, partition)).collect();
    let Some(expected) = expected else {
        return Ok(Ok(links));
    };
    let found_count = found as i32;
    if found_count < expected {
        // A broker that has not heard of all yet.
        return Err(Error::InvalidResponse(format!(
            "the topic {topic} has {found} partitions, not {expected}"
        )));
    }
    if found_count > expected {
        return Ok(Err(ProducerError::Partitions { topic: topic.to_owned(), expected, found }));
    }
    for link in &mut links {
        let client = link.take().await?;
        link.keep(client);
    }
    Ok(Ok(links))
}
