//! Breaking a part of a stack on purpose, and mending it again.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::process::{Deadline, POLL, Process, until_ready};
use super::starved::{self, HeldConnections};
use super::{Component, Endpoints, NativeStack, Stack, StackError, StackKind, checks};
use crate::scenario::Action;

/// How long a part that is started again may take until it answers.
pub(super) const BACK_WITHIN: Duration = Duration::from_secs(60);

impl StackKind {
    /// Whether a stack of this kind has parts that can break so.
    pub fn breaks(self, component: Component, how: Action) -> bool {
        let of_it = match how {
            Action::Kill | Action::Pause | Action::Throttle | Action::Disconnect => true,
            Action::Cut | Action::Refuse | Action::Slow { .. } => true,
            Action::UseUp => component == Component::Postgres,
            Action::Demote | Action::Fill => component == Component::Redis,
            Action::Move => matches!(component, Component::Kafka { .. }),
            Action::Stop | Action::Add | Action::DrainAndAdd => false,
            Action::Reorder | Action::Loss | Action::Duplicate | Action::StaleView | Action::Poison => false,
        };
        of_it
            && match self {
                Self::Native => !matches!(how, Action::Disconnect | Action::Move),
                Self::Containers => !how.of_connections() && !matches!(how, Action::Throttle | Action::Move),
                // A broker that lives in this process: it is stopped, its answers are held back, its connections closed.
                Self::Embedded => {
                    matches!(component, Component::Kafka { .. })
                        && !matches!(how, Action::Throttle | Action::Disconnect | Action::Refuse)
                }
                Self::External => false,
            }
    }
}

impl Stack {
    /// Breaks a part. What is killed has ended when this returns. What is used up is so until what comes back is dropped.
    ///
    /// # Errors
    /// [`StackError::Unbreakable`] where this stack has no such part, or it has ended already.
    pub async fn break_component(
        &self,
        component: Component,
        how: Action,
    ) -> Result<HeldConnections, StackError> {
        let unbreakable = || StackError::Unbreakable { component, stack: self.kind() };
        if !self.kind().breaks(component, how) {
            return Err(unbreakable());
        }
        if let (Action::UseUp | Action::Demote | Action::Fill, Some(endpoints)) = (how, self.started()) {
            return starved::begin(endpoints, how).await;
        }
        match (self, component) {
            (Self::Native(native), _) if how.of_connections() => {
                let proxies = native.proxies().ok_or_else(unbreakable)?;
                proxies.break_down(component, how).await.ok_or_else(unbreakable)?;
            }
            (Self::Native(native), _) => {
                let process = native.process(component).ok_or_else(unbreakable)?;
                process.break_down(how).await.ok_or_else(unbreakable)?;
            }
            (Self::Embedded(embedded), Component::Kafka { node }) => match how {
                Action::Kill => embedded.run_node(node, false).await?,
                Action::Cut => embedded.cut(node),
                Action::Slow { by } => embedded.slow(node, by),
                _ => embedded.slow(node, FOREVER),
            },
            (Self::Containers(containers), _) => containers.break_down(component, how).await?,
            (Self::Embedded(_) | Self::External(_), _) => return Err(unbreakable()),
        }
        Ok(HeldConnections::default())
    }

    /// Makes a broker the leader of a partition.
    ///
    /// # Errors
    /// [`StackError::Unbreakable`] where leaders are not ours to move, [`StackError::Embedded`] where there is no such broker.
    pub fn move_leader(&self, topic: &str, partition: i32, to: usize) -> Result<(), StackError> {
        match self {
            Self::Embedded(embedded) => embedded.move_leader(topic, partition, to),
            other => {
                let component = Component::Kafka { node: to };
                Err(StackError::Unbreakable { component, stack: other.kind() })
            }
        }
    }

    /// Lets what was frozen go on.
    pub fn thaw(&self, component: Component) {
        match (self, component) {
            (Self::Native(native), _) => {
                native
                    .process(component)
                    .into_iter()
                    .for_each(|process| _ = signal_all(process, Signal::SIGCONT));
            }
            (Self::Embedded(embedded), Component::Kafka { node }) => embedded.slow(node, Duration::ZERO),
            (Self::Containers(containers), _) => containers.thaw(component),
            (Self::Embedded(_) | Self::External(_), _) => {}
        }
    }

