//! One TCP connection to one broker, and what is built on it: who to ask ([`cluster`]), connections kept ([`pool`]).
//!
//! Versions are fixed by each caller, not negotiated: all of them are spoken by Kafka 3.0 and later. A broker that
//! doesn't know one closes the connection, which reads here as [`ConnError::Closed`].

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

pub(crate) mod cluster;
pub(crate) mod code;
pub(crate) mod pool;

/// Longest response that is read, in bytes, unless [`Connection::with_frame_max`] says otherwise. Group and admin answers are far below;
/// what is above is not Kafka.
const FRAME_MAX_BYTES: usize = 16 << 20;

/// Why a request got no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnError {
    /// Not of the form `host:port`.
    #[error("`{address}` is not an address of the form host:port")]
    Address {
        /// As it was given.
        address: String,
    },
    /// The TCP connection was not made.
    #[error("could not connect to {address}: {source}")]
    Connect {
        /// The broker's address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// No answer in time. The connection was closed, since the answer may still come.
    #[error("{address} did not answer {what} within {} ms", limit.as_millis())]
    TimedOut {
        /// The broker's address.
        address: String,
        /// The request.
        what: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection broke during the exchange.
    #[error("the connection to {address} broke: {source}")]
    Broken {
        /// The broker's address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection was closed by an earlier failure or a cancelled request.
    #[error("the connection to {address} is closed")]
    Closed {
        /// The broker's address.
        address: String,
    },
    /// What came back is not an answer to what was asked.
    #[error("{address} does not speak the Kafka protocol as expected: {reason}")]
    Protocol {
        /// The broker's address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What answers speaks something else.
    #[error("{address} speaks {protocol}, not the Kafka protocol in plaintext")]
    Foreign {
        /// The broker's address.
        address: String,
        /// What it speaks.
        protocol: &'static str,
    },
    /// There was nobody to ask.
    #[error("no broker address was given")]
    NoAddress,
}

/// One connection. Requests go one at a time; the method takes `&mut self`.
#[derive(Debug)]
pub(crate) struct Connection {
    address: String,
    client_id: StrBytes,
    /// `None` once an exchange failed or was cancelled: its answer could be taken for that of a later request.
    stream: Option<TcpStream>,
    correlation_id: i32,
    frame_max: usize,
}

impl Connection {
    /// Connects to `address` (`host:port`), within `limit`.
    pub(crate) async fn connect(address: &str, client_id: &str, limit: Duration) -> Result<Self, ConnError> {
        check_address(address)?;
        let connect_error = |source| ConnError::Connect { address: address.to_owned(), source };
        let stream = match timeout(limit, reach(address, limit)).await {
            Ok(connected) => connected.map_err(connect_error)?,
            Err(_) => {
                let what = "the connection attempt".to_owned();
                return Err(ConnError::TimedOut { address: address.to_owned(), what, limit });
            }
        };
        // Requests are small and each waits for its answer: Nagle's algorithm would only add delay.
        stream.set_nodelay(true).map_err(connect_error)?;
        Ok(Self {
            address: address.to_owned(),
            client_id: StrBytes::from_string(client_id.to_owned()),
            stream: Some(stream),
            correlation_id: 0,
            frame_max: FRAME_MAX_BYTES,
        })
    }

    /// Reads responses of up to so many bytes.
    pub(crate) fn with_frame_max(self, bytes: usize) -> Self {
        Self { frame_max: bytes, ..self }
    }

    /// Whether a request can still be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// The broker's address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends `request` and waits for its answer, both within `limit`.
    ///
    /// On any error, and when the returned future is dropped half-way, the connection is closed.
    pub(crate) async fn call<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, ConnError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let frame = self.frame(version, request)?;
        // The stream is owned by this future until the answer is whole: dropping the future closes it.
        let mut stream =
            self.stream.take().ok_or_else(|| ConnError::Closed { address: self.address.clone() })?;
        let body = match timeout(limit, exchange(&mut stream, &frame, self.frame_max)).await {
            Ok(Ok(body)) => body,
            Ok(Err(ExchangeError::Io(source))) => {
                return Err(ConnError::Broken { address: self.address.clone(), source });
            }
            Ok(Err(ExchangeError::Length(length))) if let Some(protocol) = foreign_protocol(length) => {
                return Err(ConnError::Foreign { address: self.address.clone(), protocol });
            }
            Ok(Err(ExchangeError::Length(length))) => {
                return Err(self.protocol(format!("a response of {length} bytes")));
            }
            Err(_) => {
                return Err(ConnError::TimedOut {
                    address: self.address.clone(),
                    what: api_name(R::KEY),
                    limit,
                });
            }
        };
        let response = self.decode::<R>(version, body)?;
        self.stream = Some(stream);
        Ok(response)
    }

    fn frame<R: Request>(&self, version: i16, request: &R) -> Result<BytesMut, ConnError> {
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(self.client_id.clone()))
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|e| self.protocol(format!("{} can't be encoded: {e:#}", api_name(R::KEY))))?;
        let length = i32::try_from(frame.len() - 4)
            .map_err(|_| self.protocol(format!("a request of {} bytes", frame.len())))?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(frame)
    }

    fn decode<R: Request>(&self, version: i16, mut body: Bytes) -> Result<R::Response, ConnError> {
        let unreadable = |e| self.protocol(format!("{} can't be decoded: {e:#}", api_name(R::KEY)));
        let header =
            ResponseHeader::decode(&mut body, R::Response::header_version(version)).map_err(unreadable)?;
        if header.correlation_id != self.correlation_id {
            return Err(self.protocol(format!(
                "answer {} came to request {}",
                header.correlation_id, self.correlation_id
            )));
        }
        let response = R::Response::decode(&mut body, version).map_err(unreadable)?;
        if body.has_remaining() {
            return Err(self.protocol(format!(
                "{} has {} bytes too many",
                api_name(R::KEY),
                body.remaining()
            )));
        }
        Ok(response)
    }

    fn protocol(&self, reason: String) -> ConnError {
        ConnError::Protocol { address: self.address.clone(), reason }
    }
}

