//! A consumer process: the pipeline's consumers with all that they need, given by addresses and names alone.
//!
//! This is the system under test in a process of its own. It reads a topic in a group, writes the table and the view, and
//! knows no harness; what it reports goes to a run file ([`crate::measure::run_file`]), if one is asked for. Tables and
//! topic are there before it: whoever measures owns them, and removes them.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::consumer::{ConsumerConfig, Consumers, Mode, ProcessorDeps, ServiceTime};
use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::fetch::ReaderChoice;
use payment_delivery::probe::Probe;
use payment_delivery::store::DeliveryStore;
use payment_delivery::view::StatusView;
use payment_delivery::view::redis::RedisServer;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::measure::run_file::{Recorder, consumer_name};

mod error;
pub mod handicap;
mod place;
mod runtime;

pub use error::ProcessError;
use handicap::{Handicap, Handicaps};
pub use place::{Database, DatabaseUrlError};
use place::{Stores, view};
pub use runtime::ConsumerRuntime;

/// How long to look for a broker before saying that there is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a consumer process needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Brokers, `host:port` each.
    pub bootstrap: Vec<String>,
    /// The topic it reads.
    pub topic: String,
    /// The group it joins.
    pub group: String,
    /// Consumers, each with a processing loop and a membership of its own.
    pub consumers: NonZeroU16,
    /// How each of them works through its events.
    pub mode: Mode,
    /// Where rows are kept.
    pub database: Database,
    /// Where statuses are kept.
    pub redis: RedisServer,
    /// What the statuses' keys begin with.
    pub key_prefix: String,
    /// Modelled downstream call an event.
    pub service_time: ServiceTime,
    /// At most one commit of each consumer in this time.
    pub commit_interval: Duration,
    /// Who reads the topic.
    pub reader: ReaderChoice,
    /// Where to write what happens, if anywhere.
    pub run_file: Option<PathBuf>,
    /// What makes it worse on purpose.
    pub handicaps: Vec<Handicap>,
    /// Where to write down which events had a planted fault, if anywhere.
    pub planted: Option<PathBuf>,
}

/// Works until `stop`; then each consumer finishes the message in hand, commits and leaves the group.
///
/// Consumers join at once and fetch as soon as `gate` holds `true`. Runs on the runtime that it is called on: give it a
/// [`ConsumerRuntime`].
///
/// # Errors
/// [`ProcessError`] for what is wrong with the set-up, for a consumer that ended by itself, the others having been stopped,
/// and at the end for a run file that could not be written.
pub async fn run(
    settings: Settings,
    gate: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<(), ProcessError> {
    let stop = stop.child_token();
    // Boxed: connecting to three kinds of servers makes a large future.
    let Some(parts) = stop.run_until_cancelled(Box::pin(open(&settings))).await else {
        return Ok(()); // told to stop before it had begun
    };
    let parts = parts?;
    // Made last, so that a start that was refused leaves none, and who sees its header knows that all was found.
    let recorder = match &settings.run_file {
        Some(path) => Some(Arc::new(Recorder::create(path)?)),
        None => None,
    };
    let probe: Arc<dyn Probe> = match &recorder {
        Some(recorder) => recorder.clone(),
        None => Arc::new(()),
    };
    let handicaps = Handicaps::new(&settings, settings.planted.as_deref()).map_err(ProcessError::Planted)?;
    let probe = handicaps.probe(probe);
    let stopped = stop.clone();
    let mut consumers =
        Consumers::new(if handicaps.ends_at_once() { CancellationToken::new() } else { stop });
    for (number, (store, view)) in (0..).zip(parts) {
        let (store, view) = (handicaps.store(store), handicaps.view(view));
        let parts = ProcessorDeps { store, view, probe: Arc::clone(&probe) };
        let mut config = settings.consumer(number);
        config.commit_interval = handicaps.commit_interval(config.commit_interval);
        consumers.start(&Handle::current(), config, parts, gate.clone());
    }
    if handicaps.ends_at_once() {
        // Dropped as they are, they neither commit nor leave the group.
        return match stopped.run_until_cancelled(consumers.all_ended()).await {
            None => Ok(()),
            Some(worked) => Ok(worked?),
        };
    }
    let worked = consumers.all_ended().await;
    let recorded = recorder.map_or(Ok(()), |recorder| recorder.finish());
    worked?;
    Ok(recorded?)
}

impl Settings {
    fn consumer(&self, number: u16) -> ConsumerConfig {
        let Self { bootstrap, topic, group, .. } = self.clone();
        let mut config = ConsumerConfig::new(consumer_name(number), bootstrap, topic, group);
        config.mode = self.mode;
        config.service_time = self.service_time;
        config.commit_interval = self.commit_interval;
        config.fetch.reader = self.reader;
        config
    }
}

/// Where a consumer keeps what it makes of events.
type Places = (Arc<dyn DeliveryStore>, Arc<dyn StatusView>);

/// Finds everything, and connects each consumer to store and view.
async fn open(settings: &Settings) -> Result<Vec<Places>, ProcessError> {
    topic_exists(settings).await?;
    let stores = Stores::open(&settings.database).await?;
    let mut places = Vec::new();
    for _ in 0..settings.consumers.get() {
        let view = view(&settings.redis, &settings.key_prefix).await?;
        places.push((stores.consumer().await?, view));
    }
    Ok(places)
}

/// Asked first, since a consumer waits for a topic that isn't there, and a typing error would look like no load.
async fn topic_exists(settings: &Settings) -> Result<(), ProcessError> {
    let admin = Admin::connect(&settings.bootstrap, CONNECT_TIMEOUT).await?;
    if admin.topic_exists(&settings.topic).await? {
        return Ok(());
    }
    Err(ProcessError::NoTopic { topic: settings.topic.clone() })
}
