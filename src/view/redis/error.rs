//! From what the client says to whose fault it is: the set-up's, or the moment's.

use redis::{ErrorKind, RedisError};

use crate::view::ViewError;

/// Error codes of Redis that trying again cannot help.
const UNUSABLE: [&str; 4] = ["NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE"];

/// Sorts an error of the client.
pub(super) fn sorted(error: &RedisError) -> ViewError {
    let told = error.to_string();
    let by_kind = matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::UnexpectedReturnType
    );
    if by_kind || error.code().is_some_and(|code| UNUSABLE.contains(&code)) {
        ViewError::Unusable(told)
    } else {
        ViewError::Unavailable(told)
    }
}