    /// Starts what was killed again, puts back into the network what was cut off, or gives back what was taken, and waits until it answers. What
    /// was frozen goes on by [`Stack::thaw`].
    ///
    /// # Errors
    /// [`StackError::Exited`] where it ends again, [`StackError::NotReady`] where it does not answer within a minute.
    pub async fn mend(&self, component: Component, how: Action) -> Result<(), StackError> {
        if let (Action::Demote | Action::Fill, Some(endpoints)) = (how, self.started()) {
            return starved::end(endpoints, how).await;
        }
        match (self, component, how) {
            (Self::Native(native), _, Action::Kill) => native.start_again(component).await,
            (Self::Native(native), _, _) if how.of_connections() => match native.proxies() {
                Some(proxies) => proxies.mend(component).await,
                None => Ok(()),
            },
            (Self::Embedded(embedded), Component::Kafka { node }, Action::Kill) => {
                embedded.run_node(node, true).await
            }
            (Self::Embedded(embedded), Component::Kafka { node }, Action::Slow { .. }) => {
                embedded.slow(node, Duration::ZERO);
                Ok(())
            }
            (Self::Containers(containers), _, Action::Kill | Action::Pause | Action::Disconnect) => {
                containers.mend(component, how).await
            }
            _ => Ok(()),
        }
    }

    /// Waits until all brokers know each other: one that came back by itself may not yet count with the others.
    ///
    /// # Errors
    /// [`StackError::NotReady`] where they do not within a minute.
    pub async fn until_whole(&self) -> Result<(), StackError> {
        let Some(endpoints) = self.started() else { return Ok(()) };
        let deadline = Deadline::after(BACK_WITHIN);
        loop {
            match checks::kafka_cluster(&endpoints.bootstrap).await {
                Ok(()) => return Ok(()),
                Err(waiting_for) if deadline.has_passed() => {
                    return Err(deadline.missed(Component::Kafka { node: 1 }, waiting_for, String::new()));
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Where parts answer that this stack has started, each in a process or a container of its own.
    fn started(&self) -> Option<&Endpoints> {
        match self {
            Self::Native(native) => Some(native.endpoints()),
            Self::Containers(containers) => Some(containers.endpoints()),
            Self::Embedded(_) | Self::External(_) => None,
        }
    }
}

/// Longer than any run.
const FOREVER: Duration = Duration::from_secs(3600);

impl NativeStack {
    fn process(&self, component: Component) -> Option<&Process> {
        self.processes().find(|process| process.component() == component)
    }

    async fn start_again(&self, component: Component) -> Result<(), StackError> {
        let stack = StackKind::Native;
        let process = self.process(component).ok_or(StackError::Unbreakable { component, stack })?;
        process.start_again()?;
        let deadline = Deadline::after(BACK_WITHIN);
        until_ready(&[process], deadline, || checks::answers(component, self.endpoints())).await
    }
}

impl Process {
    /// `None` if it has ended already.
    async fn break_down(&self, how: Action) -> Option<()> {
        let signal = match (how, self.component()) {
            (Action::Throttle, _) => return None, // by whoever lets it go on again and again
            (Action::Pause, _) => return signal_all(self, Signal::SIGSTOP).then_some(()),
            // PostgreSQL's "immediate shutdown": no checkpoint and no goodbye, so that it has to recover as after a crash. SIGKILL would leave
            // its children, and their shared memory, in the way of the next start.
            (_, Component::Postgres) => Signal::SIGQUIT,
            _ => Signal::SIGKILL,
        };
        let ended = self.signal(signal).then(|| self.exited())?;
        ended.await;
        Some(())
    }
}

/// A process and what it started: PostgreSQL's children, who do the work, have sessions of their own. False if it has ended.
fn signal_all(process: &Process, signal: Signal) -> bool {
    // Frozen before they are listed, and listed before they go on, so that there is none more and none less.
    let signalled = signal == Signal::SIGCONT || process.signal(signal);
    for child in children(process.pid()) {
        // It may have ended meanwhile.
        let _ = kill(Pid::from_raw(child.cast_signed()), signal);
    }
    if signal == Signal::SIGCONT { process.signal(signal) } else { signalled }
}

/// The children of a process.
fn children(parent: u32) -> Vec<u32> {
    let processes = procfs::process::all_processes().into_iter().flatten().flatten();
    let stats = processes.filter_map(|process| process.stat().ok());
    stats.filter(|stat| stat.ppid == parent.cast_signed()).map(|stat| stat.pid.cast_unsigned()).collect()
}
