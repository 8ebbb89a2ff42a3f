//! What breaks during a phase, by its timeline: broken when it is due, mended when it has lasted long enough.

use std::sync::Arc;
use std::time::Duration;

use payment_delivery::kafka::admin::Admin;

use super::process::Workers;
use crate::error::RunError;
use crate::measure::timeline::Timeline;
use crate::record::{FaultRecord, FaultSpan};
use crate::scenario::{Action, Fault, Target};
use crate::stack::{Component, FaultKind, Stack};
use crate::workspace::TrialWorkspace;

/// What can be broken.
pub(super) struct FaultInjector<'a> {
    pub(super) stack: &'a Stack,
    pub(super) admin: &'a Admin,
    pub(super) place: &'a TrialWorkspace,
    pub(super) timeline: &'a Arc<Timeline>,
    /// Consumers that are processes of their own.
    pub(super) workers: Option<Arc<Workers>>,
}

/// One thing that can be broken, and is mended again.
enum FaultTarget {
    OfStack(Component, FaultKind),
    Consumer(u16, Action),
}

impl FaultInjector<'_> {
    /// Breaks and mends, each when it is due from `start_ns` on; returns when all of it is mended.
    ///
    /// # Errors
    /// [`RunError::Fault`] where there is nothing to break, and those of a part that does not come back.
    pub(super) async fn play(&self, faults: &[Fault], start_ns: u64) -> Result<Vec<FaultRecord>, RunError> {
        futures_util::future::try_join_all(faults.iter().map(|fault| self.one(fault, start_ns))).await
    }

    async fn one(&self, fault: &Fault, start_ns: u64) -> Result<FaultRecord, RunError> {
        let Fault { at, target, action, lasts } = *fault;
        self.wait_until(start_ns, at).await;
        let (part, what) = self.part(target, action).await?;
        tracing::info!(%what, action = action.as_str(), "breaking");
        let began_ms = self.since(start_ns);
        let broken = self.timeline.clock().now_ns();
        let frozen = FreezeGuard { of: self, part: &part, is_frozen: action == Action::Pause };
        self.break_down(&part).await?;
        self.wait_until(broken, lasts).await;
        let mended_ms = self.since(start_ns);
        drop(frozen);
        self.start_again(&part).await?;
        tracing::info!(%what, "mended");
        let span = FaultSpan {
            planned_ms: at.as_secs_f64() * 1e3,
            began_ms,
            mended_ms,
            back_ms: self.since(start_ns),
            reassigned_ms: None, // seen when the phase is over
            drained_ms: None,
        };
        Ok(FaultRecord { target: target.to_string(), action: action.as_str().into(), what, span: Some(span) })
    }

    /// What a target is at this moment.
    async fn part(&self, target: Target, action: Action) -> Result<(FaultTarget, String), RunError> {
        let how = if action == Action::Pause { FaultKind::Freeze } else { FaultKind::Kill };
        let component = match target {
            Target::Consumer(number) => {
                let number = u16::try_from(number).unwrap_or(u16::MAX);
                return Ok((FaultTarget::Consumer(number, action), format!("consumer {number}")));
            }
            Target::Broker(node) => Component::Kafka { node: node as usize },
            Target::Leader(partition) => {
                let partitions = self.admin.describe_topic(&self.place.topic).await?;
                let leads = partitions.iter().find(|info| info.id == partition.cast_signed());
                let leader = leads.and_then(|info| info.leader).ok_or_else(|| {
                    RunError::Fault(format!("partition {partition} has no leader that could break"))
                })?;
                Component::Kafka { node: usize::try_from(leader).unwrap_or_default() }
            }
            Target::Coordinator => {
                let node = self.admin.group_coordinator(&self.place.group).await?.id;
                Component::Kafka { node: usize::try_from(node).unwrap_or_default() }
            }
            Target::Store => Component::Postgres,
            Target::View => Component::Redis,
        };
        Ok((FaultTarget::OfStack(component, how), component.to_string()))
    }

    async fn break_down(&self, part: &FaultTarget) -> Result<(), RunError> {
        match part {
            FaultTarget::OfStack(component, how) => Ok(self.stack.break_component(*component, *how).await?),
            FaultTarget::Consumer(number, action) => self.workers()?.break_down(*number, *action).await,
        }
    }

    /// Starts what was stopped or killed; nothing happens to what was frozen.
    async fn start_again(&self, part: &FaultTarget) -> Result<(), RunError> {
        match part {
            FaultTarget::OfStack(component, FaultKind::Kill) => {
                Ok(self.stack.start_again(*component).await?)
            }
            FaultTarget::Consumer(number, Action::Stop | Action::Kill) => {
                self.workers()?.start_again(*number)
            }
            FaultTarget::OfStack(_, FaultKind::Freeze) | FaultTarget::Consumer(_, Action::Pause) => Ok(()),
        }
    }

    fn workers(&self) -> Result<&Workers, RunError> {
        self.workers.as_deref().ok_or_else(|| RunError::Fault("no consumer is a process of its own".into()))
    }

    async fn wait_until(&self, from_ns: u64, after: Duration) {
        let until_ns = from_ns + after.as_nanos() as u64;
        let left = until_ns.saturating_sub(self.timeline.clock().now_ns());
        tokio::time::sleep(Duration::from_nanos(left)).await;
    }

    fn since(&self, start_ns: u64) -> f64 {
        self.timeline.clock().now_ns().saturating_sub(start_ns) as f64 / 1e6
    }
}

/// Something that may be frozen: dropped, it goes on. So nothing stays frozen when a run is interrupted.
struct FreezeGuard<'a> {
    of: &'a FaultInjector<'a>,
    part: &'a FaultTarget,
    is_frozen: bool,
}

impl Drop for FreezeGuard<'_> {
    fn drop(&mut self) {
        match self.part {
            _ if !self.is_frozen => {}
            FaultTarget::OfStack(component, _) => self.of.stack.thaw(*component),
            FaultTarget::Consumer(number, _) => {
                self.of.workers.iter().for_each(|workers| workers.thaw(*number));
            }
        }
    }
}
