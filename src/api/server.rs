//! Connections: bounded in number, in time and in what they hold, and drained at a stop.
//!
//! On hyper itself and not on axum's own server, which sets no time-out for the headers of a slow client.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::limits::Limits;
use super::patient::Patient;

/// hyper's least.
const HEADER_BYTES_MIN: usize = 8 * 1024;
/// Rest after an `accept` that failed, as for want of file descriptors.
const REST: Duration = Duration::from_millis(100);
/// Connections beyond the limit that are told so at a time; what comes beyond these is closed at once.
const TURNED_AWAY_MAX: usize = 64;
/// How long a connection beyond the limit may take to hear that.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(1);

/// Serves `router` until `stop`; then accepts nothing more, and waits for what is in hand, as long as the limits say.
/// Returns whether all of it ended by itself.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    stop: &CancellationToken,
) -> bool {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes.max(HEADER_BYTES_MIN))
        .max_header_size(limits.header_bytes.max(HEADER_BYTES_MIN));
    let places = Arc::new(Semaphore::new(limits.connections));
    let away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let (tasks, ended, graceful) = (TaskTracker::new(), CancellationToken::new(), GracefulShutdown::new());
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(REST).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            if let Ok(place) = Arc::clone(&away).try_acquire_owned() {
                tasks.spawn(async move {
                    turn_away(stream).await;
                    drop(place);
                });
            }
            continue;
        };
        let _ = stream.set_nodelay(true); // at worst an answer is a little later
        let io = TokioIo::new(Patient::new(stream, limits.write_timeout));
        let connection = http.serve_connection(io, TowerToHyperService::new(router.clone()));
        let (connection, ended) = (graceful.watch(connection), ended.clone());
        tasks.spawn(async move {
            if let Some(Err(error)) = ended.run_until_cancelled(connection).await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    let drained = timeout(limits.drain, async {
        graceful.shutdown().await;
        tasks.wait().await;
    });
    let drained = drained.await.is_ok();
    ended.cancel();
    tasks.wait().await;
    drained
}

/// Tells a client that there are too many, and waits a moment for it to hear: closing at once, with its request unread,
/// would reset the connection and lose the answer.
async fn turn_away(mut stream: TcpStream) {
    const BODY: &str = r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"too many connections","instance":""}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = timeout(TURNED_AWAY_WITHIN, told).await; // it is gone either way
}
