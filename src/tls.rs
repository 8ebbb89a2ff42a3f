//! TLS to store and view, by rustls: whose cryptography it uses, and why a server was not believed.

use std::error::Error;
use std::sync::{Arc, Once};

use rustls::CertificateError;

/// Makes *ring* the cryptography of every TLS connection of this process that names no other.
///
/// Whatever connects calls it first: rustls takes its default from what is compiled in, and panics once a second
/// cryptography is in the tree by whichever dependency.
pub fn provide() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("somebody chose the cryptography of TLS before");
        }
    });
}

/// Why no TLS connection came about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsTrouble {
    /// Nobody who is believed here signed the certificate.
    #[error("its certificate is signed by an authority that is not known here")]
    UnknownAuthority,
    /// The certificate is somebody else's, or the address is not the one it was made for.
    #[error("its certificate is not valid for {name}, by which it was reached{}", names(presented))]
    WrongName {
        /// By which it was reached.
        name: String,
        /// For which the certificate was made.
        presented: Vec<String>,
    },
    /// Too late.
    #[error("its certificate has expired")]
    Expired,
    /// Too early, by one of both clocks.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// Anything else about the certificate.
    #[error("its certificate is not accepted: {0}")]
    Certificate(String),
    /// It answers, but not in TLS.
    #[error("it does not speak TLS there")]
    Plain,
    /// It ended the handshake.
    #[error("it ended the TLS handshake: {0}")]
    Refused(String),
}

fn names(presented: &[String]) -> String {
    if presented.is_empty() { String::new() } else { format!("; it is for {}", presented.join(", ")) }
}

impl TlsTrouble {
    /// What is behind `error`, if it is TLS.
    pub fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::of(found));
            }
            // So the client of Redis keeps its causes, whose own cause would be the next.
            if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
                next = Some(&**shared);
                continue;
            }
            // An I/O error leaves what it wraps out of its own chain of causes.
            let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            next = wrapped.map(|e| e as &(dyn Error + 'static)).or_else(|| error.source());
        }
        None
    }

    fn of(error: &rustls::Error) -> Self {
        use CertificateError as C;
        match error {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                // A bad signature: the authority has the name of one that is believed, and another key.
                C::UnknownIssuer | C::BadSignature => Self::UnknownAuthority,
                C::Expired | C::ExpiredContext { .. } => Self::Expired,
                C::NotValidYet | C::NotValidYetContext { .. } => Self::NotYetValid,
                C::NotValidForName => Self::WrongName { name: "the name".into(), presented: Vec::new() },
                C::NotValidForNameContext { expected, presented } => Self::WrongName {
                    name: expected.to_str().into_owned(),
                    presented: presented.iter().map(|name| plain(name)).collect(),
                },
                other => Self::Certificate(other.to_string()),
            },
            rustls::Error::InvalidMessage(_) => Self::Plain,
            rustls::Error::AlertReceived(alert) => Self::Refused(format!("{alert:?}")),
            other => Self::Certificate(other.to_string()),
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownAuthority => {
                "give the authority's certificate: `sslrootcert=FILE` in the database URL, `--redis-ca FILE` for Redis; \
                 else those of the system are believed"
            }
            Self::WrongName { .. } => {
                "reach it by a name that is in its certificate; for PostgreSQL `sslmode=verify-ca` checks no name"
            }
            Self::Expired => "renew it; and is this machine's clock right?",
            Self::NotYetValid => "is this machine's clock right?",
            Self::Certificate(_) => "see that the server's certificate is whole, and made for servers",
            Self::Plain => {
                "is it the right port? Without TLS: `redis://`, or `sslmode=disable` in the database URL"
            }
            Self::Refused(_) => {
                "does it want a client's certificate? PostgreSQL: `sslcert=FILE&sslkey=FILE` in the URL; for Redis there \
                 is no such setting here"
            }
        }
    }
}

/// `DnsName("db")` as `db`: what rustls tells is the debug form of a name.
fn plain(name: &str) -> String {
    name.split('"').nth(1).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: &rustls::Error, expected: &str) {
        let wrapped = || std::io::Error::new(std::io::ErrorKind::InvalidData, error.clone());
        assert_eq!(TlsTrouble::behind(&sqlx::Error::Io(wrapped())).unwrap().to_string(), expected);
        assert_eq!(TlsTrouble::behind(&redis::RedisError::from(wrapped())).unwrap().to_string(), expected);
    }

    #[test]
    fn certificates_are_told_apart_through_what_wraps_them() {
        let certificate = rustls::Error::InvalidCertificate;
        check(
            &certificate(CertificateError::UnknownIssuer),
            "its certificate is signed by an authority that is not known here",
        );
        check(&certificate(CertificateError::Expired), "its certificate has expired");
        check(&certificate(CertificateError::NotValidYet), "its certificate is not valid yet");
        check(
            &certificate(CertificateError::NotValidForNameContext {
                expected: "cache".try_into().unwrap(),
                presented: vec!["DnsName(\"db\")".into(), "DnsName(\"db.local\")".into()],
            }),
            "its certificate is not valid for cache, by which it was reached; it is for db, db.local",
        );
    }

    #[test]
    fn what_is_no_tls_is_not_taken_for_it() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(TlsTrouble::behind(&sqlx::Error::Io(refused)), None);
    }

    /// Else a connection would panic, where it can't be known whose cryptography to use.
    #[test]
    fn the_cryptography_is_chosen_once_however_often_it_is_asked_for() {
        provide();
        provide();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
