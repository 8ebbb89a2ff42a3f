//! The open-loop sender.
