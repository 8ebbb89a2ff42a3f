//! The service on a stack: topics and tables made where that is wanted, consumers in this process, the API in front.

use std::sync::Arc;
use std::time::Duration;

use payment_delivery::api::{self, Limits, Metrics, Service, Token};
use payment_delivery::consumer::{ConsumerConfig, Consumers, Mode, ProcessorDeps, dead_letter_topic};
use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::fetch::ReaderChoice;
use payment_delivery::kafka::producer::ProducerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::stack::StackTarget;
use crate::worker::ConsumerRuntime;

mod backing;
mod error;

use backing::Kept;
pub use error::ServeError;

/// How long to look for a broker before saying that there is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the service is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The topic that payments go to.
    pub topic: String,
    /// The group that delivers them.
    pub group: String,
    /// Consumers in this process; none where other processes work.
    pub consumers: u16,
    /// How each of them works through its events.
    pub mode: Mode,
    /// Partitions of a topic that is made here.
    pub partitions: i32,
    /// Replicas of such a topic.
    pub replication: i16,
    /// Its `min.insync.replicas`.
    pub min_isr: i16,
    /// Whether to make the topic and its dead-letter topic if they are missing.
    pub create: bool,
    /// PostgreSQL schema of the tables.
    pub schema: String,
    /// What the statuses' keys begin with.
    pub key_prefix: String,
    /// Name of this instance: the same after a restart, and no other's that is alive.
    pub instance: String,
    /// Who reads the topic for the consumers in this process.
    pub reader: ReaderChoice,
    /// What clients may ask of it.
    pub limits: Limits,
}

/// Serves until `stop`; then it accepts nothing more, finishes what is in hand, and drains its consumers.
///
/// `ready` is called once everything is there, before the first request is answered.
///
/// # Errors
/// [`ServeError`] for what is missing or refused, and for a consumer that ended by itself.
pub async fn run(
    listener: TcpListener,
    place: &StackTarget,
    settings: Settings,
    token: Option<Token>,
    ready: impl FnOnce(),
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let admin = Admin::connect(&place.bootstrap, CONNECT_TIMEOUT).await?;
    topics(&admin, &settings).await?;
    let kept = Kept::open(&place.backing, &settings).await?;
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), env!("LANEBENCH_COMMIT")));
    // The consumers go on while the API finishes, so that what it accepts last is delivered too.
    let (served, working) = (stop.child_token(), CancellationToken::new());
    let mut lanes = Lanes::start(place, &settings, &kept, &metrics, &working).await?;
    let service = Service {
        bootstrap: place.bootstrap.clone(),
        topic: settings.topic,
        group: settings.group,
        instance: settings.instance,
        payments: kept.payments(),
        store: kept.store(),
        view: kept.view().await?,
        metrics,
        producer: ProducerConfig { batch_interval: Duration::ZERO, ..ProducerConfig::default() },
    };
    ready();
    let mut serving = api::run(listener, service, settings.limits, token, served.clone());
    let ended = tokio::select! {
        ended = &mut serving => ended.map_err(ServeError::from),
        failed = lanes.consumers.failure() => {
            served.cancel();
            if let Err(error) = serving.await {
                tracing::error!(%error, "the service did not end well either");
            }
            Err(failed.into())
        }
    };
    working.cancel();
    let drained = lanes.consumers.all_ended().await;
    ended.and(drained.map_err(ServeError::from))
}

/// Sees to it that topic and dead-letter topic are there.
async fn topics(admin: &Admin, settings: &Settings) -> Result<(), ServeError> {
    let min_isr = settings.min_isr.to_string();
    let configs = [("min.insync.replicas", min_isr.as_str())];
    for topic in [settings.topic.clone(), dead_letter_topic(&settings.topic)] {
        if admin.topic_exists(&topic).await? {
            continue;
        }
        if !settings.create {
            return Err(ServeError::NoTopic { topic });
        }
        let made = admin.create_topic(&topic, settings.partitions, settings.replication, &configs).await;
        // Instances that start together both find it missing.
        if let Err(error) = made
            && !admin.topic_exists(&topic).await?
        {
            return Err(error.into());
        }
    }
    Ok(())
}

/// The consumers of this process, on threads of their own.
struct Lanes {
    consumers: Consumers,
    _open: watch::Sender<bool>,
    _runtime: ConsumerRuntime,
}

impl Lanes {
    async fn start(
        place: &StackTarget,
        settings: &Settings,
        kept: &Kept,
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
    ) -> Result<Self, ServeError> {
        let runtime = ConsumerRuntime::start().map_err(|cause| ServeError::Threads { cause })?;
        let (open, gate) = watch::channel(true);
        let mut consumers = Consumers::new(stop.clone());
        for number in 0..settings.consumers {
            let opened = async { Ok::<_, ServeError>((kept.consumer().await?, kept.view().await?)) };
            let (store, view) = Box::pin(runtime.opening(opened)).await?;
            let parts = ProcessorDeps { store, view, probe: metrics.clone() };
            let mut config = ConsumerConfig::new(
                format!("consumer-{number}"),
                place.bootstrap.clone(),
                settings.topic.clone(),
                settings.group.clone(),
            );
            config.mode = settings.mode;
            config.fetch.reader = settings.reader;
            consumers.start(runtime.handle(), config, parts, gate.clone());
        }
        Ok(Self { consumers, _open: open, _runtime: runtime })
    }
}
