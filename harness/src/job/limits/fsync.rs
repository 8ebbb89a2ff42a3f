//! The disk below the stack's data: how often a block can be synced.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::context::{MeasurementLength, panicked};
use crate::error::RunError;

/// A block of the write-ahead log, as PostgreSQL writes it.
const BLOCK: [u8; 8 << 10] = [b'.'; 8 << 10];

/// Blocks of the file: a segment of that log. It is whole before anything is counted, since a file that grows has its size synced, too.
const BLOCKS: u64 = (16 << 20) / BLOCK.len() as u64;

/// Synced writes a second, to a file in `directory` that is removed afterwards.
pub(super) async fn rate(
    directory: &Path,
    length: MeasurementLength,
    cancel: &CancellationToken,
) -> Result<f64, RunError> {
    let (directory, cancel) = (directory.to_owned(), cancel.clone());
    let measured = tokio::task::spawn_blocking(move || {
        let file = tempfile::Builder::new().prefix("fsync-").tempfile_in(directory)?;
        let file = file.as_file();
        (0..BLOCKS).try_for_each(|block| write(file, block))?;
        file.sync_all()?;
        write_for(file, length.warm_up, &cancel)?;
        write_for(file, length.counted, &cancel)
    });
    let failed = |source| RunError::System { what: "syncing a file beside the stack's data", source };
    measured.await.map_err(panicked)?.map_err(failed)
}

fn write(file: &File, block: u64) -> std::io::Result<()> {
    file.write_all_at(&BLOCK, block % BLOCKS * BLOCK.len() as u64)
}

fn write_for(file: &File, length: Duration, cancel: &CancellationToken) -> std::io::Result<f64> {
    let begun = Instant::now();
    let mut writes = 0;
    while begun.elapsed() < length && !cancel.is_cancelled() {
        write(file, writes)?;
        file.sync_data()?;
        writes += 1;
    }
    Ok(writes as f64 / begun.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn writes_are_counted_and_the_file_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let length =
            MeasurementLength { warm_up: Duration::from_millis(5), counted: Duration::from_millis(20) };
        let rate = rate(directory.path(), length, &CancellationToken::new()).await.unwrap();
        assert!(rate > 0.0 && rate.is_finite(), "{rate}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
