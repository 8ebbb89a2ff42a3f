//! Secrets: from a flag, the environment or a file, and never shown.
//!
//! A flag is seen by every user of the machine in `ps`, so it is for addresses without a password; the environment is seen
//! by root and the same user; a file by whoever may read it.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::out::{UsageError, tell};

/// Longest secret in a file, in bytes: what is longer is not one.
const MAX_BYTES: u64 = 64 << 10;

/// Where container runtimes mount secrets, readable by all, since all there are one.
const MOUNTED: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// Permission of everybody else to read.
const OTHERS_READ: u32 = 0o004;

/// A text that is not to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret that may be given itself or as the name of a file that holds it, and how both are called.
pub(super) struct Given<'a> {
    /// Itself. An empty one is none: a variable that compose passes on may be.
    pub(super) itself: Option<Secret>,
    /// The file that holds it.
    pub(super) file: Option<&'a Path>,
    /// The name of the variable or flag; the file's has `_FILE` or `-file` at its end.
    pub(super) name: &'static str,
}

impl Given<'_> {
    /// The secret, if there is one.
    ///
    /// # Errors
    /// Where both are given, and for a file that can't be read.
    pub(super) fn read(self) -> Result<Option<Secret>, UsageError> {
        let Self { itself, file, name } = self;
        let itself = itself.filter(|secret| !secret.0.is_empty());
        let file = file.filter(|file| !file.as_os_str().is_empty());
        match (itself, file) {
            (Some(_), Some(_)) => Err(UsageError {
                what: format!("{name} is given, and a file for it as well"),
                hint: "give one of the two; variables of the environment count as well as flags".into(),
            }),
            (Some(secret), None) => Ok(Some(secret)),
            (None, Some(file)) => from_file(file).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// What the environment says by `variable`, or in the file that `variable`_FILE names.
///
/// # Errors
/// As [`Given::read`].
pub(super) fn from_environment(variable: &'static str) -> Result<Option<Secret>, UsageError> {
    let file = std::env::var_os(format!("{variable}_FILE")).map(PathBuf::from);
    from_environment_or(variable, file.as_deref())
}

/// What the environment says by `variable`, or what is in the file.
///
/// # Errors
/// As [`Given::read`].
pub(super) fn from_environment_or(
    variable: &'static str,
    file: Option<&Path>,
) -> Result<Option<Secret>, UsageError> {
    let itself = match std::env::var(variable) {
        Ok(text) => Some(Secret(text)),
        Err(std::env::VarError::NotPresent) => None,
        // The error itself would show it.
        Err(std::env::VarError::NotUnicode(_)) => {
            return Err(UsageError {
                what: format!("{variable} is not UTF-8"),
                hint: "percent-encode it within the URL".into(),
            });
        }
    };
    Given { itself, file, name: variable }.read()
}

fn from_file(path: &Path) -> Result<Secret, UsageError> {
    let unusable = |why: String| UsageError {
        what: format!("the secret in {} can't be used: {why}", path.display()),
        hint: "a secret's file holds that and nothing else, in UTF-8, and this user may read it".into(),
    };
    let file = File::open(path).map_err(|error| unusable(error.to_string()))?;
    let mode = file.metadata().map_err(|error| unusable(error.to_string()))?.mode();
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unusable(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unusable(format!("it has over {MAX_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("it is not UTF-8".into()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(unusable("it is empty".into()));
    }
    if mode & OTHERS_READ != 0 && !MOUNTED.iter().any(|mounted| path.starts_with(mounted)) {
        let path = path.display();
        tell(&format!("warning: every user of this machine may read the secret in {path}: chmod 600 {path}"));
    }
    Ok(Secret(text.into()))
}

/// `url` with `password`, percent-encoded, where its own would stand.
///
/// # Errors
/// Where the URL has one already, and where it is none.
pub(super) fn with_password(
    url: &Secret,
    password: &Secret,
    name: &'static str,
) -> Result<Secret, UsageError> {
    let encoded = percent_encoded(password.expose());
    let refused =
        |what: String| UsageError { what, hint: format!("leave {name} out, or the password in the URL") };
    let Some((scheme, rest)) = url.expose().split_once("://") else {
        return Err(refused(format!("{name} is given, and the URL is none that it could go into")));
    };
    if payment_delivery::redact::redact(url.expose()) != url.expose() {
        return Err(refused(format!("{name} is given, and the URL has a password as well")));
    }
    // A socket file has no user in front of it.
    if scheme.contains("unix") {
        let sign = if rest.contains('?') { '&' } else { '?' };
        return Ok(Secret(format!("{scheme}://{rest}{sign}pass={encoded}")));
    }
    let (user, host) = rest.split_once('@').unwrap_or(("", rest));
    Ok(Secret(format!("{scheme}://{user}:{encoded}@{host}")))
}

/// As RFC 3986 has it: all but its unreserved characters.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret(text.into())
    }

    #[test]
    fn a_secret_shows_nothing() {
        assert_eq!(
            format!("{} {:?} {:?}", secret("s3cret"), secret("s3cret"), Some(secret("s3cret"))),
            "*** *** Some(***)"
        );
    }

    #[test]
    fn a_file_holds_it_without_the_newline_that_editors_leave() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3 cret\r\n").unwrap();
        let given = |itself: Option<&str>, file| Given { itself: itself.map(secret), file, name: "X" }.read();
        assert_eq!(given(None, Some(file.path())).unwrap().unwrap().expose(), "s3 cret");
        assert_eq!(given(Some(""), Some(file.path())).unwrap().unwrap().expose(), "s3 cret", "empty is none");
        assert_eq!(given(None, None).unwrap(), None);
        let both = given(Some("other"), Some(file.path())).unwrap_err();
        assert!(both.what.contains('X') && !both.what.contains("cret"), "{both}");
    }

    #[test]
    fn a_file_that_holds_none_is_named_and_not_quoted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let check = |content: &[u8], why: &str| {
            std::fs::write(file.path(), content).unwrap();
            let error = from_file(file.path()).unwrap_err().what;
            assert!(error.contains(why) && error.contains(&*file.path().to_string_lossy()), "{error}");
        };
        check(b"\n", "empty");
        check(b"s3cret\xff", "UTF-8");
        check(&[b'a'; 70_000], "65536 bytes");
        assert!(from_file(Path::new("/nowhere/secret")).unwrap_err().what.contains("/nowhere/secret"));
    }

    #[track_caller]
    fn check(url: &str, password: &str, expected: &str) {
        assert_eq!(with_password(&secret(url), &secret(password), "P").unwrap().expose(), expected);
    }

    #[test]
    fn a_password_finds_its_place_in_a_url() {
        check(
            "postgres://app@db:5432/pay?sslmode=require",
            "p@ss:/ß",
            "postgres://app:p%40ss%3A%2F%C3%9F@db:5432/pay?sslmode=require",
        );
        check("redis://cache", "a%b", "redis://:a%25b@cache");
        check("rediss://app@cache/1", "x", "rediss://app:x@cache/1");
        check("redis+unix:///run/redis.sock", "x y", "redis+unix:///run/redis.sock?pass=x%20y");
        check("redis+unix:///run/redis.sock?db=1", "x", "redis+unix:///run/redis.sock?db=1&pass=x");
    }

    #[test]
    fn two_passwords_are_one_too_many() {
        for url in ["postgres://app:old@db", "postgres://db/pay?password=old", "no url"] {
            let error = with_password(&secret(url), &secret("new"), "P").unwrap_err();
            assert!(!error.what.contains("old") && !error.what.contains("new"), "{error}");
        }
    }
}
