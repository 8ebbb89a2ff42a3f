//! A TCP proxy that stands between a client and a server, so that what lies between them can fail while both are well.
//!
//! What it can't do: it answers a connection before the server behind it does, so that a client of a server that is gone is reset and
//! not refused; and it loses no packet, since it deals in streams.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What is read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces of a connection that are held back, each way; then no more is read, as by a network whose buffers are full.
const PIECES_MAX: usize = 256;
/// After a failed accept, as when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running proxy. Dropped, it closes its port and all of its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// What takes connections.
    accepting: tokio::sync::Mutex<Accepting>,
}

#[derive(Debug)]
struct Accepting {
    /// It has ended, or is about to, while connections are refused.
    task: JoinHandle<()>,
    refuses: bool,
}

#[derive(Debug)]
struct Shared {
    /// Where the server is.
    to: SocketAddr,
    /// Ends the connections that are open.
    open: Mutex<CancellationToken>,
    /// So much later each piece comes.
    late: watch::Sender<Duration>,
}

impl Proxy {
    /// Takes connections on `listener` and forwards each to `to`.
    ///
    /// # Errors
    /// Those of the listener.
    pub fn start(listener: std::net::TcpListener, to: SocketAddr) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (address, listener) = (listener.local_addr()?, TcpListener::from_std(listener)?);
        let shared = Arc::new(Shared { to, open: Mutex::default(), late: watch::Sender::default() });
        let task = tokio::spawn(accept(Arc::clone(&shared), listener));
        let accepting = tokio::sync::Mutex::new(Accepting { task, refuses: false });
        Ok(Self { address, shared, accepting })
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection that is open, on both sides. New ones are taken.
    pub fn cut(&self) {
        std::mem::take(&mut *self.shared.open()).cancel();
    }

    /// Resets every connection that is open, and refuses new ones until [`Self::accept`].
    pub async fn refuse(&self) {
        self.accepting.lock().await.refuse().await;
        self.cut();
    }

    /// Takes connections again.
    ///
    /// # Errors
    /// If the port has been taken meanwhile.
    pub async fn accept(&self) -> io::Result<()> {
        let mut accepting = self.accepting.lock().await;
        if accepting.refuses {
            // Whoever refused may have been interrupted before that port was closed.
            accepting.refuse().await;
            let listener = TcpListener::bind(self.address).await?;
            let task = tokio::spawn(accept(Arc::clone(&self.shared), listener));
            *accepting = Accepting { task, refuses: false };
        }
        Ok(())
    }

    /// From now on what either side sends comes so much later. Zero ends it, also for what is held back.
    pub fn slow(&self, by: Duration) {
        self.shared.late.send_replace(by);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.get_mut().task.abort();
        self.cut();
    }
}

impl Accepting {
    /// Ends it, and with it closes its port.
    async fn refuse(&mut self) {
        self.refuses = true;
        self.task.abort();
        while !self.task.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, CancellationToken> {
        // A token is whole, whoever panicked.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let cut = shared.open().clone();
                tokio::spawn(connection(Arc::clone(&shared), client, cut));
            }
            Err(error) => {
                tracing::warn!(to = %shared.to, %error, "the proxy could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, until both sides have closed it, one of them breaks, or it is cut.
async fn connection(shared: Arc<Shared>, mut client: TcpStream, cut: CancellationToken) {
    let mut server = None;
    let forwarded = async {
        let server = server.insert(TcpStream::connect(shared.to).await?);
        forward(&mut client, server, &shared.late).await
    };
    if !matches!(cut.run_until_cancelled(forwarded).await, Some(Ok(()))) {
        // Closed so, both are reset.
        let _reset = client.set_zero_linger();
        let _reset = server.map(|server| server.set_zero_linger());
    }
}

async fn forward(
    client: &mut TcpStream,
    server: &mut TcpStream,
    late: &watch::Sender<Duration>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let there = pump(from_client, to_server, late.subscribe());
    let back = pump(from_server, to_client, late.subscribe());
    tokio::try_join!(there, back).map(drop)
}

/// Forwards one way, until that side says no more.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut late: watch::Receiver<Duration>,
) -> io::Result<()> {
    let (taken, mut held) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let read = async move {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 || taken.send((Instant::now(), buffer[..length].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some((since, piece)) = held.recv().await {
            hold_back(since, &mut late).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

/// Waits until what was read then may go on.
async fn hold_back(since: Instant, late: &mut watch::Receiver<Duration>) {
    loop {
        let by = *late.borrow_and_update();
        // A runtime's timer waits for its next millisecond, even where there is nothing to wait for.
        if since.elapsed() >= by {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(since + by) => return,
            changed = late.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests;
