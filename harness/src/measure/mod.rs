//! What was observed: when each event passed each gate, how far the group lagged, what it cost, and what disturbed it.

pub mod clock;
pub mod timeline;

pub use clock::Clock;
pub use timeline::Timeline;
