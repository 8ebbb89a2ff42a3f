//! The stack that pipeline, producer, store and view are measured on.

use std::cell::OnceCell;

use clap::ValueEnum;
use lanebench::cmd::UsageError;
use lanebench::stack::{EmbeddedStack, NativeOptions, NativeStack, Progress, Stack, StackKind};

use crate::support::Session;

/// Names the stack.
const VARIABLE: &str = "LANEBENCH_STACK";

/// A stack that is started once a benchmark needs it, so that a filter which leaves it out starts nothing. Dropped, it is
/// stopped and gone, also on the way out of an interrupted benchmark.
pub(crate) struct Bed<'a> {
    session: &'a Session,
    kind: StackKind,
    stack: OnceCell<Stack>,
}

impl<'a> Bed<'a> {
    /// The bed that the environment asks for: embedded, unless it says `native`.
    pub(crate) fn new(session: &'a Session) -> Self {
        Self { session, kind: session.need(kind()), stack: OnceCell::new() }
    }

    /// Which stack it is.
    pub(crate) fn kind(&self) -> StackKind {
        self.kind
    }

    /// The stack, started by whoever asks first: ask within a benchmark.
    pub(crate) fn stack(&self) -> &Stack {
        self.stack.get_or_init(|| self.session.need(self.session.runtime.block_on(self.start())))
    }

    async fn start(&self) -> anyhow::Result<Stack> {
        if self.kind == StackKind::Embedded {
            return Ok(EmbeddedStack::start(1, &|_| {}).await?.into());
        }
        let tell = |step: Progress| eprintln!("{step}");
        let cancel = self.session.cancel.clone();
        Ok(NativeStack::start(NativeOptions::default(), &tell, cancel).await?.into())
    }
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        if let Some(stack) = self.stack.take() {
            self.session.runtime.block_on(stack.stop());
        }
    }
}

fn kind() -> Result<StackKind, UsageError> {
    let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else {
        return Ok(StackKind::Embedded);
    };
    match name.to_str().map(|name| StackKind::from_str(name, false)) {
        Some(Ok(kind @ (StackKind::Embedded | StackKind::Native))) => Ok(kind),
        _ => Err(UsageError {
            what: format!("{VARIABLE}={} names no stack for benchmarks", name.display()),
            hint:
                "use `embedded`, which needs nothing, or `native`, which starts Kafka, PostgreSQL and Redis"
                    .into(),
        }),
    }
}