/// Refuses what can never be connected to, so that a typing error is told from a broker that is away.
pub(crate) fn check_address(address: &str) -> Result<(), ConnError> {
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0) => Ok(()),
        _ => Err(ConnError::Address { address: address.to_owned() }),
    }
}

/// Connects to the first address of a name that answers. Each has its share of the time, so that one that is silent leaves some to the others.
async fn reach(address: &str, limit: Duration) -> std::io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host(address).await?.collect();
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = std::io::Error::other("the name has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => {
                last = std::io::Error::new(std::io::ErrorKind::TimedOut, format!("{address} is silent"));
            }
        }
    }
    Err(last)
}

/// What the first four bytes of an answer are that is no length.
fn foreign_protocol(length: i32) -> Option<&'static str> {
    match length.to_be_bytes() {
        // An alert or a handshake record, and TLS's major version.
        [0x15 | 0x16, 0x03, ..] => Some("TLS"),
        [b'H', b'T', b'T', b'P'] => Some("HTTP"),
        _ => None,
    }
}

enum ExchangeError {
    Io(std::io::Error),
    Length(i32),
}

impl From<std::io::Error> for ExchangeError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

async fn exchange(stream: &mut TcpStream, frame: &[u8], max: usize) -> Result<Bytes, ExchangeError> {
    stream.write_all(frame).await?;
    let length = stream.read_i32().await?;
    let size = usize::try_from(length)
        .ok()
        .filter(|size| (4..=max).contains(size))
        .ok_or(ExchangeError::Length(length))?;
    let mut body = vec![0; size];
    stream.read_exact(&mut body).await?;
    Ok(body.into())
}

