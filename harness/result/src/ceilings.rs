//! Beside each configuration of a run: what each component did alone in the same run, and the share of it that the configuration reached.

use serde::{Deserialize, Serialize};

use super::Estimate;
use super::limits::Limit;

/// The ceilings of a run's components, and each configuration's shares of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ceilings {
    /// What each component did alone before the rounds, a second. Beside those that configurations have a share of: the other sizes of bulk
    /// calls, `produce_single` (one record after another, each acknowledged), and `generator`, which is measured before the first round only.
    pub limits: Vec<Limit>,
    /// Configuration by configuration.
    pub shares: Vec<CeilingShare>,
}

impl Ceilings {
    /// The limit of a share.
    pub fn limit_of(&self, share: &CeilingShare) -> Option<&Limit> {
        self.limits.get(share.limit)
    }

    /// The first limit of a name.
    pub fn named(&self, name: &str) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.name == name)
    }
}

/// What a configuration sustained, as a share of what one component did alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CeilingShare {
    /// Name of the configuration.
    pub configuration: String,
    /// `store`, `view`, `produce`, `fetch`, or `calls`: the modelled calls, whose ceiling is computed.
    pub component: String,
    /// The ceiling: an index of [`Ceilings::limits`], from 0.
    pub limit: usize,
    /// Sustained throughput ÷ the ceiling's rate before the same round; 1 is all of it. Over the rounds that count.
    ///
    /// The sustained throughput counts events. A limit with `per_call` counts rows or statuses, and one of these may hold several events
    /// of its order: such a share may be above 1.
    pub share: Estimate,
    /// Whether it is the largest share of its configuration.
    pub is_nearest: bool,
}

impl CeilingShare {
    /// Marks the largest of one configuration's shares.
    pub fn mark_nearest(own: &mut [Self]) {
        if let Some(nearest) = own.iter_mut().max_by(|a, b| a.share.value.total_cmp(&b.share.value)) {
            nearest.is_nearest = true;
        }
    }
}
