//! The disk below the stack's data: how often a small append can be synced.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::{MeasurementLength, panicked};
use crate::error::RunError;

/// About as much as the log record of one updated row.
const APPEND: [u8; 512] = [b'.'; 512];

/// Synced appends a second, to a file in `directory` that is removed afterwards.
pub(super) async fn rate(
    directory: &Path,
    length: MeasurementLength,
    cancel: &CancellationToken,
) -> Result<f64, RunError> {
    let (directory, cancel) = (directory.to_owned(), cancel.clone());
    let measured = tokio::task::spawn_blocking(move || {
        let mut file = tempfile::Builder::new().prefix("fsync-").tempfile_in(directory)?;
        append_for(&mut file, length.warm_up, &cancel)?;
        append_for(&mut file, length.counted, &cancel)
    });
    let failed = |source| RunError::System { what: "syncing a file beside the stack's data", source };
    measured.await.map_err(panicked)?.map_err(failed)
}

fn append_for(
    file: &mut NamedTempFile,
    length: Duration,
    cancel: &CancellationToken,
) -> std::io::Result<f64> {
    let begun = Instant::now();
    let mut appends = 0_u32;
    while begun.elapsed() < length && !cancel.is_cancelled() {
        file.write_all(&APPEND)?;
        file.as_file().sync_data()?;
        appends += 1;
    }
    Ok(f64::from(appends) / begun.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn appends_are_counted_and_the_file_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let length =
            MeasurementLength { warm_up: Duration::from_millis(5), counted: Duration::from_millis(20) };
        let rate = rate(directory.path(), length, &CancellationToken::new()).await.unwrap();
        assert!(rate > 0.0 && rate.is_finite(), "{rate}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
