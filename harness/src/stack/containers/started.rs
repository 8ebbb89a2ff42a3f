//! The stack, started; and what it needs to be.

use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use testcontainers::GenericImage;
use testcontainers::bollard::errors::Error;
use testcontainers::runners::AsyncRunner;
use tokio_util::sync::CancellationToken;

use super::daemon::Daemon;
use super::project::Project;
use super::sweep::Swept;
use super::{ContainerOptions, Images, images, kafka, pids, postgres, redis, sweep};
use crate::scenario::Action;
use crate::stack::faults::BACK_WITHIN;
use crate::stack::ports::{Ports, Wanted};
use crate::stack::process::Deadline;
use crate::stack::requirements::{Presence, Requirement};
use crate::stack::{Component, Endpoints, Facts, Pids, Progress, StackError, checks};

/// For an image to be pulled, from wherever it comes.
const PULL_LIMIT: Duration = Duration::from_secs(900);

/// For a registry to say whether it has an image.
const REGISTRY_LIMIT: Duration = Duration::from_secs(15);

/// A running stack of containers. Dropping it removes everything, blocking the thread for as long as that takes.
#[derive(Debug)]
pub struct ContainerStack {
    endpoints: Endpoints,
    facts: Facts,
    pids: Pids,
    project: Project,
}

impl ContainerStack {
    /// Sweeps what killed runs left, pulls what is not here, then starts everything and waits until each part answers.
    ///
    /// `progress` is called at each step. When `cancel` is cancelled, or on any error, whatever was started is
    /// removed before this returns.
    ///
    /// # Errors
    /// No daemon, a missing image and a taken port are told before anything is started. A container that ends during the
    /// start fails it at once, one that is not ready by [`ContainerOptions::start_limit`] too: both with the end of its log,
    /// and with the directory in which all logs were kept.
    pub async fn start(
        options: ContainerOptions,
        progress: &(dyn Fn(Progress) + Send + Sync),
        cancel: CancellationToken,
    ) -> Result<Self, StackError> {
        let work = async {
            let daemon = Arc::new(Daemon::reach().await?);
            sweep_and_tell(&daemon, progress).await;
            for (image, variable) in named(&options.images) {
                have(&daemon, image, variable, progress).await?;
            }
            // Boxed: a start is a large future, and who awaits it should not have to be one too.
            match Box::pin(Self::attempt(&options, &daemon, progress)).await {
                // The ports that were asked for were looked at before; one of ours was taken meanwhile.
                Err(error) if error.is_lost_port_race() => {
                    progress(Progress::Retrying);
                    Box::pin(Self::attempt(&options, &daemon, progress)).await
                }
                outcome => outcome,
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(StackError::Interrupted),
            outcome = work => outcome,
        }
    }

    async fn attempt(
        options: &ContainerOptions,
        daemon: &Arc<Daemon>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Self, StackError> {
        let ContainerOptions { nodes, kafka_port: kafka, postgres_port: postgres, redis_port: redis, .. } =
            *options;
        let ports = Ports::take(nodes, Wanted { kafka, postgres, redis })?;
        let published_at = ports.numbers();
        let project = Project::create(Arc::clone(daemon)).await?;
        match Box::pin(Self::launch(&project, options, ports, progress)).await {
            Ok((endpoints, mut facts)) => {
                let published = format!("127.0.0.1, by Docker {}", daemon.version());
                for part in [&mut facts.kafka, &mut facts.store, &mut facts.view] {
                    part.settings.insert("published".to_owned(), published.clone());
                }
                let pids = pids::of(&project, nodes, &published_at).await;
                Ok(Self { endpoints, facts, pids, project })
            }
            Err(error) => {
                let error = with_logs(&project, error).await;
                project.stop().await;
                Err(error)
            }
        }
    }

    async fn launch(
        project: &Project,
        options: &ContainerOptions,
        ports: Ports,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(Endpoints, Facts), StackError> {
        let began = Instant::now();
        let deadline = Deadline::after(options.start_limit);
        progress(Progress::Starting { nodes: options.nodes });
        let ready = |part| {
            progress(Progress::Ready { part, after: began.elapsed() });
        };
        let Images { kafka, postgres, redis } = &options.images;
        let kafka = async {
            let started = kafka::start(project, kafka, ports.brokers, deadline).await?;
            ready("Kafka");
            Ok(started)
        };
        let postgres = async {
            let started = postgres::start(project, postgres, ports.postgres, deadline).await?;
            ready("PostgreSQL");
            Ok(started)
        };
        let redis = async {
            let started = redis::start(project, redis, ports.redis, deadline).await?;
            ready("Redis");
            Ok(started)
        };
        let ((bootstrap, kafka), (database_url, store), (redis_url, view)) =
            tokio::try_join!(kafka, postgres, redis)?;
        let facts = Facts { nodes: options.nodes, kafka, store, view };
        Ok((Endpoints { bootstrap, database_url, redis_url }, facts))
    }

    /// Where the parts answer.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Versions and settings.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Process ids on this machine, all or none: none where the daemon's processes are not in this /proc.
    pub fn pids(&self) -> Pids {
        self.pids.clone()
    }

    /// The parts that have ended, with their exit codes: between two trials, a reason to stop.
    pub async fn ended(&self) -> Vec<(Component, ExitStatus)> {
        self.project.ended().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "can't tell which containers run");
            Vec::new()
        })
    }

    /// Breaks a part.
    ///
    /// # Errors
    /// [`StackError::Docker`].
    pub async fn break_down(&self, component: Component, how: Action) -> Result<(), StackError> {
        self.project.break_down(component, how).await
    }

    /// Lets what was frozen go on.
    pub fn thaw(&self, component: Component) {
        self.project.thaw(component);
    }

