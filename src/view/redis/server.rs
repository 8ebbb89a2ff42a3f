//! Which Redis: its address, and whom to believe about its certificate.

use std::fmt;
use std::path::PathBuf;

use redis::{Client, TlsCertificates};

use super::error;
use crate::redact::redact;
use crate::tls;
use crate::view::ViewError;

/// What begins and ends a certificate in a file.
const PEM: &str = "-----BEGIN CERTIFICATE-----";

/// A Redis server, by its URL: `redis://` or, over TLS, `rediss://`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisServer {
    /// The URL, password included.
    pub url: String,
    /// A file with the certificates (PEM) of the authorities that may have signed the server's, in place of the system's.
    /// Heeded over TLS only.
    pub ca: Option<PathBuf>,
}

/// Passwords stay out of logs and panics.
impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer").field("url", &redact(&self.url)).field("ca", &self.ca).finish()
    }
}

/// One that the system's authorities vouch for, or that speaks no TLS.
impl From<&str> for RedisServer {
    fn from(url: &str) -> Self {
        Self { url: url.into(), ca: None }
    }
}

impl From<&String> for RedisServer {
    fn from(url: &String) -> Self {
        url.as_str().into()
    }
}

impl From<&Self> for RedisServer {
    fn from(server: &Self) -> Self {
        server.clone()
    }
}

impl RedisServer {
    /// A client of it, which connects to nothing yet.
    ///
    /// # Errors
    /// [`ViewError::Unusable`] for a URL that is none, and for a file of certificates that can't be read or holds none.
    pub fn client(&self) -> Result<Client, ViewError> {
        tls::provide();
        let sorted = |failed: redis::RedisError| error::sorted(&failed);
        let Some(ca) = self.ca.as_ref().filter(|_| self.url.starts_with("rediss:")) else {
            return Client::open(self.url.as_str()).map_err(sorted);
        };
        let unusable = |why: String| {
            ViewError::Unusable(format!("the authorities' certificates in {}: {why}", ca.display()))
        };
        let pem = std::fs::read(ca).map_err(|failed| unusable(failed.to_string()))?;
        // The client would take a file without any for one authority fewer than needed.
        if !String::from_utf8_lossy(&pem).contains(PEM) {
            return Err(unusable("it holds no certificate in PEM".into()));
        }
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
        Client::build_with_tls(self.url.as_str(), certificates).map_err(|failed| unusable(failed.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_printed_without_its_password() {
        let server = RedisServer { url: "rediss://app:secret@cache".into(), ca: Some("/etc/ca.pem".into()) };
        let shown = format!("{server:?}");
        assert!(shown.contains("app:***@cache") && shown.contains("ca.pem"), "{shown}");
    }

    #[test]
    fn a_file_that_vouches_for_nobody_is_refused_by_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let check = |ca: PathBuf, expected: &str| {
            let told =
                RedisServer { url: "rediss://cache".into(), ca: Some(ca.clone()) }.client().unwrap_err();
            assert!(
                told.to_string().contains(expected) && told.to_string().contains(&*ca.to_string_lossy()),
                "{told}"
            );
        };
        check(file.path().into(), "no certificate");
        check("/nowhere/ca.pem".into(), "No such file");
        let plain = RedisServer { url: "redis://cache".into(), ca: Some("/nowhere/ca.pem".into()) };
        plain.client().expect("without TLS it is not asked for");
    }
}
