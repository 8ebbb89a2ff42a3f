//! Ctrl-C and SIGTERM become a cancellation that everything winds down by.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `cancel` at the first SIGINT, SIGTERM or SIGHUP. Later ones change nothing, since winding down
/// is bounded anyway; but see `again`.
///
/// # Errors
/// Where a handler can't be installed.
pub fn cancel_on_signal(cancel: &CancellationToken) -> anyhow::Result<()> {
    let mut int = signal(SignalKind::interrupt()).context("no handler for SIGINT")?;
    let mut term = signal(SignalKind::terminate()).context("no handler for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("no handler for SIGHUP")?;
    let cancel = cancel.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hangup.recv() => {}
        }
        cancel.cancel();
    });
    Ok(())
}

/// Resolves at a SIGINT that comes after `cancel` was cancelled: whoever presses Ctrl-C twice wants it to end at once.
pub(super) async fn again(cancel: &CancellationToken) -> anyhow::Result<()> {
    cancel.cancelled().await;
    // A new listener hears nothing of the signal that came before.
    let mut int = signal(SignalKind::interrupt()).context("no handler for SIGINT")?;
    int.recv().await;
    Ok(())
}
