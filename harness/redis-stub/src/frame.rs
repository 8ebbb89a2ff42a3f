//! Requests as clients of Redis send them: an array of bulk strings. Pure.

use std::ops::Range;

/// Longest request in bytes. A scan's worth of keys to unlink is well below.
pub(super) const FRAME_MAX: usize = 1 << 20;

/// Most words of a request.
const WORDS_MAX: usize = 10_000;

/// Longest line that announces a length.
const LINE_MAX: usize = 32;

/// Why no request can be read from a connection any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("Protocol error: {0}")]
    Malformed(&'static str),
    #[error("Protocol error: a request has at most {FRAME_MAX} bytes and {WORDS_MAX} words")]
    TooLarge,
}

/// One request at the beginning of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Where its words lie in the buffer.
    pub(super) words: Vec<Range<usize>>,
    /// Its length.
    pub(super) len: usize,
}

/// The first request of `buffer`; `None` while it is not whole.
pub(super) fn parse(buffer: &[u8]) -> Result<Option<Frame>, FrameError> {
    let mut reader = Reader { buffer, at: 0 };
    match reader.frame() {
        Ok(frame) => Ok(Some(frame)),
        Err(Stop::NotWhole) if buffer.len() >= FRAME_MAX => Err(FrameError::TooLarge),
        Err(Stop::NotWhole) => Ok(None),
        Err(Stop::Bad(error)) => Err(error),
    }
}

enum Stop {
    NotWhole,
    Bad(FrameError),
}

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Self {
        Self::Bad(error)
    }
}

struct Reader<'a> {
    buffer: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn frame(&mut self) -> Result<Frame, Stop> {
        let count = self.announced(b'*', "a request is an array of bulk strings")?;
        if count > WORDS_MAX {
            return Err(FrameError::TooLarge.into());
        }
        let mut words = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            let len = self.announced(b'$', "a word is a bulk string")?;
            let word = self.at..self.at.saturating_add(len);
            if word.end > FRAME_MAX {
                return Err(FrameError::TooLarge.into());
            }
            match self.buffer.get(word.end..word.end + 2) {
                None => return Err(Stop::NotWhole),
                Some(b"\r\n") => self.at = word.end + 2,
                Some(_) => return Err(FrameError::Malformed("a word is longer than was announced").into()),
            }
            words.push(word);
        }
        Ok(Frame { words, len: self.at })
    }

    /// The number of a line such as `*3`.
    fn announced(&mut self, sign: u8, otherwise: &'static str) -> Result<usize, Stop> {
        let malformed = || Stop::Bad(FrameError::Malformed(otherwise));
        let rest = &self.buffer[self.at..];
        match rest.first() {
            None => return Err(Stop::NotWhole),
            Some(first) if *first != sign => return Err(malformed()),
            Some(_) => {}
        }
        let Some(end) = rest.iter().take(LINE_MAX).position(|byte| *byte == b'\r') else {
            return Err(if rest.len() < LINE_MAX { Stop::NotWhole } else { malformed() });
        };
        match rest.get(end + 1) {
            None => return Err(Stop::NotWhole),
            Some(b'\n') => {}
            Some(_) => return Err(malformed()),
        }
        self.at += end + 2;
        let digits = std::str::from_utf8(&rest[1..end]).map_err(|_| malformed())?;
        digits.parse().map_err(|_| malformed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(words: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n", word.len()).bytes());
            bytes.extend(word);
            bytes.extend(b"\r\n");
        }
        bytes
    }

    #[track_caller]
    fn refused(bytes: &[u8], expected: &str) {
        let error = parse(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        refused(b"PING\r\n", "an array of bulk strings");
        refused(b"*1\r\n:1\r\n", "a word is a bulk string");
        refused(b"*-1\r\n", "an array of bulk strings");
        refused(b"*1\rx", "an array of bulk strings");
        refused(b"*1\r\n$1\r\nab\r\n", "longer than was announced");
        refused(&[b"*".as_slice(), &[b'1'; LINE_MAX]].concat(), "an array of bulk strings");
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_there() {
        refused(b"*10001\r\n", "at most");
        refused(b"*1\r\n$1048577\r\n", "at most");
        refused(b"*1\r\n$18446744073709551615\r\n", "at most");
        // Many words, each of them allowed.
        let words = vec![vec![b'x'; 1_000]; 1_100];
        refused(&encoded(&words)[..FRAME_MAX], "at most");
    }

    proptest! {
        #[test]
        fn a_request_is_read_back_and_never_before_it_is_whole(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            after in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let bytes = encoded(&words);
            for end in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..end]), Ok(None));
            }
            let sent = [bytes.clone(), after].concat();
            let frame = parse(&sent).unwrap().unwrap();
            prop_assert_eq!(frame.len, bytes.len());
            let read: Vec<Vec<u8>> = frame.words.into_iter().map(|word| sent[word].to_vec()).collect();
            prop_assert_eq!(read, words);
        }

        #[test]
        fn any_bytes_are_answered_for(bytes in prop::collection::vec(prop::sample::select(b"*$1230\r\n-x".to_vec()), 0..40)) {
            if let Ok(Some(frame)) = parse(&bytes) {
                prop_assert!(frame.len <= bytes.len());
            }
        }
    }
}
