//! One who speaks to the REST API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use payment_delivery::delivery::{Status, StatusEntry};
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

/// How long one request may take; the service's own limit is shorter.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request is made again that is answered by 503: by then a part that was away is back, or stays away.
const AGAIN_FOR: Duration = Duration::from_secs(60);
/// After a 503 that does not say when to come again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Between two questions whether it is there.
const PAUSE: Duration = Duration::from_millis(20);

/// Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: reqwest::Url,
    retried: Arc<AtomicU64>,
}

/// Why there is no proper answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No answer, or none that can be read.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// A problem document.
    #[error("HTTP {status}: {detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What the problem says.
        detail: String,
    },
    /// An answer that makes no sense.
    #[error("{0}")]
    Senseless(String),
}

/// Where an accepted payment lies.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Accepted {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    order_id: String,
    revision: Revision,
    status: String,
}

#[derive(Deserialize)]
struct Events {
    partition: i32,
    events: Vec<Event>,
    next: Option<i64>,
}

#[derive(Deserialize)]
struct Event {
    offset: i64,
    /// Of a message that can't be decoded there is none.
    revision: Option<Revision>,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Client {
    /// One that will speak to `address`; nothing is sent.
    ///
    /// # Errors
    /// [`ClientError::Http`] where the system gives no client.
    pub fn new(address: SocketAddr) -> Result<Self, ClientError> {
        // What the environment says of proxies is not for the loopback interface.
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build();
        let base = reqwest::Url::parse(&format!("http://{address}"))
            .map_err(|error| ClientError::Senseless(error.to_string()))?;
        Ok(Self { http: http?, base, retried: Arc::default() })
    }

    /// Waits until it answers.
    pub async fn alive(&self) {
        while self.http.get(self.at(&["healthz"])).send().await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Requests that were answered by 503 and made again, so far.
    pub fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Posts a payment, which is an event's JSON with its revision: made again, it is accepted once all the same.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post(&self, event: Vec<u8>) -> Result<Accepted, ClientError> {
        let post =
            self.http.post(self.at(&["payments"])).header("content-type", "application/json").body(event);
        Ok(accepted(self.answer(post).await?).await?.json().await?)
    }

    /// What it tells of an order's delivery; `None` if it knows of none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delivery(&self, order_id: &OrderId) -> Result<Option<StatusEntry>, ClientError> {
        let answer = self.answer(self.http.get(self.at(&["deliveries", order_id.as_str()]))).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let Delivery { order_id, revision, status } = accepted(answer).await?.json().await?;
        let senseless = |what: String| ClientError::Senseless(what);
        Ok(Some(StatusEntry {
            order_id: OrderId::new(&order_id).map_err(|error| senseless(error.to_string()))?,
            revision,
            status: Status::parse(&status)
                .ok_or_else(|| senseless(format!("there is no status {status}")))?,
        }))
    }

    /// The messages that it tells of an order, page by page.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn history(&self, order_id: &OrderId) -> Result<Vec<(Revision, Origin)>, ClientError> {
        let mut url = self.at(&["orders", order_id.as_str(), "events"]);
        let mut history = Vec::new();
        loop {
            let page: Events = accepted(self.answer(self.http.get(url.clone())).await?).await?.json().await?;
            history.extend(page.events.iter().map(|event| {
                let origin = Origin { partition: page.partition, offset: event.offset };
                (event.revision.unwrap_or(0), origin)
            }));
            let Some(next) = page.next else { return Ok(history) };
            url.set_query(Some(&format!("from={next}&partition={}", page.partition)));
        }
    }

    /// The answer to a request. A 503 says that a part is away or all are at work, so the request is made again when the answer
    /// says so, for [`AGAIN_FOR`] at most: what is offered waits meanwhile, and its response time with it.
    async fn answer(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let (begun, request) = (Instant::now(), request.build()?);
        loop {
            // Its body is in memory, and shared with its copies.
            let copy = request.try_clone();
            let copy =
                copy.ok_or_else(|| ClientError::Senseless("a body that can't be sent again".into()))?;
            let answer = self.http.execute(copy).await?;
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE || begun.elapsed() >= AGAIN_FOR {
                return Ok(answer);
            }
            self.retried.fetch_add(1, Ordering::Relaxed);
            let seconds =
                answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
            tokio::time::sleep(seconds.map_or(AGAIN_AFTER, Duration::from_secs)).await;
        }
    }

    /// The URL of a path; each segment may hold any sign.
    fn at(&self, segments: &[&str]) -> reqwest::Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        url
    }
}

/// The answer, if it is none of refusal.
async fn accepted(answer: Response) -> Result<Response, ClientError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let detail = match answer.json::<Problem>().await {
        Ok(problem) => problem.detail,
        Err(error) => format!("no problem document: {error}"),
    };
    Err(ClientError::Refused { status, detail })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each request of one connection with the next of these.
    async fn serve(listener: TcpListener, answers: &[&str]) {
        let (mut connection, _) = listener.accept().await.unwrap();
        for answer in answers {
            let mut request = [0; 4096];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_refused_for_the_moment_is_asked_again_and_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(listener.local_addr().unwrap()).unwrap();
        let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
        let place = r#"{"partition":2,"offset":7}"#;
        let taken = format!("HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{place}", place.len());
        let refused = "HTTP/1.1 409 Conflict\r\ncontent-length: 16\r\n\r\n{\"detail\":\"gap\"}";
        let answers = [busy, busy, taken.as_str(), refused];
        let (_, (posted, conflict)) = tokio::join!(serve(listener, &answers), async {
            (client.post(b"{}".to_vec()).await, client.post(b"{}".to_vec()).await)
        });
        let Accepted { partition, offset } = posted.unwrap();
        assert_eq!((partition, offset, client.retried()), (2, 7, 2));
        assert!(matches!(conflict, Err(ClientError::Refused { status: StatusCode::CONFLICT, .. })));
    }
}
