//! One who speaks to the REST API.

use std::net::SocketAddr;
use std::time::Duration;

use payment_delivery::delivery::{Status, StatusEntry};
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

/// How long one request may take; the service's own limit is shorter.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Between two questions whether it is there.
const PAUSE: Duration = Duration::from_millis(20);

/// Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: reqwest::Url,
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
        Ok(Self { http: http?, base })
    }

    /// Waits until it answers.
    pub async fn alive(&self) {
        while self.http.get(self.at(&["healthz"])).send().await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Posts a payment, which is an event's JSON with its revision.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post(&self, event: Vec<u8>) -> Result<Accepted, ClientError> {
        let post =
            self.http.post(self.at(&["payments"])).header("content-type", "application/json").body(event);
        Ok(accepted(post.send().await?).await?.json().await?)
    }

    /// What it tells of an order's delivery; `None` if it knows of none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delivery(&self, order_id: &OrderId) -> Result<Option<StatusEntry>, ClientError> {
        let answer = self.http.get(self.at(&["deliveries", order_id.as_str()])).send().await?;
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
            let page: Events = accepted(self.http.get(url.clone()).send().await?).await?.json().await?;
            history.extend(page.events.iter().map(|event| {
                let origin = Origin { partition: page.partition, offset: event.offset };
                (event.revision.unwrap_or(0), origin)
            }));
            let Some(next) = page.next else { return Ok(history) };
            url.set_query(Some(&format!("after={next}")));
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
