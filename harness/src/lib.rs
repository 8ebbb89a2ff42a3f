//! lanebench: the harness that measures the pipeline. See ARCHITECTURE.md for the map.
//!
//! Arrows point one way: `cmd → scenario → {stack, workload, load, measure, verify} → pipeline`;
//! `report` and `gate` read records only.

pub mod benched;
pub mod broker;
pub mod cmd;
pub mod gate;
pub mod load;
pub mod measure;
pub mod record;
pub mod report;
pub mod scenario;
pub mod serve;
pub mod stack;
pub mod stats;
pub mod verify;
pub mod worker;
pub mod workload;
