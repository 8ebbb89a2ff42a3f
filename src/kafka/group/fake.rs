//! A coordinator for tests: a group of one over real TCP on loopback, which answers as it is told.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupResponse, MetadataRequest, MetadataResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, RequestHeader, ResponseHeader,
    SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The topic that exists, and its partitions.
pub(super) const TOPIC: &str = "t";
pub(super) const PARTITIONS: i32 = 3;

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    /// With this error code; 0 is what a healthy coordinator does.
    Code(i16),
    /// Not at all, the connection staying open.
    Silence,
    /// By closing the connection.
    Close,
}

#[derive(Default)]
struct State {
    port: u16,
    /// What comes next, by API.
    script: HashMap<i16, VecDeque<Reply>>,
    /// What comes after the script; healthy where nothing is said.
    after: HashMap<i16, Reply>,
    generation: i32,
    members_named: u32,
    committed: BTreeMap<i32, i64>,
    /// Every request so far: its API, and its member id where that is told.
    seen: Vec<(ApiKey, String)>,
}

/// The coordinator; it ends with the test's runtime.
pub(super) struct Fake {
    state: Arc<Mutex<State>>,
    pub(super) address: String,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { port: local.port(), ..State::default() }));
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { state, address: local.to_string() }
    }

    /// The next requests of `api` are answered so, one each.
    pub(super) fn next(&self, api: ApiKey, replies: &[Reply]) {
        self.state.lock().unwrap().script.entry(api as i16).or_default().extend(replies);
    }

    /// Requests of `api` are answered so from now on.
    pub(super) fn always(&self, api: ApiKey, reply: Reply) {
        self.state.lock().unwrap().after.insert(api as i16, reply);
    }

    /// The member ids in the requests of `api` so far, in order.
    pub(super) fn seen(&self, api: ApiKey) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.seen.iter().filter(|(a, _)| *a == api).map(|(_, id)| id.clone()).collect()
    }

    /// From now on it names `other` as the coordinator.
    pub(super) fn hands_over_to(&self, other: &Self) {
        self.state.lock().unwrap().port = other.state.lock().unwrap().port;
    }

    pub(super) fn count(&self, api: ApiKey) -> usize {
        self.seen(api).len()
    }

    pub(super) fn committed(&self) -> BTreeMap<i32, i64> {
        self.state.lock().unwrap().committed.clone()
    }
}

/// One connection. It ends when the client closes it, or when the script says so.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Ok(length) = stream.read_i32().await {
        let mut body = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        let Some(answer) = answer(body.into(), &mut state.lock().unwrap()) else {
            return;
        };
        if !answer.is_empty() {
            // A client that gave up waiting has closed its end; that is its right.
            let _ = stream.write_all(&answer).await;
        }
    }
}

/// The answer as a frame, empty for silence; `None` closes the connection.
fn answer(mut body: Bytes, state: &mut State) -> Option<BytesMut> {
    let api = ApiKey::try_from((&body[0..2]).get_i16()).unwrap();
    let version = (&body[2..4]).get_i16();
    let header = RequestHeader::decode(&mut body, api.request_header_version(version)).unwrap();
    let scripted = state.script.entry(api as i16).or_default().pop_front();
    let reply = scripted.or_else(|| state.after.get(&(api as i16)).copied()).unwrap_or(Reply::Code(0));
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    ResponseHeader::default()
        .with_correlation_id(header.correlation_id)
        .encode(&mut frame, api.response_header_version(version))
        .unwrap();
    let code = if let Reply::Code(code) = reply { code } else { 0 };
    let member_id = respond(api, version, &mut body, code, state, &mut frame);
    state.seen.push((api, member_id));
    let length = i32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&length.to_be_bytes());
    match reply {
        Reply::Code(_) => Some(frame),
        Reply::Silence => Some(BytesMut::new()),
        Reply::Close => None,
    }
}

