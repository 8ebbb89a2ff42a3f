//! From what the client says to whose fault it is: the set-up's, or the moment's.

use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerError};

use crate::tls::TlsTrouble;
use crate::view::ViewError;

/// Error codes of Redis that trying again cannot help.
const UNUSABLE: [&str; 4] = ["NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE"];

/// How Redis 7.0 puts a right that a script lacks, under the code of any error.
const SCRIPT_LACKS_RIGHT: &str = "The user executing the script can't";

/// Sorts an error of the client.
pub(super) fn sorted(error: &RedisError) -> ViewError {
    if let Some(trouble) = TlsTrouble::behind(error) {
        return ViewError::Unusable(format!("no TLS connection: {trouble}; {}", trouble.hint()));
    }
    let told = error.to_string();
    let by_kind = matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed
            | ErrorKind::InvalidClientConfig
            // A field that is no number, or a server that does not speak Redis.
            | ErrorKind::Parse
            | ErrorKind::UnexpectedReturnType
    );
    let by_code = answers(error).iter().any(|(_, answer)| {
        let details = answer.details().unwrap_or_default();
        UNUSABLE.contains(&answer.code()) || details.starts_with(SCRIPT_LACKS_RIGHT)
    });
    if by_kind || by_code { ViewError::Unusable(told) } else { ViewError::Unavailable(told) }
}

/// Whether the server itself said so; the connection is sound then. One that was demoted to a replica says so as well, but who comes again
/// may find its successor.
pub(super) fn is_answer(error: &RedisError) -> bool {
    let answers = answers(error);
    !answers.is_empty() && answers.iter().all(|(_, answer)| answer.code() != "READONLY")
}

/// The server's errors, of a single command or of several in a pipeline.
fn answers(error: &RedisError) -> Arc<[(usize, ServerError)]> {
    error.clone().into_server_errors().unwrap_or_default()
}