fn api_name(key: i16) -> String {
    ApiKey::try_from(key).map_or_else(|()| format!("request {key}"), |api| format!("{api:?}"))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ApiVersionsRequest, HeartbeatRequest, HeartbeatResponse};
    use tokio::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    /// Serves one connection: reads each request and writes what `answer` makes of its correlation id.
    async fn broker(answer: impl Fn(i32) -> Vec<u8> + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Ok(length) = stream.read_i32().await {
                let mut body = vec![0; length as usize];
                stream.read_exact(&mut body).await.unwrap();
                let correlation_id = (&body[4..8]).get_i32();
                stream.write_all(&answer(correlation_id)).await.unwrap();
            }
        });
        address
    }

    fn heartbeat_answer(correlation_id: i32, code: i16) -> Vec<u8> {
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        ResponseHeader::default().with_correlation_id(correlation_id).encode(&mut frame, 1).unwrap();
        HeartbeatResponse::default().with_error_code(code).encode(&mut frame, 4).unwrap();
        let length = frame.len() as i32 - 4;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame.to_vec()
    }

    async fn connected(address: &str) -> Connection {
        Connection::connect(address, "test", SHORT).await.unwrap()
    }

    #[tokio::test]
    async fn requests_and_answers_go_in_pairs() {
        let address = broker(|id| heartbeat_answer(id, id as i16)).await;
        let mut conn = connected(&address).await;
        for n in 1..=3 {
            assert_eq!(conn.call(4, &HeartbeatRequest::default(), SHORT).await.unwrap().error_code, n);
        }
    }

    #[tokio::test]
    async fn a_wrong_answer_closes_the_connection() {
        for answer in
            [heartbeat_answer(7, 0), vec![0x7f; 4], vec![0, 0, 0, 0], vec![0, 0, 0, 5, 0, 0, 0, 1, 0]]
        {
            let address = broker(move |_| answer.clone()).await;
            let mut conn = connected(&address).await;
            let error = conn.call(4, &HeartbeatRequest::default(), SHORT).await.unwrap_err();
            assert!(matches!(error, ConnError::Protocol { .. }), "{error}");
            assert!(!conn.is_open());
        }
    }

    #[tokio::test]
    async fn a_silent_broker_is_bounded_and_closes_the_connection() {
        let address = broker(|_| Vec::new()).await;
        let mut conn = connected(&address).await;
        let error = conn.call(4, &HeartbeatRequest::default(), Duration::from_millis(20)).await.unwrap_err();
        assert!(error.to_string().contains("did not answer Heartbeat within 20 ms"), "{error}");
        let error = conn.call(3, &ApiVersionsRequest::default(), SHORT).await.unwrap_err();
        assert!(matches!(error, ConnError::Closed { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_cancelled_request_closes_the_connection() {
        let address = broker(|_| Vec::new()).await;
        let mut conn = connected(&address).await;
        let request = HeartbeatRequest::default();
        tokio::select! {
            _ = conn.call(4, &request, SHORT) => unreachable!("nobody answers"),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
        assert!(!conn.is_open());
    }

    #[tokio::test]
    async fn a_port_that_speaks_something_else_is_named() {
        for (answer, protocol) in
            [(&b"\x15\x03\x03\x00\x02\x02\x46"[..], "TLS"), (b"HTTP/1.1 400 Bad Request", "HTTP")]
        {
            let address = broker(move |_| answer.to_vec()).await;
            let mut conn = connected(&address).await;
            let error = conn.call(4, &HeartbeatRequest::default(), SHORT).await.unwrap_err();
            assert!(error.to_string().contains(&format!("speaks {protocol}")), "{error}");
        }
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_tried() {
        // A name that is both addresses of the loopback interface, on a port where only the second one listens.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        assert!(Connection::connect(&address, "test", SHORT).await.is_ok());
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["localhost:9092", "127.0.0.1:1", "[::1]:9092"] {
            assert!(check_address(good).is_ok(), "{good}");
        }
        for bad in
            ["", "localhost", ":9092", "localhost:", "localhost:0", "localhost:65536", "localhost:kafka"]
        {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
