//! What the checks found: all of it counted, the first of each kind kept.

use std::collections::BTreeMap;

use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;

use lanebench_result::Finding;

/// How many findings of each kind are kept; a broken run has as many as it has events.
pub const FINDINGS_PER_KIND: usize = 20;

/// What is wrong. The order is that of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Acknowledged, and found nowhere.
    Lost,
    /// A later revision came before an earlier one.
    Order,
    /// One order's events lie on several partitions, which have no order among them.
    SplitOrder,
    /// A row that took one event twice.
    AppliedTwice,
    /// A record or a row that says something else than what was sent.
    Content,
    /// A row that contradicts itself, its writes or the log.
    Row,
    /// The view shows something else than the row.
    View,
    /// The REST API tells something else than row or log.
    Api,
    /// Offsets that were committed before their work was finished, or not at all.
    Offset,
    /// Something that nobody sent, or that lies where it should not.
    Unexpected,
    /// An event still waits in the store.
    Parked,
    /// An event went to the dead-letter topic.
    DeadLettered,
    /// A check had nothing to look at, so its silence proves nothing.
    NothingChecked,
}

impl Kind {
    /// As written in `result.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Order => "order",
            Self::SplitOrder => "split-order",
            Self::AppliedTwice => "applied-twice",
            Self::Content => "content",
            Self::Row => "row",
            Self::View => "view",
            Self::Api => "api",
            Self::Offset => "offset",
            Self::Unexpected => "unexpected",
            Self::Parked => "parked",
            Self::DeadLettered => "dead-lettered",
            Self::NothingChecked => "nothing-checked",
        }
    }
}

/// What a finding is about.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) order_id: &'a str,
    pub(super) revision: Revision,
    pub(super) origin: Option<Origin>,
}

impl<'a> Subject<'a> {
    /// An event of an order.
    pub(super) fn event(order_id: &'a OrderId, revision: Revision, origin: Option<Origin>) -> Self {
        Self { order_id: order_id.as_str(), revision, origin }
    }

    /// A place in the log whose event is not known.
    pub(super) fn place(origin: Origin) -> Self {
        Self { order_id: "", revision: 0, origin: Some(origin) }
    }

    /// The whole trial.
    pub(super) fn trial() -> Self {
        Self { order_id: "", revision: 0, origin: None }
    }
}

/// Collects findings.
#[derive(Default)]
pub(super) struct Findings {
    kept: BTreeMap<Kind, Vec<Finding>>,
    counts: BTreeMap<Kind, u64>,
}

impl Findings {
    /// Counts a finding; `message` is only asked for while there is room to keep it.
    pub(super) fn add(&mut self, kind: Kind, subject: Subject<'_>, message: impl FnOnce() -> String) {
        *self.counts.entry(kind).or_default() += 1;
        let kept = self.kept.entry(kind).or_default();
        if kept.len() < FINDINGS_PER_KIND {
            kept.push(Finding {
                kind: kind.as_str().into(),
                order_id: subject.order_id.into(),
                revision: subject.revision,
                partition: subject.origin.map(|o| o.partition),
                offset: subject.origin.map(|o| o.offset),
                message: message(),
            });
        }
    }

    /// All that were counted.
    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The same by kind.
    pub(super) fn by_kind(&self) -> BTreeMap<String, u64> {
        self.counts.iter().map(|(kind, count)| (kind.as_str().to_owned(), *count)).collect()
    }

    /// Those that were kept, by kind, each kind as found.
    pub(super) fn into_kept(self) -> Vec<Finding> {
        self.kept.into_values().flatten().collect()
    }
}
