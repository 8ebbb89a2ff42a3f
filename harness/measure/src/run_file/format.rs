//! Bytes of a run file: a header and records of [`RECORD_BYTES`] each, little-endian.
//!
//! | record | bytes | | header | bytes |
//! |---|---|---|---|---|
//! | time | 0–7 | | magic | 0–7 |
//! | consumer | 8–9 | | version | 8–9 |
//! | kind | 10 | | bytes a record | 10–11 |
//! | detail | 11 | | process id | 12–15 |
//! | partition | 12–15 | | begun at | 16–23 |
//! | offset, or the first number | 16–23 | | zero | 24–31 |
//! | two short numbers, or a second long one | 24–31 | | | |

use payment_delivery::event::Revision;
use payment_delivery::failure::Component;
use payment_delivery::kafka::Origin;
use payment_delivery::probe::Activity;

use super::{Place, Record, What};

/// The version of the format that is written and read.
pub const VERSION: u16 = 1;

/// What a run file begins with.
pub(super) const MAGIC: [u8; 8] = *b"LANERUN\n";

/// Length of the header.
pub(super) const HEADER_BYTES: usize = 32;

/// Length of each record.
pub(super) const RECORD_BYTES: usize = 32;

/// A header on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WireHeader {
    pub(super) magic: [u8; 8],
    pub(super) version: u16,
    pub(super) record_bytes: u16,
    pub(super) pid: u32,
    pub(super) begun_unix_ns: i64,
}

impl WireHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&self.magic);
        bytes[8..10].copy_from_slice(&self.version.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.record_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.pid.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.begun_unix_ns.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        Self {
            magic: field(bytes, 0),
            version: u16::from_le_bytes(field(bytes, 8)),
            record_bytes: u16::from_le_bytes(field(bytes, 10)),
            pid: u32::from_le_bytes(field(bytes, 12)),
            begun_unix_ns: i64::from_le_bytes(field(bytes, 16)),
        }
    }
}

/// A record on the wire, before its kind gives the numbers a meaning.
#[derive(Clone, Copy, Default)]
struct Wire {
    kind: u8,
    detail: u8,
    partition: i32,
    first: i64,
    second: [u8; 8],
}

impl Wire {
    fn place(kind: u8, place: Place, in_view: Revision) -> Self {
        let Place { origin: Origin { partition, offset }, revision } = place;
        let mut second = [0; 8];
        second[..4].copy_from_slice(&revision.to_le_bytes());
        second[4..].copy_from_slice(&in_view.to_le_bytes());
        Self { kind, partition, first: offset, second, detail: 0 }
    }

    fn origin(&self) -> Origin {
        Origin { partition: self.partition, offset: self.first }
    }

    fn to_place(self) -> Place {
        Place { origin: self.origin(), revision: u32::from_le_bytes(field(&self.second, 0)) }
    }
}

const FETCHED: u8 = 1;
const STORED: u8 = 2;
const VISIBLE: u8 = 3;
const PARKED: u8 = 4;
const DEAD_LETTERED: u8 = 5;
const ASSIGNED: u8 = 6;
const RELEASED: u8 = 7;
const COMMITTED: u8 = 8;
const SPENT: u8 = 9;
const SERVED: u8 = 10;
const SKIPPED: u8 = 11;
const RETRIED: u8 = 12;

/// The detail of an assignment without partitions.
const NO_PARTITION: u8 = 1;

/// Activities by their detail.
pub(super) const ACTIVITIES: [Activity; 5] =
    [Activity::Idle, Activity::Own, Activity::Service, Activity::Store, Activity::View];

/// Components by their detail.
const COMPONENTS: [Component; 3] = [Component::Store, Component::View, Component::Broker];

/// Where an activity stands in [`ACTIVITIES`].
pub(super) fn activity_index(activity: Activity) -> usize {
    match activity {
        Activity::Idle => 0,
        Activity::Own => 1,
        Activity::Service => 2,
        Activity::Store => 3,
        Activity::View => 4,
    }
}

impl Record {
    /// The record as it lies in the file.
    pub(super) fn encode(&self) -> [u8; RECORD_BYTES] {
        let wire = wire(self.what);
        let mut bytes = [0; RECORD_BYTES];
        bytes[0..8].copy_from_slice(&self.at_unix_ns.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.consumer.to_le_bytes());
        bytes[10] = wire.kind;
        bytes[11] = wire.detail;
        bytes[12..16].copy_from_slice(&wire.partition.to_le_bytes());
        bytes[16..24].copy_from_slice(&wire.first.to_le_bytes());
        bytes[24..32].copy_from_slice(&wire.second);
        bytes
    }

