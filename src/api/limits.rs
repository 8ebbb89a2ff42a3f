//! What one client, and all of them together, may ask of the service.

use std::time::Duration;

/// The bounds. Every one has an answer: a status with a problem document, or a closed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body; beyond it 413. Default 64 KiB.
    pub body_bytes: usize,
    /// Largest request line and headers together; beyond it 431. At least 8 KiB. Default 16 KiB.
    pub header_bytes: usize,
    /// How long the headers may take from a connection's first moment, or from the end of the request before; then it is
    /// closed, which is also how long an idle connection is kept. Default 10 s.
    pub header_timeout: Duration,
    /// How long the body may take; then 408, and the connection is closed. Default 10 s.
    pub body_timeout: Duration,
    /// How long a request may take once its body is there; then 503. Default 10 s.
    pub request_timeout: Duration,
    /// How long a client may leave an answer unread; then the connection is closed. Default 10 s.
    pub write_timeout: Duration,
    /// Connections at a time; one more is answered 503 and closed. Default 512.
    pub connections: usize,
    /// Payments at a time, those included that are still being sent after their client was answered; and as many other requests beside them,
    /// so that reads go on while payments wait for a broker. One more is answered 503. Health, readiness and metrics are not counted.
    /// Default 256.
    pub requests: usize,
    /// How long a stop waits for what is in hand. Default 10 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 64 * 1024,
            header_bytes: 16 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            connections: 512,
            requests: 256,
            drain: Duration::from_secs(10),
        }
    }
}
