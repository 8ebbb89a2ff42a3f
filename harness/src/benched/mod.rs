//! What `cargo bench` measured.

mod id;

pub use id::{NoPipelineId, PIPELINE, PipelineId};
