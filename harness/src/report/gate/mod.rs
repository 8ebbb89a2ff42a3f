//! What a gate says: in the terminal, and as Markdown for a pull request's comment and for the summary of a CI job.
//!
//! Rendering only: every figure, bound and verdict comes from the record.

pub mod markdown;
pub mod table;
pub mod text;
pub mod words;
