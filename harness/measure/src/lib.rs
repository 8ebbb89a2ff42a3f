//! What was observed: when each event passed each milestone, how far the group lagged, what it cost, and what disturbed it.

pub mod bottleneck;
pub mod clock;
pub mod commits;
pub mod gc_log;
pub mod lag;
pub mod noise;
pub mod outside;
pub mod resources;
pub mod run_file;
pub mod timeline;

pub use clock::Clock;
pub use timeline::Timeline;
