//! Which records of a fetch are committed, by the list of aborted transactions that comes with it.
//!
//! The method is that of Kafka's own consumer (`CompletedFetch`): a transaction that was aborted begins at the offset that the list
//! names, and ends with its producer's abort marker.

use std::collections::BTreeSet;

use super::batch::{Batch, Content};
use crate::kafka::Message;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AbortedTransaction {
    pub(super) producer_id: i64,
    pub(super) first_offset: i64,
}

/// The committed records from `offset` on, and the offset behind all batches.
pub(super) fn committed(
    batches: Vec<Batch>,
    mut aborted: Vec<AbortedTransaction>,
    offset: i64,
) -> (Vec<(i64, Message)>, i64) {
    aborted.sort_by_key(|transaction| transaction.first_offset);
    let mut to_begin = aborted.into_iter().peekable();
    let mut aborting = BTreeSet::new();
    let mut kept = Vec::new();
    let mut next = offset;
    for batch in batches {
        while let Some(begun) = to_begin.next_if(|t| t.first_offset <= batch.last_offset) {
            aborting.insert(begun.producer_id);
        }
        next = next.max(batch.last_offset + 1);
        match batch.content {
            Content::Aborted => {
                aborting.remove(&batch.producer_id);
            }
            Content::Marker => {}
            Content::Records(_) if batch.is_transactional && aborting.contains(&batch.producer_id) => {}
            // A fetch begins with the batch that holds the offset, which may hold others before it.
            Content::Records(records) => kept.extend(records.into_iter().filter(|(at, _)| *at >= offset)),
        }
    }
    (kept, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of `count` records from `first` on.
    fn records(first: i64, count: i64, producer_id: i64, is_transactional: bool) -> Batch {
        let records = (first..first + count).map(|offset| (offset, Message::default())).collect();
        Batch {
            last_offset: first + count - 1,
            producer_id,
            is_transactional,
            content: Content::Records(records),
        }
    }

    fn marker(at: i64, producer_id: i64, content: Content) -> Batch {
        Batch { last_offset: at, producer_id, is_transactional: true, content }
    }

    #[track_caller]
    fn check(batches: &[Batch], aborted: &[(i64, i64)], offset: i64, kept: &[i64], next: i64) {
        let aborted = aborted
            .iter()
            .map(|&(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset })
            .collect();
        let (records, behind) = committed(batches.to_vec(), aborted, offset);
        let offsets: Vec<i64> = records.iter().map(|(offset, _)| *offset).collect();
        assert_eq!((&offsets[..], behind), (kept, next));
    }

    #[test]
    fn plain_records_are_kept_from_the_offset_on() {
        check(&[records(0, 4, -1, false), records(4, 2, -1, false)], &[], 2, &[2, 3, 4, 5], 6);
        check(&[], &[], 7, &[], 7);
    }

    #[test]
    fn markers_and_emptied_batches_are_stepped_over() {
        let committed = [records(0, 2, 9, true), marker(2, 9, Content::Marker)];
        check(&committed, &[], 0, &[0, 1], 3);
        let emptied = Batch { content: Content::Records(vec![]), ..records(3, 4, 9, true) };
        check(&[emptied], &[], 3, &[], 7);
    }

    #[test]
    fn an_aborted_transaction_ends_with_its_own_producer_s_marker() {
        let log = [
            records(0, 2, 9, true),   // aborted
            records(2, 1, 8, true),   // another producer's, committed
            records(3, 1, -1, false), // no transaction
            marker(4, 9, Content::Aborted),
            records(5, 2, 9, true), // the next transaction of the first, committed
            marker(7, 9, Content::Marker),
            marker(8, 8, Content::Marker),
        ];
        check(&log, &[(9, 0)], 0, &[2, 3, 5, 6], 9);
        // The list is of all that overlap the fetch, in any order; the second transaction of a producer may be aborted, too.
        check(&log, &[(9, 5), (9, 0)], 0, &[2, 3], 9);
    }

    #[test]
    fn a_fetch_may_begin_within_an_aborted_transaction() {
        let rest = [records(5, 2, 9, true), marker(7, 9, Content::Aborted), records(8, 1, 9, true)];
        check(&rest, &[(9, 1)], 6, &[8], 9);
    }

    #[test]
    fn what_a_producer_writes_outside_its_transactions_is_never_aborted() {
        check(&[records(0, 1, 9, false), marker(1, 9, Content::Aborted)], &[(9, 0)], 0, &[0], 2);
    }
}
