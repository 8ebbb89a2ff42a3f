//! What one start has at the daemon: a network of its own, and containers in it.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use testcontainers::bollard::models::{NetworkCreateRequest, PortBinding};
use testcontainers::core::{ContainerPort, ExecCommand};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::daemon::Daemon;
use super::images;
use super::owner::Owner;
use super::sweep::{self, MADE, OWNER, PROJECT};
use crate::stack::ports::Reserved;
use crate::stack::process::{Deadline, POLL, TAIL_LINES, tail};
use crate::stack::{Component, StackError};

/// How long starts that are under way are waited for before everything is removed. What comes later is found by the next sweep.
const UNDER_WAY_LIMIT: Duration = Duration::from_secs(30);

/// How often it is looked whether a container has ended, while readiness is waited for.
const LOOK: Duration = Duration::from_millis(300);

/// Containers and their network. Dropping it removes both, blocking the thread for as long as that takes.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) daemon: Arc<Daemon>,
    pub(super) name: String,
    labels: Vec<(&'static str, String)>,
    running: Arc<Mutex<Vec<Running>>>,
    under_way: TaskTracker,
}

/// A container that was started.
struct Running {
    component: Component,
    container: ContainerAsync<GenericImage>,
}

/// Without its environment, in which passwords are.
impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("component", &self.component)
            .field("container", &self.container.id())
            .finish()
    }
}

/// How a container is started.
pub(super) struct Plan<'a> {
    pub(super) component: Component,
    pub(super) image: &'a str,
    /// At which its clients find it, in the container.
    pub(super) port: u16,
    /// The same on 127.0.0.1.
    pub(super) published: Reserved,
}

impl Project {
    /// Makes the network.
    pub(super) async fn create(daemon: Arc<Daemon>) -> Result<Self, StackError> {
        let name = format!("lanebench-{:08x}", rand::random::<u32>());
        let owner = Owner::me().map_err(|reason| StackError::Docker {
            doing: "be given the owner of containers".to_owned(),
            reason,
        })?;
        let made = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let labels = vec![(PROJECT, name.clone()), (OWNER, owner.to_string()), (MADE, made.to_string())];
        // Before the network: should it be made after the answer was no longer waited for, it is removed all the same.
        let project = Self { daemon, name, labels, running: Arc::default(), under_way: TaskTracker::new() };
        let request = NetworkCreateRequest {
            name: project.name.clone(),
            labels: Some(
                project.labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            ),
            ..NetworkCreateRequest::default()
        };
        let docker = project.daemon.docker();
        let made = project.under_way.track_future(async move { docker.create_network(request).await });
        project.daemon.ask("make a network", made).await?;
        Ok(project)
    }

    /// The name that other containers of the network know a part by.
    pub(super) fn host_of(&self, component: Component) -> String {
        format!("{}-{}", self.name, part_name(component))
    }

    /// Starts a container; `more` adds what its part needs. It runs from here on, and whether it is ready is for others to ask.
    pub(super) async fn start(
        &self,
        plan: Plan<'_>,
        more: impl FnOnce(ContainerRequest<GenericImage>) -> ContainerRequest<GenericImage>,
    ) -> Result<(), StackError> {
        let Plan { component, image, port, published } = plan;
        let (image, tag) = images::split(image);
        let inside = ContainerPort::Tcp(port);
        let binding = PortBinding {
            host_ip: Some("127.0.0.1".to_owned()),
            host_port: Some(published.port().to_string()),
        };
        let bindings = [(inside.to_string(), Some(vec![binding]))];
        let request = GenericImage::new(image, tag)
            .with_exposed_port(inside)
            .with_container_name(self.host_of(component))
            .with_network(&self.name)
            .with_labels(self.labels.iter().map(|(name, value)| (*name, value.as_str())))
            .with_host_config_modifier(move |host| {
                host.publish_all_ports = Some(false);
                host.port_bindings = Some(bindings.clone().into());
            });
        let request = more(request);
        let running = Arc::clone(&self.running);
        // Tracked, and on the daemon's threads, so that it comes to its end whoever stops waiting.
        let started = self.under_way.track_future(async move {
            published.release();
            let container = request.start().await?;
            running.lock().await.push(Running { component, container });
            Ok::<_, testcontainers::TestcontainersError>(())
        });
        self.daemon.ask(format!("start the container of {component}"), started).await
    }

    /// Asks again and again until the answer is yes, one of this project's containers has ended, or time is up. A question must
    /// be bounded by itself; what a "no" says becomes part of the error, which is laid to `component`.
    pub(super) async fn until_ready<T, Answer>(
        &self,
        component: Component,
        deadline: Deadline,
        ask: impl FnMut() -> Answer,
    ) -> Result<T, StackError>
    where
        Answer: Future<Output = Result<T, String>>,
    {
        self.until_answers(component, deadline, |_| true, ask).await
    }