/// Writes the response of one API; returns the member id that the request carried.
fn respond(
    api: ApiKey,
    version: i16,
    body: &mut Bytes,
    code: i16,
    state: &mut State,
    out: &mut BytesMut,
) -> String {
    match api {
        ApiKey::Metadata => {
            let request = MetadataRequest::decode(body, version).unwrap();
            metadata(&request, code, state).encode(out, version).unwrap();
        }
        ApiKey::FindCoordinator => {
            let request = FindCoordinatorRequest::decode(body, version).unwrap();
            let coordinator = Coordinator::default()
                .with_key(request.coordinator_keys[0].clone())
                .with_host(StrBytes::from_static_str("127.0.0.1"))
                .with_port(state.port.into())
                .with_error_code(code);
            let response = FindCoordinatorResponse::default().with_coordinators(vec![coordinator]);
            response.encode(out, version).unwrap();
        }
        ApiKey::JoinGroup => {
            let request = JoinGroupRequest::decode(body, version).unwrap();
            join(&request, code, state).encode(out, version).unwrap();
            return request.member_id.to_string();
        }
        ApiKey::SyncGroup => {
            let request = SyncGroupRequest::decode(body, version).unwrap();
            let own = request.assignments.iter().find(|a| a.member_id == request.member_id);
            let response = SyncGroupResponse::default()
                .with_error_code(code)
                .with_assignment(own.map(|a| a.assignment.clone()).unwrap_or_default());
            response.encode(out, version).unwrap();
            return request.member_id.to_string();
        }
        ApiKey::Heartbeat => {
            HeartbeatResponse::default().with_error_code(code).encode(out, version).unwrap();
        }
        ApiKey::LeaveGroup => {
            LeaveGroupResponse::default().with_error_code(code).encode(out, version).unwrap();
        }
        ApiKey::OffsetCommit => {
            let request = OffsetCommitRequest::decode(body, version).unwrap();
            commit(&request, code, state).encode(out, version).unwrap();
            return request.member_id.to_string();
        }
        ApiKey::OffsetFetch => {
            let request = OffsetFetchRequest::decode(body, version).unwrap();
            fetch(&request, code, state).encode(out, version).unwrap();
        }
        other => panic!("the fake coordinator was asked for {other:?}"),
    }
    String::new()
}

fn metadata(request: &MetadataRequest, code: i16, state: &State) -> MetadataResponse {
    let topics = request.topics.iter().flatten().map(|asked| {
        let known = asked.name.as_ref().is_some_and(|n| n.as_str() == TOPIC);
        let count = if known { PARTITIONS } else { 0 };
        let partition = |p| MetadataResponsePartition::default().with_partition_index(p);
        MetadataResponseTopic::default()
            .with_name(asked.name.clone())
            .with_error_code(if code == 0 && !known { 3 } else { code })
            .with_partitions((0..count).map(partition).collect())
    });
    let broker = MetadataResponseBroker::default()
        .with_host(StrBytes::from_static_str("127.0.0.1"))
        .with_port(state.port.into());
    MetadataResponse::default().with_brokers(vec![broker]).with_topics(topics.collect())
}

fn join(request: &JoinGroupRequest, code: i16, state: &mut State) -> JoinGroupResponse {
    let mut response = JoinGroupResponse::default()
        .with_error_code(code)
        .with_member_id(request.member_id.clone())
        .with_protocol_name(Some(StrBytes::new()));
    if code != 0 {
        return response;
    }
    if request.member_id.is_empty() {
        state.members_named += 1;
        let member_id = format!("member-{}", state.members_named);
        return response.with_error_code(79).with_member_id(StrBytes::from_string(member_id));
    }
    state.generation += 1;
    let member = JoinGroupResponseMember::default()
        .with_member_id(request.member_id.clone())
        .with_metadata(request.protocols[0].metadata.clone());
    response.protocol_name = Some(request.protocols[0].name.clone());
    response
        .with_generation_id(state.generation)
        .with_protocol_type(Some(request.protocol_type.clone()))
        .with_leader(request.member_id.clone())
        .with_members(vec![member])
}

fn commit(request: &OffsetCommitRequest, code: i16, state: &mut State) -> OffsetCommitResponse {
    let topic = &request.topics[0];
    if code == 0 {
        state.committed.extend(topic.partitions.iter().map(|p| (p.partition_index, p.committed_offset)));
    }
    let answered = topic.partitions.iter().map(|p| {
        OffsetCommitResponsePartition::default().with_partition_index(p.partition_index).with_error_code(code)
    });
    let answered = OffsetCommitResponseTopic::default()
        .with_name(topic.name.clone())
        .with_partitions(answered.collect());
    OffsetCommitResponse::default().with_topics(vec![answered])
}

fn fetch(request: &OffsetFetchRequest, code: i16, state: &State) -> OffsetFetchResponse {
    let group = &request.groups[0];
    let topic = &group.topics.as_ref().unwrap()[0];
    let partitions = topic.partition_indexes.iter().map(|p| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(*p)
            .with_committed_offset(state.committed.get(p).copied().unwrap_or(-1))
    });
    let topic = OffsetFetchResponseTopics::default()
        .with_name(topic.name.clone())
        .with_partitions(partitions.collect());
    let group = OffsetFetchResponseGroup::default()
        .with_group_id(group.group_id.clone())
        .with_error_code(code)
        .with_topics(vec![topic]);
    OffsetFetchResponse::default().with_groups(vec![group])
}
