//! What breaks during a phase, by its timeline: broken when it is due, mended when it has lasted long enough. And partitions that are added.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::producer::ProducerConfig;

use super::inject::{Extra, Orders, inject};
use super::observe::Observer;
use super::process::Workers;
use super::throttle;
use crate::error::RunError;
use crate::load::feed::{self, SharedProducer};
use crate::measure::timeline::{PhaseId, Timeline};
use crate::record::{FaultRecord, FaultSpan};
use crate::scenario::{Action, Added, Fault, Target};
use crate::stack::{Component, HeldConnections, Stack, StackKind};
use crate::workspace::TrialWorkspace;

/// Consumers have so long to find partitions that were added, and to share them: as long as they may go without a look at the topic, and some.
const SHARED_WITHIN: Duration = Duration::from_secs(60);

/// Which controller is the active one is said within this, or not asked for any longer: the fault is due.
const SAID_WITHIN: Duration = Duration::from_secs(1);

/// How often it is looked whether all that was sent is worked off.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a run that was interrupted has broken is back within this, or left to the end of its stack.
const MENDED_WITHIN: Duration = Duration::from_secs(20);
/// How long that may go on without one event less.
const STUCK_AFTER: Duration = Duration::from_secs(20);

/// What can be broken.
pub(super) struct FaultInjector<'a> {
    pub(super) stack: &'a Stack,
    pub(super) admin: &'a Admin,
    pub(super) place: &'a TrialWorkspace,
    pub(super) timeline: &'a Arc<Timeline>,
    /// Whose events are under way.
    pub(super) phase: PhaseId,
    /// Consumers that are processes of their own.
    pub(super) workers: Option<Arc<Workers>>,
    /// What sends, and has to learn of partitions that are added.
    pub(super) producer: &'a SharedProducer,
    /// What is broken at present.
    pub(super) broken: &'a Broken,
    /// What samples lag, and has to learn of them, too.
    pub(super) observer: &'a Observer,
    /// What does something to orders.
    pub(super) orders: Orders,
}

/// What was done in a phase.
#[derive(Default)]
pub(super) struct Played {
    /// In the order in which it was to be done.
    pub(super) broken: Vec<FaultRecord>,
    /// Events that were acknowledged for it.
    pub(super) extra: Vec<Extra>,
}

/// What of a stack is broken at present. A run that is interrupted in the middle leaves it so, and then it is mended here.
#[derive(Default)]
pub(super) struct Broken(Mutex<Vec<(Component, Action)>>);

impl Broken {
    fn add(&self, component: Component, action: Action) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((component, action));
    }

    fn is_mended(&self, component: Component) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(broken, _)| *broken != component);
    }

    /// Mends what is left, as far as that can be done soon.
    pub(super) async fn mend_all(&self, stack: &Stack) {
        let left = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (component, action) in left {
            let mended = tokio::time::timeout(MENDED_WITHIN, stack.mend(component, action)).await;
            if !matches!(mended, Ok(Ok(()))) {
                tracing::warn!(%component, "it was broken by the scenario, and is not back");
            }
        }
    }
}

/// One thing that can be broken, and is mended again.
enum FaultTarget {
    OfStack(Component, Action),
    Consumer(u16, Action),
}