    /// The same while others may have ended, as where a scenario breaks several: only of `watched` parts an end is an error.
    pub(super) async fn until_answers<T, Answer>(
        &self,
        component: Component,
        deadline: Deadline,
        watched: impl Fn(Component) -> bool,
        mut ask: impl FnMut() -> Answer,
    ) -> Result<T, StackError>
    where
        Answer: Future<Output = Result<T, String>>,
    {
        let mut looked: Option<Instant> = None;
        loop {
            let answer = ask().await;
            // Also after a yes: it may have come from a stranger who took the port.
            if answer.is_ok() || looked.is_none_or(|at| at.elapsed() > LOOK) {
                if let Some((component, status)) =
                    self.ended().await?.into_iter().find(|(ended, _)| watched(*ended))
                {
                    let log_tail = self.log_tail(component).await;
                    return Err(StackError::Exited { component, status, log_tail });
                }
                looked = Some(Instant::now());
            }
            match answer {
                Ok(answer) => return Ok(answer),
                Err(waiting_for) if deadline.has_passed() => {
                    return Err(deadline.missed(component, waiting_for, self.log_tail(component).await));
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// The containers that have ended, with their exit codes.
    pub(super) async fn ended(&self) -> Result<Vec<(Component, ExitStatus)>, StackError> {
        let running = Arc::clone(&self.running);
        let look = async move {
            let mut ended = Vec::new();
            for Running { component, container } in running.lock().await.iter() {
                if let Some(code) = container.exit_code().await? {
                    // As wait(2) gives it: the code in the second byte.
                    ended.push((*component, ExitStatus::from_raw((code as i32 & 0xff) << 8)));
                }
            }
            Ok::<_, testcontainers::TestcontainersError>(ended)
        };
        self.daemon.ask("say which containers run", look).await
    }

    /// What the container of `component` has written, and nothing if it has none.
    async fn log(&self, component: Component) -> Result<Vec<u8>, StackError> {
        let running = Arc::clone(&self.running);
        let read = async move {
            let running = running.lock().await;
            let Some(held) = running.iter().find(|held| held.component == component) else {
                return Ok(Vec::new());
            };
            let mut log = held.container.stdout_to_vec().await?;
            log.extend(held.container.stderr_to_vec().await?);
            Ok::<_, testcontainers::TestcontainersError>(log)
        };
        self.daemon.ask(format!("give the log of {component}"), read).await
    }

    /// The last lines of a log, or why they can't be had.
    async fn log_tail(&self, component: Component) -> String {
        match self.log(component).await {
            Ok(log) => tail(&String::from_utf8_lossy(&log), TAIL_LINES),
            Err(error) => format!("({error})"),
        }
    }

    /// Writes all logs to `directory`, which it makes, a file for each container: what went to stdout, then what went to stderr.
    pub(super) async fn keep_logs(&self, directory: &Path) -> Result<(), StackError> {
        let failed = |path: &Path, cause| StackError::Scratch { path: path.to_owned(), cause };
        std::fs::create_dir_all(directory).map_err(|cause| failed(directory, cause))?;
        for component in self.components().await {
            let path = directory.join(format!("{}.log", part_name(component)));
            std::fs::write(&path, self.log(component).await?).map_err(|cause| failed(&path, cause))?;
        }
        Ok(())
    }

    /// The parts that were started.
    pub(super) async fn components(&self) -> Vec<Component> {
        self.running.lock().await.iter().map(|held| held.component).collect()
    }

    /// The process id of a container on this machine; none where the daemon counts them in a namespace that is not to be seen
    /// from here.
    pub(super) async fn pid(&self, component: Component) -> Option<u32> {
        let id = {
            let running = self.running.lock().await;
            running.iter().find(|held| held.component == component)?.container.id().to_owned()
        };
        let docker = self.daemon.docker();
        let asked = id.clone();
        let inspect = async move { docker.inspect_container(&asked, None).await };
        let inspected = self.daemon.ask("look into a container", inspect).await.ok()?;
        let pid = u32::try_from(inspected.state?.pid?).ok().filter(|pid| *pid > 0)?;
        // Its control group is named after it; of another process that has the same id here, it is not.
        let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        group.contains(&id).then_some(pid)
    }

    /// What `command` prints in the container of `component`.
    pub(super) async fn output_of(&self, component: Component, command: [&'static str; 2]) -> Option<String> {
        let running = Arc::clone(&self.running);
        let run = async move {
            let running = running.lock().await;
            let Some(held) = running.iter().find(|held| held.component == component) else {
                return Ok(Vec::new());
            };
            held.container.exec(ExecCommand::new(command)).await?.stdout_to_vec().await
        };
        let output = self.daemon.ask("run a command in a container", run).await.ok()?;
        Some(String::from_utf8_lossy(&output).into_owned())
    }

    /// Removes everything, off the runtime's threads.
    pub(super) async fn stop(self) {
        // It fails only if the runtime is shutting down, and then dropping has done it, or a panic says why not.
        if let Err(error) = tokio::task::spawn_blocking(move || drop(self)).await {
            tracing::error!(%error, "the containers were not removed properly");
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.under_way.close();
        let (daemon, name) = (Arc::clone(&self.daemon), self.name.clone());
        let (running, under_way) = (Arc::clone(&self.running), self.under_way.clone());
        // A thread of its own, since this one may be a runtime's, where waiting for another is not allowed.
        let remove = move || {
            daemon.handle().block_on(async {
                if tokio::time::timeout(UNDER_WAY_LIMIT, under_way.wait()).await.is_err() {
                    tracing::error!(project = name, "a container is still being started; the next start removes it");
                }
                let mut removals = tokio::task::JoinSet::new();
                for held in running.lock().await.drain(..) {
                    removals.spawn(held.container.rm());
                }
                // What did not go, and what no handle was had of, goes by its label.
                removals.join_all().await;
                if let Err(error) = sweep::project(&daemon.docker(), &name).await {
                    tracing::error!(project = name, %error, "not everything could be removed; the next start will try");
                }
            });
        };
        match std::thread::Builder::new()
            .name("docker-end".to_owned())
            .spawn(remove)
            .map(|thread| thread.join())
        {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => tracing::error!(project = self.name, "the containers were not removed"),
        }
    }
}

/// What a container and its log are called after.
fn part_name(component: Component) -> String {
    match component {
        Component::Kafka { node } => format!("kafka-{node}"),
        Component::Postgres => "postgres".to_owned(),
        Component::Redis => "redis".to_owned(),
        Component::Worker => "worker".to_owned(),
    }
}