    /// Brings a part back, and waits until it answers.
    ///
    /// # Errors
    /// [`StackError::Exited`] where it ends again, [`StackError::NotReady`] where it does not answer within a minute, [`StackError::Docker`].
    pub async fn mend(&self, component: Component, how: Action) -> Result<(), StackError> {
        self.project.mend(component, how).await?;
        let (deadline, endpoints) = (Deadline::after(BACK_WITHIN), &self.endpoints);
        let (project, itself) = (&self.project, |other| other == component);
        let ask = || checks::answers(component, endpoints);
        project.until_answers(component, deadline, itself, ask).await
    }

    /// Writes the logs of all containers to `directory`, which it makes.
    ///
    /// # Errors
    /// [`StackError::Scratch`] for what can't be written, [`StackError::Docker`] for what can't be read.
    pub async fn keep_logs(&self, directory: &Path) -> Result<(), StackError> {
        self.project.keep_logs(directory).await
    }

    /// Removes everything, off the runtime's threads.
    pub async fn stop(self) {
        self.project.stop().await;
    }
}

async fn sweep_and_tell(daemon: &Daemon, progress: &(dyn Fn(Progress) + Send + Sync)) {
    let docker = daemon.docker();
    match daemon.ask("remove what a killed run left", async move { sweep::dead(&docker).await }).await {
        Ok(Swept { containers: 0, networks: 0 }) => {}
        Ok(Swept { containers, networks }) => progress(Progress::SweptContainers { containers, networks }),
        // It must not keep a new run from starting.
        Err(error) => tracing::warn!(%error, "what a killed run left is still there"),
    }
}

/// The error, and where the logs of what was started are kept, if any.
async fn with_logs(project: &Project, error: StackError) -> StackError {
    if error.is_lost_port_race() || project.components().await.is_empty() {
        return error;
    }
    let kept = match tempfile::Builder::new().prefix("lanebench-logs-").tempdir() {
        Ok(directory) => project.keep_logs(directory.path()).await.map(|()| directory.keep()),
        Err(cause) => Err(StackError::Scratch { path: std::env::temp_dir(), cause }),
    };
    match kept {
        Ok(directory) => StackError::WithLogs { cause: Box::new(error), directory },
        Err(failed) => {
            tracing::warn!(%failed, "the logs could not be kept");
            error
        }
    }
}

/// Each image with the variable that names it.
fn named(images: &Images) -> [(&str, &'static str); 3] {
    [(&images.kafka, images::KAFKA), (&images.postgres, images::POSTGRES), (&images.redis, images::REDIS)]
        .map(|(image, variable)| (image.as_str(), variable))
}

/// Sees to it that `image` is here.
async fn have(
    daemon: &Daemon,
    image: &str,
    variable: &'static str,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), StackError> {
    if here(daemon, image).await?.is_some() {
        return Ok(());
    }
    progress(Progress::Pulling { image: image.to_owned() });
    let (name, tag) = images::split(image);
    let request = GenericImage::new(name, tag);
    let pulled = daemon.ask_within(PULL_LIMIT, "pull it", async move { request.pull_image().await }).await;
    pulled.map(drop).map_err(|error| {
        let reason = match error {
            StackError::Docker { reason, .. } => reason,
            other => other.to_string(),
        };
        StackError::NoImage { image: image.to_owned(), variable, reason }
    })
}

/// The id of an image that is here.
async fn here(daemon: &Daemon, image: &str) -> Result<Option<String>, StackError> {
    let (docker, image) = (daemon.docker(), image.to_owned());
    let look = async move {
        match docker.inspect_image(&image).await {
            Ok(found) => Ok(Some(found.id.unwrap_or_default())),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    };
    daemon.ask("look for an image", look).await
}

/// What the stack needs: a daemon, and images that are here or can be pulled.
pub(in crate::stack) async fn requirements() -> Vec<Requirement> {
    let (purpose, install) = ("runs the containers", "apt-get install docker.io".to_owned());
    let daemon = match Daemon::reach().await {
        Ok(daemon) => daemon,
        Err(error) => {
            let presence = Presence::Missing { reason: error.to_string() };
            return vec![Requirement { name: "Docker", purpose, presence, install }];
        }
    };
    let path = "its daemon answers".to_owned();
    let presence = Presence::Present { version: daemon.version().to_owned(), path };
    let mut all = vec![Requirement { name: "Docker", purpose, presence, install }];
    let images = Images::from_env();
    let parts = [("Apache Kafka", "the broker"), ("PostgreSQL", "the store"), ("Redis", "the view")];
    for ((image, variable), (name, purpose)) in named(&images).into_iter().zip(parts) {
        let presence = of_image(&daemon, image).await;
        let install =
            format!("ci/images/build, then {variable}=the image that it names (or: docker pull {image})");
        all.push(Requirement { name, purpose, presence, install });
    }
    all
}

async fn of_image(daemon: &Daemon, image: &str) -> Presence {
    let version = images::split(image).1.to_owned();
    match here(daemon, image).await {
        Ok(Some(_)) => return Presence::Present { version, path: format!("{image}, here") },
        Ok(None) => {}
        Err(error) => return Presence::Missing { reason: error.to_string() },
    }
    let (docker, asked) = (daemon.docker(), image.to_owned());
    let ask = async move { docker.inspect_registry_image(&asked, None).await };
    match daemon.ask_within(REGISTRY_LIMIT, "find it at its registry", ask).await {
        Ok(_) => Presence::Present { version, path: format!("{image}, pulled at the first start") },
        Err(StackError::Docker { reason, .. }) => {
            Presence::Missing { reason: format!("{image} is not here, and can't be pulled: {reason}") }
        }
        Err(other) => Presence::Missing { reason: other.to_string() },
    }
}
