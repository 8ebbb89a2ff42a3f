//! lanebench: the harness that measures the pipeline. See ARCHITECTURE.md for the map.
//!
//! Arrows point one way: `cmd → job → rounds → trial → {workspace, stack, workload, load, measure, verify} → pipeline`;
//! `report` and `gate` read records only.

pub use lanebench_broker as broker;
pub use lanebench_gate as gate;
pub use lanebench_load as load;
pub use lanebench_measure as measure;
pub use lanebench_redis_stub as redis_stub;
pub use lanebench_report as report;
pub use lanebench_result as record;
pub use lanebench_scenario as scenario;
pub use lanebench_stats as stats;
pub use lanebench_verify as verify;
pub use lanebench_workload as workload;

pub mod benched;
pub mod cmd;
pub mod contender;
pub mod error;
pub mod job;
pub mod progress;
pub mod rounds;
pub mod serve;
pub mod stack;
pub mod trial;
pub mod worker;
mod workspace;
