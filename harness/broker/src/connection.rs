//! One connection: frames in, frames out, each request answered before the next is read, as Kafka does it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::api;
use super::shared::{Node, Shared};

/// Longest request that is read, in bytes: Kafka's `socket.request.max.bytes`.
const FRAME_MAX_BYTES: usize = 100 << 20;
/// Room that is made at once for a frame; more only as bytes arrive, whatever length the frame claims.
const ROOM_BYTES: usize = 256 << 10;
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Why a connection ends. Clients see that it closes, and nothing else: so does Kafka.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("a frame of {0} bytes")]
    Length(i32),
    #[error("no request header: {0}")]
    Header(String),
    #[error("request {key} version {version} is not served")]
    Unsupported { key: i16, version: i16 },
    #[error("{api:?} version {version} can't be read: {reason}")]
    Request { api: ApiKey, version: i16, reason: String },
    #[error("{api:?} version {version} can't be answered: {reason}")]
    Answer { api: ApiKey, version: i16, reason: String },
    #[error("a produce request without acknowledgement failed")]
    Unacknowledged,
}

/// A request, read as far as its header.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) api: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) body: Bytes,
}

/// Serves a connection until the client closes it or something is wrong with it.
pub(super) async fn serve(shared: &Shared, node: &Node, mut stream: TcpStream) -> Result<(), Ended> {
    // Answers are written whole: Nagle's algorithm would only hold back their last piece.
    stream.set_nodelay(true)?;
    let client_host = format!("/{}", stream.peer_addr()?.ip());
    let (read, mut write) = stream.split();
    let mut read = BufReader::with_capacity(READ_BUFFER_BYTES, read);
    while let Some(frame) = read_frame(&mut read).await? {
        let incoming = parse(frame, &client_host)?;
        if let Some(answer) = api::answer(shared, node, &incoming).await? {
            node.hold_back(incoming.api).await;
            write.write_all(&answer).await?;
        }
    }
    Ok(())
}

/// The next frame without its length; `None` when the client has closed the connection.
async fn read_frame(read: &mut (impl AsyncRead + Unpin)) -> Result<Option<Bytes>, Ended> {
    let length = match read.read_i32().await {
        Ok(length) => length,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let size = usize::try_from(length).ok().filter(|size| *size <= FRAME_MAX_BYTES);
    let size = size.ok_or(Ended::Length(length))?;
    let mut frame = BytesMut::new();
    while frame.len() < size {
        let left = size - frame.len();
        frame.reserve(left.min(ROOM_BYTES));
        if read.take(left as u64).read_buf(&mut frame).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(Some(frame.freeze()))
}

/// Reads the header, and refuses what is not served.
fn parse(mut frame: Bytes, client_host: &str) -> Result<Incoming, Ended> {
    let short = || Ended::Header("it ends too early".to_owned());
    let mut start = frame.get(..8).ok_or_else(short)?;
    let (key, version) = (start.get_i16(), start.get_i16());
    let api = ApiKey::try_from(key).map_err(|()| Ended::Unsupported { key, version })?;
    let served = api::served(api).ok_or(Ended::Unsupported { key, version })?;
    // A client that asks for versions can't know them yet: it is answered whatever it speaks.
    if !served.contains(&version) && api != ApiKey::ApiVersions {
        return Err(Ended::Unsupported { key, version });
    }
    let header_version = api.request_header_version(version);
    let header =
        RequestHeader::decode(&mut frame, header_version).map_err(|e| Ended::Header(format!("{e:#}")))?;
    let client_id = header.client_id.map(|id| id.to_string()).unwrap_or_default();
    Ok(Incoming {
        api,
        version,
        correlation_id: header.correlation_id,
        client_id,
        client_host: client_host.to_owned(),
        body: frame,
    })
}

/// An answer as it goes over the wire, in the version of the request unless told otherwise.
pub(super) fn frame(incoming: &Incoming, version: i16, answer: &impl Encodable) -> Result<BytesMut, Ended> {
    let api = incoming.api;
    let unanswerable = |reason| Ended::Answer { api, version, reason };
    let size = answer.compute_size(version).map_err(|e| unanswerable(format!("{e:#}")))?;
    let mut frame = BytesMut::with_capacity(size + 16);
    frame.put_i32(0);
    ResponseHeader::default()
        .with_correlation_id(incoming.correlation_id)
        .encode(&mut frame, api.response_header_version(version))
        .and_then(|()| answer.encode(&mut frame, version))
        .map_err(|e| unanswerable(format!("{e:#}")))?;
    let length =
        i32::try_from(frame.len() - 4).map_err(|_| unanswerable(format!("it has {} bytes", frame.len())))?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Reads the body of a request, to its last byte.
pub(super) fn body<R: Decodable + HeaderVersion>(incoming: &Incoming) -> Result<R, Ended> {
    let (api, version) = (incoming.api, incoming.version);
    let unreadable = |reason| Ended::Request { api, version, reason };
    let mut body = incoming.body.clone();
    let request = R::decode(&mut body, version).map_err(|e| unreadable(format!("{e:#}")))?;
    if body.has_remaining() {
        return Err(unreadable(format!("{} bytes too many", body.remaining())));
    }
    Ok(request)
}