impl FaultInjector<'_> {
    /// Breaks and mends, each when it is due from `start_ns` on; returns when all of it is mended.
    ///
    /// # Errors
    /// [`RunError::Fault`] where there is nothing to break, and those of a part that does not come back.
    pub(super) async fn play(&self, faults: &[Fault], start_ns: u64) -> Result<Played, RunError> {
        let each = faults.iter().map(|fault| self.one(fault, start_ns));
        let (broken, extra): (_, Vec<_>) =
            futures_util::future::try_join_all(each).await?.into_iter().unzip();
        Ok(Played { broken, extra: extra.concat() })
    }

    async fn one(&self, fault: &Fault, start_ns: u64) -> Result<(FaultRecord, Vec<Extra>), RunError> {
        self.wait_until(start_ns, fault.at).await;
        let mut extra = Vec::new();
        let record = match (fault.target, fault.action) {
            (Target::Topic(added), _) => self.add_partitions(fault, added, start_ns).await?,
            (Target::Order, action) => {
                let last = self.orders.choose(self.timeline, self.phase).await?;
                let began_ms = self.since(start_ns);
                extra = inject(action, &last, self.place, self.producer).await?;
                self.record(fault, last.order_id.to_string(), start_ns, began_ms, self.since(start_ns))
            }
            (Target::Leader(partition), Action::Move) => {
                let began_ms = self.since(start_ns);
                let what = self.move_leader(partition).await?;
                self.record(fault, what, start_ns, began_ms, self.since(start_ns))
            }
            _ => self.break_and_mend(fault, start_ns).await?,
        };
        Ok((record, extra))
    }

    async fn break_and_mend(&self, fault: &Fault, start_ns: u64) -> Result<FaultRecord, RunError> {
        let Fault { target, action, lasts, .. } = *fault;
        let (broken, what) = self.target(target, action).await?;
        tracing::info!(%what, action = action.as_str(), "breaking");
        let began_ms = self.since(start_ns);
        let broken_ns = self.timeline.clock().now_ns();
        let frozen = FreezeGuard { of: self, broken: &broken, is_frozen: action == Action::Pause };
        let (throttled, held) = match action {
            Action::Throttle => (Some(throttle::MostlyStopped::start(self.pid(&broken)?)?), None),
            _ => (None, Some(self.break_down(&broken).await?)),
        };
        self.wait_until(broken_ns, lasts).await;
        let mended_ms = self.since(start_ns);
        drop((frozen, held, throttled));
        self.start_again(&broken).await?;
        tracing::info!(%what, "mended");
        Ok(self.record(fault, what, start_ns, began_ms, mended_ms))
    }

    /// Lets another broker lead a partition.
    async fn move_leader(&self, partition: u32) -> Result<String, RunError> {
        let leader = self.leader(partition).await?;
        let mut brokers = self.admin.brokers().await?.into_iter().map(|broker| broker.id);
        let to = brokers.find(|id| *id != leader).ok_or_else(|| {
            RunError::Fault(format!("partition {partition} has no other broker that could lead it"))
        })?;
        let node = |id: i32| usize::try_from(id).unwrap_or_default();
        self.stack.move_leader(&self.place.topic, partition.cast_signed(), node(to))?;
        let of = |id| Component::Kafka { node: node(id) };
        Ok(format!("{} to {}", of(leader), of(to)))
    }

    /// Whether a broker is the active controller as well: if it is gone, the sessions of all brokers begin anew.
    async fn leads_controllers(&self, node: usize) -> bool {
        if self.stack.kind() == StackKind::Embedded {
            return false; // nobody to ask
        }
        match tokio::time::timeout(SAID_WITHIN, self.admin.active_controller()).await {
            Ok(Ok(leader)) => usize::try_from(leader) == Ok(node),
            Ok(Err(error)) => {
                tracing::debug!(%error, "which controller is the active one is not known");
                false
            }
            Err(_) => false,
        }
    }

    async fn leader(&self, partition: u32) -> Result<i32, RunError> {
        let partitions = self.admin.describe_topic(&self.place.topic).await?;
        let leads = partitions.iter().find(|info| info.id == partition.cast_signed());
        leads
            .and_then(|info| info.leader)
            .ok_or_else(|| RunError::Fault(format!("partition {partition} has no leader that could break")))
    }

    /// What was done when; it is over now.
    fn record(
        &self,
        fault: &Fault,
        what: String,
        start_ns: u64,
        began_ms: f64,
        mended_ms: f64,
    ) -> FaultRecord {
        let span = FaultSpan {
            planned_ms: fault.at.as_secs_f64() * 1e3,
            began_ms,
            mended_ms,
            back_ms: self.since(start_ns),
            // Seen when the phase is over.
            noticed_ms: None,
            reassigned_ms: None,
            drained_ms: None,
        };
        let (target, action) = (fault.target.to_string(), fault.action.as_str().into());
        FaultRecord { target, action, what, span: Some(span) }
    }

    /// Partitions are added, and whoever sends learns of them. Over when each has an owner.
    async fn add_partitions(
        &self,
        fault: &Fault,
        added: Added,
        start_ns: u64,
    ) -> Result<FaultRecord, RunError> {
        let failed = |error: &dyn std::fmt::Display| RunError::Load(error.to_string());
        let (before, topic) = (self.place.partitions, &self.place.topic);
        let partitions = before + added.partitions.cast_signed();
        let what = format!("{before} to {partitions} partitions");
        tracing::info!(%what, action = fault.action.as_str(), "adding");
        let began_ms = self.since(start_ns);
        let mut held = None;
        if fault.action == Action::DrainAndAdd {
            held = Some(self.producer.hold().await.map_err(|error| failed(&error))?);
            self.drained().await?;
        }
        self.admin.add_partitions(topic, partitions).await?;
        self.observer.topic_grew();
        let (bootstrap, topic) = (self.place.bootstrap.clone(), topic.clone());
        let grown = feed::producer(bootstrap, topic, partitions, ProducerConfig::default()).await?;
        let mut held = match held {
            Some(held) => held,
            None => self.producer.hold().await.map_err(|error| failed(&error))?,
        };
        held.replace(grown);
        drop(held);
        let mended_ms = self.since(start_ns);
        self.shared(partitions, SHARED_WITHIN + added.noticed.unwrap_or_default()).await?;
        Ok(self.record(fault, what, start_ns, began_ms, mended_ms))
    }

    /// Waits until each partition has an owner, however many owners there are: one may be away.
    async fn shared(&self, partitions: i32, within: Duration) -> Result<(), RunError> {
        let begun = Instant::now();
        loop {
            let mut owned: Vec<i32> = self.timeline.owned().into_values().flatten().collect();
            owned.sort_unstable();
            if owned.into_iter().eq(0..partitions) {
                return Ok(());
            }
            if begun.elapsed() > within {
                let what =
                    format!("of {partitions} partitions some had no consumer after {} s", within.as_secs());
                return Err(RunError::Fault(what));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until all that was acknowledged is visible, while nothing more is sent.
    async fn drained(&self) -> Result<(), RunError> {
        let waiting = || -> usize {
            let of =
                |phase| self.timeline.acked_count(phase).saturating_sub(self.timeline.visible_count(phase));
            self.timeline.phases().map(of).sum()
        };
        let (mut left, mut last_fewer) = (waiting(), Instant::now());
        while left > 0 {
            if last_fewer.elapsed() > STUCK_AFTER {
                return Err(RunError::Fault(format!(
                    "{left} events were not worked off, and partitions were to be added then"
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
            let now = waiting();
            if now < left {
                last_fewer = Instant::now();
            }
            left = now;
        }
        Ok(())
    }

    /// What a target is at this moment.
    async fn target(&self, target: Target, action: Action) -> Result<(FaultTarget, String), RunError> {
        let component = match target {
            Target::Consumer(number) => {
                let number = u16::try_from(number).unwrap_or(u16::MAX);
                return Ok((FaultTarget::Consumer(number, action), format!("consumer {number}")));
            }
            Target::Broker(node) => Component::Kafka { node: node as usize },
            Target::Leader(partition) => {
                let leader = self.leader(partition).await?;
                Component::Kafka { node: usize::try_from(leader).unwrap_or_default() }
            }
            Target::Coordinator => {
                let node = self.admin.group_coordinator(&self.place.group).await?.id;
                Component::Kafka { node: usize::try_from(node).unwrap_or_default() }
            }
            Target::Store => Component::Postgres,
            Target::View => Component::Redis,
            Target::Topic(_) | Target::Order => {
                return Err(RunError::Fault(format!("the {target} does not break")));
            }
        };
        let what = match (component, action) {
            (_, Action::Slow { by }) => format!("{component}, by {by:?}"),
            (Component::Kafka { node }, Action::Kill | Action::Pause | Action::Disconnect)
                if self.leads_controllers(node).await =>
            {
                format!("{component}, the active controller")
            }
            _ => component.to_string(),
        };
        Ok((FaultTarget::OfStack(component, action), what))
    }

    async fn break_down(&self, target: &FaultTarget) -> Result<HeldConnections, RunError> {
        match target {
            FaultTarget::OfStack(component, how) => {
                self.broken.add(*component, *how);
                Ok(self.stack.break_component(*component, *how).await?)
            }
            FaultTarget::Consumer(number, action) => {
                self.workers()?.break_down(*number, *action).await?;
                Ok(HeldConnections::default())
            }
        }
    }

    /// Brings back what was stopped, killed or cut off; nothing happens to what was frozen.
    async fn start_again(&self, target: &FaultTarget) -> Result<(), RunError> {
        match target {
            FaultTarget::OfStack(component, how) => {
                self.stack.mend(*component, *how).await?;
                self.broken.is_mended(*component);
                Ok(())
            }
            FaultTarget::Consumer(number, Action::Stop | Action::Kill) => {
                self.workers()?.start_again(*number)
            }
            FaultTarget::Consumer(..) => Ok(()),
        }
    }

    /// The process that it is.
    fn pid(&self, target: &FaultTarget) -> Result<u32, RunError> {
        let pids = self.stack.pids();
        let (pid, what) = match target {
            FaultTarget::Consumer(number, _) => return self.workers()?.pid(*number),
            FaultTarget::OfStack(component, _) => match component {
                Component::Kafka { node } => (pids.kafka.get(node.wrapping_sub(1)).copied(), component),
                Component::Postgres => (pids.postgres, component),
                Component::Redis => (pids.redis, component),
                Component::Worker => (None, component),
            },
        };
        pid.ok_or_else(|| RunError::Fault(format!("{what} is no process that was started here")))
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
    broken: &'a FaultTarget,
    is_frozen: bool,
}

impl Drop for FreezeGuard<'_> {
    fn drop(&mut self) {
        match self.broken {
            _ if !self.is_frozen => {}
            FaultTarget::OfStack(component, _) => self.of.stack.thaw(*component),
            FaultTarget::Consumer(number, _) => {
                self.of.workers.iter().for_each(|workers| workers.thaw(*number));
            }
        }
    }
}
