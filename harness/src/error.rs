//! Why a run could not go on, and what to do next.

use payment_delivery::kafka::admin::AdminError;

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The broker refused or did not answer an administrative request.
    #[error("Kafka: {0}")]
    Admin(#[from] AdminError),
    /// The producer could not be had.
    #[error("producer: {0}")]
    Producer(#[from] payment_delivery::kafka::producer::ProducerError),
    /// The log could not be read for the checks.
    #[error("reading the log for the checks: {0}")]
    Fetch(#[from] payment_delivery::kafka::fetch::FetchError),
    /// The REST API of a trial did not do its part.
    #[error("the REST API: {0}")]
    Service(String),
    /// The store could not be prepared or read.
    #[error("store: {0}")]
    Store(#[from] payment_delivery::store::StoreError),
    /// The view could not be prepared or read.
    #[error("view: {0}")]
    View(#[from] payment_delivery::view::ViewError),
    /// A consumer ended by itself.
    #[error(transparent)]
    Worker(#[from] payment_delivery::consumer::ConsumerError),
    /// The workload can't be planned.
    #[error(transparent)]
    Plan(#[from] crate::workload::PlanError),
    /// The result could not be saved.
    #[error(transparent)]
    File(#[from] crate::record::file::FileError),
    /// The consumers did not share the partitions among them in time.
    #[error(transparent)]
    Joining(#[from] crate::measure::timeline::WaitError),
    /// A worker process could not be started, or ended.
    #[error(transparent)]
    Process(#[from] crate::stack::StackError),
    /// What a worker process reports can't be read.
    #[error(transparent)]
    RunFile(#[from] crate::measure::run_file::RunFileError),
    /// The worker did not join its group as it should have.
    #[error("{source}; the end of the worker's log:\n{log}")]
    NotJoined {
        /// What was waited for.
        source: crate::measure::timeline::WaitError,
        /// The last lines.
        log: String,
    },
    /// A worker that takes turns does not work in its process.
    #[error("the worker's process does not do the work itself: {seen}")]
    WorksElsewhere {
        /// By what that was seen.
        seen: String,
    },
    /// The same, for one of two that are compared.
    #[error("{who}: {source}")]
    Of {
        /// Whose.
        who: String,
        /// What.
        source: Box<RunError>,
    },
    /// What components use could not be read.
    #[error("measuring resources: {0}")]
    Resources(#[from] crate::measure::resources::ResourceError),
    /// Noise could not be measured.
    #[error("measuring noise: {0}")]
    Noise(#[from] crate::measure::noise::NoiseError),
    /// The machine could not be described.
    #[error("describing the machine: {0}")]
    Environment(#[from] procfs::ProcError),
    /// A phase could not be laid out.
    #[error(transparent)]
    Timeline(#[from] crate::measure::timeline::TimelineError),
    /// The sender ended early.
    #[error("sending the load: {0}")]
    Sender(#[from] crate::load::LoadError),
    /// Events could not be produced.
    #[error("the load could not be sent: {0}")]
    Load(String),
    /// What a scenario was to break could not be broken.
    #[error("breaking on purpose: {0}")]
    Fault(String),
    /// Something of the operating system's.
    #[error("{what}: {source}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A check of truth failed where only a sound drain counts.
    #[error("a drain of {lanes} is void, a check of truth failed: {what}")]
    Untrue {
        /// Its configuration.
        lanes: crate::contender::Lanes,
        /// The first finding.
        what: String,
    },
    /// What was asked for can't be seen to be kept.
    #[error(
        "an objective of {objective:?} is below what can be seen of {who}: its worker is seen by its {seen_by}, and of 99 in 100 events up to \
         {floor:?} late"
    )]
    Unseen {
        /// Whose worker.
        who: String,
        /// What was asked for.
        objective: std::time::Duration,
        /// By what it is seen.
        seen_by: &'static str,
        /// How late.
        floor: std::time::Duration,
    },
    /// Something of the run's name is there already, and is somebody's.
    #[error("there is a {what} already, which this run did not make")]
    Taken {
        /// What, and its name.
        what: String,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl RunError {
    pub(crate) fn threads(source: std::io::Error) -> Self {
        Self::System { what: "starting the consumers' threads", source }
    }

    /// The same, for one of several that are compared, where it is about that one.
    pub(crate) fn of(self, who: &str) -> Self {
        match self {
            Self::Process(_) | Self::NotJoined { .. } | Self::WorksElsewhere { .. } => {
                Self::Of { who: who.into(), source: Box::new(self) }
            }
            other => other,
        }
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unseen { .. } => {
                "ask for more than that, or let it be seen sooner: docs/worker.md, \"When an event counts as done\""
            }
            Self::Taken { .. } => "it was left as it is; run again, or choose another `--prefix`",
            Self::Admin(AdminError::Forbidden { .. }) => "grant it, as docs/external.md has it",
            Self::Admin(_) => {
                "is the cluster up, and may this user create topics there? `lanebench stack up` holds a local one up"
            }
            Self::Store(_) => {
                "check the database URL, and that its user may create a schema: docs/external.md"
            }
            Self::View(_) => "check the Redis URL and the user's rights: docs/external.md",
            Self::Joining(_) => "see the consumers' logs with `LANEBENCH_LOG=payment_delivery=debug`",
            Self::Load(_) | Self::Sender(_) => {
                "see the producer's log with `LANEBENCH_LOG=payment_delivery=debug`"
            }
            Self::Process(error) => return error.hint(),
            Self::Of { source, .. } => return source.hint(),
            Self::NotJoined { .. } => {
                "a worker joins with `LANEBENCH_CONSUMERS` members, and the topic is shared among them: docs/worker.md"
            }
            Self::WorksElsewhere { .. } => {
                "give the program itself, to run on this machine and as the user that runs lanebench; `docker run` and `ssh` only start it elsewhere, \
                 where it can't be stopped: docs/gate.md"
            }
            _ => return None,
        };
        Some(hint.into())
    }
}
