//! Answers in RESP2, appended to what is to be sent. Pure.

use std::io::Write as _;

/// Answers that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Replies(Vec<u8>);

impl Replies {
    pub(super) fn simple(&mut self, text: &str) {
        self.line(format_args!("+{text}"));
    }

    /// An error; its first word is its code.
    pub(super) fn error(&mut self, text: &str) {
        // It ends at the line's end, which a client's words may hold.
        let text = text.replace(['\r', '\n'], " ");
        self.line(format_args!("-{text}"));
    }

    pub(super) fn integer(&mut self, number: u64) {
        self.line(format_args!(":{number}"));
    }

    /// A bulk string; `None` is null.
    pub(super) fn bulk(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.line(format_args!("${}", bytes.len()));
                self.0.extend_from_slice(bytes);
                self.0.extend_from_slice(b"\r\n");
            }
            None => self.line(format_args!("$-1")),
        }
    }

    /// The head of an array, whose elements follow.
    pub(super) fn array(&mut self, len: usize) {
        self.line(format_args!("*{len}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        write!(self.0, "{line}\r\n").expect("a vector takes all that is written to it");
    }

    /// The bytes, in their order.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
