//! The bearer token that clients must show, if the service has one.

use std::fmt;

/// A secret; it is compared and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a text is no token.
#[derive(Debug, thiserror::Error)]
#[error("a token has at least {} characters, all visible ASCII, without blanks", Token::MIN_CHARS)]
pub struct TokenError;

impl Token {
    /// Fewer could be guessed.
    pub const MIN_CHARS: usize = 16;

    /// Takes a token; blanks and line ends around it, as a file has them, are left off.
    ///
    /// # Errors
    /// [`TokenError`] for one that is too short or can't stand in a header.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let token = text.trim();
        if token.len() < Self::MIN_CHARS || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError);
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether an `Authorization` header shows it. The time that it takes tells nothing but lengths.
    pub(super) fn admits(&self, header: Option<&[u8]>) -> bool {
        let shown = header.and_then(|header| {
            let (scheme, rest) = header.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
        });
        let (shown, own) = (shown.unwrap_or_default(), self.0.as_bytes());
        let differing = own.iter().zip(shown).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
        shown.len() == own.len() && differing == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_admits() {
        let token = Token::new("correct-horse-battery\n").unwrap();
        let admits = |header: &str| token.admits(Some(header.as_bytes()));
        assert!(admits("Bearer correct-horse-battery") && admits("bearer correct-horse-battery"));
        for wrong in [
            "",
            "Bearer ",
            "Bearer",
            "Basic correct-horse-battery",
            "correct-horse-battery",
            "Bearer correct-horse-batter",
            "Bearer correct-horse-batteryy",
            "Bearer correct-horse-batterx",
        ] {
            assert!(!admits(wrong), "{wrong}");
        }
        assert!(!token.admits(None));
    }

    #[test]
    fn what_is_no_token_is_refused_and_none_is_printed() {
        for wrong in ["", "short", "with a blank in it", "not-ascii-tökens!"] {
            assert!(Token::new(wrong).is_err(), "{wrong}");
        }
        assert!(!format!("{:?}", Token::new("correct-horse-battery").unwrap()).contains("horse"));
    }
}
