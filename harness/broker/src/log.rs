//! The log of one partition: batches in memory, found by offset or time. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::batch::{self, Header, Marker, Recorded};

/// What all logs of a cluster may hold together.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let room = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        self.used.try_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One batch in the log.
#[derive(Debug)]
struct Entry {
    /// Offset of its first record.
    base: i64,
    /// Offset of its last record.
    last: i64,
    header: Header,
    bytes: Bytes,
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) offset: i64,
    /// Milliseconds of Unix time.
    pub(super) timestamp: i64,
    /// Of the leader that took it.
    pub(super) leader_epoch: i32,
}

/// The offset is below the log's start or above its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfRange;

/// The cluster's budget is used up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// A partition's records. Every record is replicated at once, so the end is the high watermark too.
#[derive(Debug)]
pub(super) struct Log {
    entries: Vec<Entry>,
    start: i64,
    end: i64,
    bytes: usize,
    transactions: Transactions,
    budget: Arc<Budget>,
}

/// The transactions of batches that were recorded elsewhere: producers of this cluster have none.
#[derive(Debug, Default)]
struct Transactions {
    /// Where each open one begins, by producer.
    open: BTreeMap<i64, i64>,
    aborted: Vec<Aborted>,
}

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aborted {
    pub(super) producer_id: i64,
    /// The offset of its first record.
    pub(super) first: i64,
    /// The offset of its marker.
    last: i64,
}

/// Batches that can't follow what is in the log: no whole batch, or offsets that are there already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoLog;

impl Log {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        let transactions = Transactions::default();
        Self { entries: Vec::new(), start: 0, end: 0, bytes: 0, transactions, budget }
    }

    /// The first offset that can be read.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// The offset that the next record will get.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Appends a checked batch; the offset of its first record.
    pub(super) fn append(&mut self, header: Header, bytes: &[u8], leader_epoch: i32) -> Result<i64, Full> {
        if !self.budget.take(bytes.len()) {
            return Err(Full);
        }
        let base = self.end;
        self.end += i64::from(header.count);
        self.bytes += bytes.len();
        let bytes = batch::placed(bytes, base, leader_epoch);
        self.entries.push(Entry { base, last: self.end - 1, header, bytes });
        Ok(base)
    }

    /// Puts recorded batches behind what is there, each at its own offset and unchecked.
    pub(super) fn put(&mut self, mut recorded: &[u8]) -> Result<(), NoLog> {
        let (mut batches, mut end, all) = (Vec::new(), self.end, recorded.len());
        while !recorded.is_empty() {
            let (found, bytes, rest) = batch::recorded(recorded).ok_or(NoLog)?;
            if found.base < end || found.last < found.base {
                return Err(NoLog);
            }
            end = found.last + 1;
            batches.push((found, bytes));
            recorded = rest;
        }
        if !self.budget.take(all) {
            return Err(NoLog);
        }
        for (found, bytes) in batches {
            self.transactions.take(&found);
            let (base, last, header) = (found.base, found.last, found.header);
            self.entries.push(Entry { base, last, header, bytes: Bytes::copy_from_slice(bytes) });
        }
        (self.end, self.bytes) = (end, self.bytes + all);
        Ok(())
    }

    /// Where the first open transaction begins: what lies from there on is not committed yet. The log's end if none is open.
    pub(super) fn stable_end(&self) -> i64 {
        self.transactions.open.values().copied().min().unwrap_or(self.end)
    }

    /// Aborted transactions that reach to `offset` or beyond.
    pub(super) fn aborted_from(&self, offset: i64) -> impl Iterator<Item = Aborted> {
        self.transactions.aborted.iter().filter(move |aborted| aborted.last >= offset).copied()
    }

    /// Whole batches from the one that holds `offset` on, up to `max_bytes` together and not beyond `end`; with `at_least_one`, the first
    /// even if it alone is larger, so that a reader can always go on.
    pub(super) fn read(
        &self,
        offset: i64,
        end: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Vec<Bytes>, OutOfRange> {
        if !(self.start..=self.end).contains(&offset) {
            return Err(OutOfRange);
        }
        let first = self.entries.partition_point(|entry| entry.last < offset);
        let mut batches: Vec<Bytes> = Vec::new();
        let mut total = 0;
        for entry in self.entries[first..].iter().take_while(|entry| entry.last < end) {
            total += entry.bytes.len();
            if total > max_bytes && !(at_least_one && batches.is_empty()) {
                break;
            }
            batches.push(entry.bytes.clone());
        }
        Ok(batches)
    }

    /// The first record of at least this timestamp. In a compressed batch, which is not looked into, the batch's first
    /// record stands for it: never a later one, so that nobody who seeks by time misses a record.
    pub(super) fn at_timestamp(&self, timestamp: i64) -> Option<Found> {
        self.entries.iter().filter(|entry| entry.header.max_timestamp >= timestamp).find_map(|entry| {
            if entry.header.compressed {
                return Some(entry.found(0, entry.header.base_timestamp)).filter(|f| f.offset >= self.start);
            }
            entry.records().find(|found| found.timestamp >= timestamp && found.offset >= self.start)
        })
    }

    /// The record of the highest timestamp, the earliest of several; in a compressed batch its last record.
    pub(super) fn at_max_timestamp(&self) -> Option<Found> {
        // Not those that compaction emptied.
        let entries = || self.entries.iter().filter(|entry| entry.header.count > 0);
        let highest = entries().map(|entry| entry.header.max_timestamp).max()?;
        let entry = entries().find(|entry| entry.header.max_timestamp == highest)?;
        if entry.header.compressed {
            return Some(entry.found(entry.header.count - 1, highest));
        }
        entry.records().find(|found| found.timestamp >= highest)
    }

    /// Moves the start up to `offset` and frees the batches that lie before it as a whole.
    pub(super) fn delete_before(&mut self, offset: i64) -> Result<(), OutOfRange> {
        if offset > self.end || offset < 0 {
            return Err(OutOfRange);
        }
        self.start = self.start.max(offset);
        let gone = self.entries.partition_point(|entry| entry.last < self.start);
        let freed = self.entries.drain(..gone).map(|entry| entry.bytes.len()).sum();
        self.bytes -= freed;
        self.budget.give_back(freed);
        Ok(())
    }

    /// Frees everything: the topic is gone.
    pub(super) fn clear(&mut self) {
        self.entries = Vec::new();
        self.budget.give_back(std::mem::take(&mut self.bytes));
    }
}

impl Transactions {
    fn take(&mut self, batch: &Recorded) {
        let Some(producer_id) = batch.transaction else { return };
        let Some(marker) = batch.marker else {
            self.open.entry(producer_id).or_insert(batch.base);
            return;
        };
        let first = self.open.remove(&producer_id);
        if let Some(first) = first.filter(|_| marker == Marker::Abort) {
            self.aborted.push(Aborted { producer_id, first, last: batch.last });
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Entry {
    fn found(&self, delta: i32, timestamp: i64) -> Found {
        let leader_epoch = batch::leader_epoch(&self.bytes);
        Found { offset: self.base + i64::from(delta), timestamp, leader_epoch }
    }

    fn records(&self) -> impl Iterator<Item = Found> {
        let base = self.header.base_timestamp;
        batch::records(&self.bytes)
            .map(move |(delta, timestamp)| self.found(delta, base.saturating_add(timestamp)))
    }
}

#[cfg(test)]
mod tests;
