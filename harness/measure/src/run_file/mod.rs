//! What a consumer process saw, in a file that survives its death.
//!
//! A worker in a process of its own appends a record for each milestone that an event passes; the harness follows the file and
//! reads what an in-process [`Probe`](payment_delivery::probe::Probe) would have told it. A header names format, version and
//! process; every record has the same size, so that a file that ends in the middle of one ends in a whole one before it.
//!
//! # What survives what
//! Each call of the probe is one plain `write` of whole records, before the call returns: what was reported is in the
//! kernel's hands, and a SIGKILL takes none of it. Held back are only the running totals of [`What::Spent`], for up to
//! [`SPENT_EVERY`]; nobody's order or count rests on them. Nothing is synced to the disk: a power cut takes the
//! measurement anyway.
//!
//! # What a record doesn't hold
//! An order id has no fixed size, so a record names an event by its place in the log and its revision: the harness, which
//! produced it, knows the rest. The reason for a dead letter stands in the letter's own headers, and the words of an error
//! that was tried again in the worker's log.
//!
//! # Times
//! Of the realtime clock, since no epoch of a monotonic one is shared between processes. Records of one file lie in the order
//! in which their times were read; where the system's clock was set back meanwhile, so were they.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use payment_delivery::event::Revision;
use payment_delivery::failure::Component;
use payment_delivery::kafka::Origin;
use payment_delivery::probe::Activity;

mod follower;
mod format;
mod recorder;
#[cfg(test)]
mod tests;

pub use follower::{Follower, Header};
pub use format::VERSION;
pub use recorder::Recorder;

/// How often at most the total of one consumer and activity is written.
pub const SPENT_EVERY: Duration = Duration::from_millis(100);

/// The number of a consumer whose name is not `consumer-` and a number below this.
pub const UNNUMBERED: u16 = u16::MAX;

/// The name of the consumer with this number, as a worker calls its consumers from 0.
pub fn consumer_name(number: u16) -> String {
    format!("{NAME_PREFIX}{number}")
}

/// The number of a consumer by its name; [`UNNUMBERED`] if it has none.
pub fn consumer_number(name: &str) -> u16 {
    name.strip_prefix(NAME_PREFIX).and_then(|number| number.parse().ok()).unwrap_or(UNNUMBERED)
}

const NAME_PREFIX: &str = "consumer-";

/// One thing that one consumer reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, in ns of Unix time.
    pub at_unix_ns: i64,
    /// Which consumer of its process, counted from 0.
    pub consumer: u16,
    /// What it was.
    pub what: What,
}

/// Which message, and which event of its order it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Where the message lies in the log.
    pub origin: Origin,
    /// The event's revision.
    pub revision: Revision,
}

/// What a consumer reported, as the methods of [`Probe`](payment_delivery::probe::Probe) have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The processing loop took the message in hand.
    Fetched(Place),
    /// The store's commit for it returned.
    Stored(Place),
    /// The view acknowledged `in_view`, which is this revision or a later one.
    Visible {
        /// The message.
        place: Place,
        /// What the view holds now.
        in_view: Revision,
    },
    /// It waits in the store for what comes before it.
    Parked(Place),
    /// The message went to the dead-letter topic.
    DeadLettered {
        /// Where it lies in the log.
        origin: Origin,
    },
    /// One partition of a new assignment; all of an assignment are written at once, one after the other.
    Assigned {
        /// The partition; `None` in the one record of an assignment without any.
        partition: Option<i32>,
        /// How many are still to come: the assignment is complete at 0.
        left: u32,
    },
    /// The consumer gave up what it owned.
    Released {
        /// Whether it had to go without a commit.
        lost: bool,
    },
    /// The group's next offset of a partition was committed.
    Committed {
        /// The partition.
        partition: i32,
        /// The offset to go on from.
        next_offset: i64,
    },
    /// What the processing loop has spent on an activity since the file began: a running total, not a difference.
    Spent {
        /// On what.
        activity: Activity,
        /// In ns.
        total_ns: u64,
    },
    /// One modelled downstream call ended. Each is written, since their distribution goes with every number they are in.
    Served {
        /// How long it took, in ns.
        took_ns: u64,
    },
    /// Records of a partition were gone when they were asked for.
    Skipped {
        /// The partition.
        partition: i32,
        /// The first offset that is gone.
        from: i64,
        /// The first offset that is still there.
        to: i64,
    },
    /// An attempt failed and will be made again.
    Retried {
        /// At what.
        component: Component,
    },
}

/// Why a run file can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RunFileError {
    /// There is such a file already, which may be another process's.
    #[error("{} exists, and a run file is never written over", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be made.
    #[error("the run file {} can't be made: {source}", .path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record could not be written. It and all after it are missing.
    #[error(
        "the run file {} could not be written after {written} records, and ends there: {source}", .path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Records that are in it.
        written: u64,
        /// Why.
        source: io::Error,
    },
    /// The file can't be read.
    #[error("the run file {} can't be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not begin as a run file does.
    #[error("{} is no run file: it begins with {found:02x?}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: [u8; 8],
    },
    /// The file is of a version that this program doesn't read.
    #[error("{} is a run file of version {found}; this lanebench reads version {VERSION}", .path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u16,
    },
    /// A whole record is none: the file was written by something else, or over.
    #[error("{} holds no record at byte {at_byte}: {what}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        at_byte: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The file is shorter than what was read of it before.
    #[error("{} was cut to {len} bytes, of which {read} had been read", .path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// Its length now, in bytes.
        len: u64,
        /// Bytes read before.
        read: u64,
    },
}