    /// Reads a record back; what is wrong where there is none.
    pub(super) fn decode(bytes: &[u8; RECORD_BYTES]) -> Result<Self, String> {
        let wire = Wire {
            kind: bytes[10],
            detail: bytes[11],
            partition: i32::from_le_bytes(field(bytes, 12)),
            first: i64::from_le_bytes(field(bytes, 16)),
            second: field(bytes, 24),
        };
        Ok(Self {
            at_unix_ns: i64::from_le_bytes(field(bytes, 0)),
            consumer: u16::from_le_bytes(field(bytes, 8)),
            what: what(wire)?,
        })
    }
}

fn wire(what: What) -> Wire {
    match what {
        What::Fetched(place) => Wire::place(FETCHED, place, 0),
        What::Stored(place) => Wire::place(STORED, place, 0),
        What::Visible { place, in_view } => Wire::place(VISIBLE, place, in_view),
        What::Parked(place) => Wire::place(PARKED, place, 0),
        What::DeadLettered { origin } => Wire::place(DEAD_LETTERED, Place { origin, revision: 0 }, 0),
        What::Assigned { partition, left } => Wire {
            kind: ASSIGNED,
            detail: if partition.is_none() { NO_PARTITION } else { 0 },
            partition: partition.unwrap_or_default(),
            first: left.into(),
            ..Wire::default()
        },
        What::Released { lost } => Wire { kind: RELEASED, detail: lost.into(), ..Wire::default() },
        What::Committed { partition, next_offset } => {
            Wire { kind: COMMITTED, partition, first: next_offset, ..Wire::default() }
        }
        What::Spent { activity, total_ns } => Wire {
            kind: SPENT,
            detail: activity_index(activity) as u8,
            second: total_ns.to_le_bytes(),
            ..Wire::default()
        },
        What::Served { took_ns } => Wire { kind: SERVED, second: took_ns.to_le_bytes(), ..Wire::default() },
        What::Skipped { partition, from, to } => {
            Wire { kind: SKIPPED, partition, first: from, second: to.to_le_bytes(), detail: 0 }
        }
        What::Retried { component } => {
            let detail = COMPONENTS.iter().position(|other| *other == component).unwrap_or_default();
            Wire { kind: RETRIED, detail: detail as u8, ..Wire::default() }
        }
    }
}

fn what(wire: Wire) -> Result<What, String> {
    let detail = usize::from(wire.detail);
    let unknown = |of: &str| format!("{of} {} is unknown", wire.detail);
    Ok(match wire.kind {
        FETCHED => What::Fetched(wire.to_place()),
        STORED => What::Stored(wire.to_place()),
        VISIBLE => {
            What::Visible { place: wire.to_place(), in_view: u32::from_le_bytes(field(&wire.second, 4)) }
        }
        PARKED => What::Parked(wire.to_place()),
        DEAD_LETTERED => What::DeadLettered { origin: wire.origin() },
        ASSIGNED => What::Assigned {
            partition: (wire.detail != NO_PARTITION).then_some(wire.partition),
            left: u32::try_from(wire.first).map_err(|_| format!("{} partitions to come", wire.first))?,
        },
        RELEASED => What::Released { lost: wire.detail != 0 },
        COMMITTED => What::Committed { partition: wire.partition, next_offset: wire.first },
        SPENT => What::Spent {
            activity: *ACTIVITIES.get(detail).ok_or_else(|| unknown("activity"))?,
            total_ns: u64::from_le_bytes(wire.second),
        },
        SERVED => What::Served { took_ns: u64::from_le_bytes(wire.second) },
        SKIPPED => {
            let to = i64::from_le_bytes(wire.second);
            What::Skipped { partition: wire.partition, from: wire.first, to }
        }
        RETRIED => What::Retried { component: *COMPONENTS.get(detail).ok_or_else(|| unknown("component"))? },
        kind => return Err(format!("kind {kind} is unknown")),
    })
}

/// `N` bytes from `at` on.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&bytes[at..at + N]);
    taken
}
