//! Candidate against baseline.
pub mod decision;
pub mod design;
pub mod replay;
pub mod walk;
