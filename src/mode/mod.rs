//! How a consumer works through its events: from fetched to stored, visible and ready to commit.

pub mod dead_letter;
pub mod record;

pub use dead_letter::dead_letter_topic;
