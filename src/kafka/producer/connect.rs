//! Getting connected to every partition of a topic, bounded in time.

use std::time::Duration;

use rskafka::client::error::Error;
use tokio::time::{Instant, sleep, timeout_at};

use super::ProducerError;
use crate::kafka::link::{self, Link};

/// Between two attempts while a cluster starts or a new topic finds its leaders.
const PAUSE: Duration = Duration::from_millis(50);

/// Links to partitions 0 to `partitions` − 1, each connected to its leader.
pub(super) async fn connect(
    bootstrap: &[String],
    topic: &str,
    partitions: i32,
    within: Duration,
) -> Result<Vec<Link>, ProducerError> {
    let start = Instant::now();
    let mut cause = "no broker answered".to_owned();
    let attempts = async {
        loop {
            match attempt(bootstrap, topic, partitions).await {
                Ok(Ok(links)) => return Ok(links),
                Ok(Err(found)) => {
                    return Err(ProducerError::Partitions {
                        topic: topic.to_owned(),
                        expected: partitions,
                        found,
                    });
                }
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

/// The links, or else how many partitions the topic really has.
async fn attempt(
    bootstrap: &[String],
    topic: &str,
    partitions: i32,
) -> Result<Result<Vec<Link>, usize>, Error> {
    let cluster = link::client(bootstrap).await?;
    let topics = cluster.list_topics().await?;
    let Some(found) = topics.iter().find(|known| known.name == topic) else {
        return Err(Error::InvalidResponse(format!("the cluster has no topic {topic}")));
    };
    if i32::try_from(found.partitions.len()) != Ok(partitions) {
        return Ok(Err(found.partitions.len()));
    }
    let mut links = Vec::with_capacity(found.partitions.len());
    for partition in 0..partitions {
        let mut link = Link::new(bootstrap, topic, partition);
        let client = link.take().await?;
        link.keep(client);
        links.push(link);
    }
    Ok(Ok(links))
}
