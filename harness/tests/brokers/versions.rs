//! Which versions a broker says it speaks, and what it answers in others.

use std::ops::RangeInclusive;

use bytes::{Buf, BufMut, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Request, StrBytes};
use libtest_mimic::Failed;

use crate::batch::{batch_of, stored};
use crate::bed::{Bed, Case, answers, same};
use crate::common::check;
use crate::puppet::Puppet;
use crate::wire::*;

pub(crate) const CASES: &[Case] = &[
    Case::new("every version that the clients use is offered", offered),
    Case::new("Produce is offered from version 0, for librdkafka", produce_from_zero),
    Case::new("whatever version is offered is answered", answered),
    Case::new("an unknown version of ApiVersions is answered in version 0", unknown),
    Case::new("an unknown version of another request ends the connection", ends),
    Case::new("nonsense ends its own connection and no other", nonsense),
];

/// What rskafka 0.6 speaks: it takes the highest version that both know.
const RSKAFKA: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 7),
    (ApiKey::Fetch, 4, 4),
    (ApiKey::ListOffsets, 0, 3),
    (ApiKey::Metadata, 0, 4),
    (ApiKey::ApiVersions, 0, 3),
];

/// A client has to name itself from version 3 on.
fn request(version: i16) -> ApiVersionsRequest {
    let request = ApiVersionsRequest::default();
    if version < 3 {
        return request;
    }
    let name = StrBytes::from_static_str("lanebench-suite");
    request.with_client_software_name(name).with_client_software_version(StrBytes::from_static_str("0.1"))
}

fn offered(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        for mut wire in bed.everyone().await? {
            for version in [0, 3] {
                let answer = wire.ask_in(version, &request(version)).await?;
                answers(answer.error_code, None, &format!("ApiVersions {version}"))?;
                let range = |key| {
                    answer.api_keys.iter().find(|a| a.api_key == key).map(|a| (a.min_version, a.max_version))
                };
                for (key, version) in SPOKEN {
                    let offered = range(*key);
                    let in_it = offered.is_some_and(|(min, max)| (min..=max).contains(version));
                    check(in_it, format!("API {key}: version {version} of {offered:?}"))?;
                }
                for (key, min, max) in RSKAFKA {
                    let offered = range(*key as i16);
                    let common = offered.is_some_and(|(least, most)| least <= *max && most >= *min);
                    check(common, format!("{key:?}: {min} to {max} of {offered:?}"))?;
                }
            }
        }
        Ok(())
    })
}

/// By whether Produce 0 is offered, librdkafka tells a broker that takes gzip, snappy and lz4. Kafka no longer serves
/// versions 0 to 2, and offers them for this.
fn produce_from_zero(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let offered = bed.anyone().await?.ask(&request(3)).await?;
        let produce = offered.api_keys.iter().find(|a| a.api_key == ApiKey::Produce as i16);
        same(&produce.map(|a| a.min_version), &Some(0), "the least version of Produce")
    })
}

/// The offered versions of `R` up to `most`, beyond which it looks different; at least one.
fn versions<R: Request>(
    offered: &ApiVersionsResponse,
    least: i16,
    most: i16,
) -> Result<RangeInclusive<i16>, Failed> {
    let api = offered
        .api_keys
        .iter()
        .find(|a| a.api_key == R::KEY)
        .ok_or_else(|| format!("API {} is missing", R::KEY))?;
    let range = api.min_version.max(least)..=api.max_version.min(most);
    check(!range.is_empty(), format!("API {}: {range:?}", R::KEY))?;
    Ok(range)
}

fn answered(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = (bed.name("group"), bed.topic(1).await?);
        let mut member = Puppet::new(bed, &group, &topic).await?;
        member.settle().await?;
        answers(member.commit(1).await?, None, "OffsetCommit")?;
        let mut leader = bed.leader(&topic, 0).await?;
        let offered = leader.ask(&request(3)).await?;
        let mut records = 0;
        for version in versions::<ProduceRequest>(&offered, 3, 12)? {
            let request = produce_request(&topic, 0, &batch_of(&[b"v"], 1_000), -1);
            let answer = leader.ask_in(version, &request).await?;
            let answer = &answer.responses[0].partition_responses[0];
            answers(answer.error_code, None, &format!("Produce {version}"))?;
            same(&answer.base_offset, &records, &format!("Produce {version}"))?;
            records += 1;
        }
        for version in versions::<FetchRequest>(&offered, 4, 12)? {
            let mut request = fetch_request(&topic, &[(0, 0)], Appetite::default());
            request.session_epoch = if version < 7 { 0 } else { -1 };
            let answer = only_partition(leader.ask_in(version, &request).await?)?;
            answers(answer.error_code, None, &format!("Fetch {version}"))?;
            same(
                &stored(answer.records.as_ref())?.len(),
                &usize::try_from(records)?,
                &format!("Fetch {version}"),
            )?;
        }
        for version in versions::<ListOffsetsRequest>(&offered, 1, 9)? {
            for (timestamp, offset) in [(-1, records), (-2, 0), (1_000, 0)] {
                let answer = leader.ask_in(version, &list_offsets_request(&topic, 0, timestamp)).await?;
                let answer = &answer.topics[0].partitions[0];
                same(
                    &(answer.error_code, answer.offset),
                    &(0, offset),
                    &format!("ListOffsets {version} at {timestamp}"),
                )?;
            }
        }
        for version in versions::<MetadataRequest>(&offered, 0, 12)? {
            let named = MetadataRequestTopic::default().with_name(Some(topic_name(&topic)));
            let answer =
                leader.ask_in(version, &MetadataRequest::default().with_topics(Some(vec![named]))).await?;
            same(&answer.topics[0].partitions.len(), &1, &format!("Metadata {version}"))?;
        }
        let coordinator = &mut member.wire;
        for version in versions::<FindCoordinatorRequest>(&offered, 0, 5)? {
            let key = StrBytes::from_string(group.clone());
            let request = FindCoordinatorRequest::default();
            let request =
                if version < 4 { request.with_key(key) } else { request.with_coordinator_keys(vec![key]) };
            let answer = coordinator.ask_in(version, &request).await?;
            let port = if version < 4 { answer.port } else { answer.coordinators[0].port };
            let known = bed.bootstrap.iter().any(|address| address.ends_with(&format!(":{port}")));
            check(known, format!("FindCoordinator {version} names port {port}"))?;
        }
        for version in versions::<OffsetFetchRequest>(&offered, 1, 7)? {
            let asked = OffsetFetchRequestTopic::default()
                .with_name(topic_name(&topic))
                .with_partition_indexes(vec![0]);
            let request =
                OffsetFetchRequest::default().with_group_id(group_id(&group)).with_topics(Some(vec![asked]));
            let answer = coordinator.ask_in(version, &request).await?;
            same(&answer.topics[0].partitions[0].committed_offset, &1, &format!("OffsetFetch {version}"))?;
        }
        for version in versions::<DescribeGroupsRequest>(&offered, 0, 6)? {
            let request = DescribeGroupsRequest::default().with_groups(vec![group_id(&group)]);
            let answer = coordinator.ask_in(version, &request).await?;
            same(&&*answer.groups[0].group_state, &"Stable", &format!("DescribeGroups {version}"))?;
        }
        for version in versions::<ListGroupsRequest>(&offered, 0, 5)? {
            let answer = coordinator.ask_in(version, &ListGroupsRequest::default()).await?;
            let listed = answer.groups.iter().any(|g| g.group_id == group_id(&group));
            check(listed, format!("ListGroups {version}"))?;
        }
        for version in versions::<HeartbeatRequest>(&offered, 0, 4)? {
            let request = HeartbeatRequest::default()
                .with_group_id(group_id(&group))
                .with_generation_id(member.generation)
                .with_member_id(StrBytes::from_string(member.member_id.clone()));
            let answer = coordinator.ask_in(version, &request).await?;
            answers(answer.error_code, None, &format!("Heartbeat {version}"))?;
        }
        Ok(())
    })
}

fn header(key: ApiKey, version: i16, id: i32) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_i16(key as i16);
    bytes.put_i16(version);
    bytes.put_i32(id);
    bytes.put_i16(-1); // no client id
    bytes.put_u8(0); // no tagged fields
    bytes
}

fn unknown(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let mut wire = bed.anyone().await?;
        wire.send_raw(&framed(&header(ApiKey::ApiVersions, 999, 77))).await?;
        let mut body = wire.read_bytes().await?.ok_or("the broker closed the connection")?;
        same(&body.try_get_i32()?, &77, "correlation id")?;
        let answer = ApiVersionsResponse::decode(&mut body, 0)?;
        check(!body.has_remaining(), "the answer goes on after version 0 ends")?;
        answers(answer.error_code, ResponseError::UnsupportedVersion, "ApiVersions 999")?;
        let own = answer.api_keys.iter().find(|a| a.api_key == ApiKey::ApiVersions as i16);
        let own = own.ok_or("it does not say which versions of ApiVersions there are")?;
        // The client asks again on the same connection.
        let version = own.max_version.min(3);
        let answer = wire.ask_in(version, &request(version)).await?;
        answers(answer.error_code, None, "the second attempt")
    })
}

fn ends(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let mut wire = bed.anyone().await?;
        wire.send_raw(&framed(&header(ApiKey::Metadata, 999, 78))).await?;
        let answer = wire.read_bytes().await?;
        check(answer.is_none(), format!("it was answered: {answer:?}"))
    })
}

fn nonsense(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let mut bystander = bed.anyone().await?;
        let mut unknown_api = header(ApiKey::Metadata, 12, 79);
        unknown_api[0] = 0x7f;
        let frames: [(&str, Vec<u8>); 5] = [
            ("a negative length", vec![0xff; 4]),
            ("a length of 2 GiB", vec![0x7f, 0xff, 0xff, 0xff]),
            ("no request at all", vec![0, 0, 0, 0]),
            ("an unknown API", [&framed(&unknown_api)[..], &[0; 16]].concat()),
            ("a request that ends early", framed(&header(ApiKey::Metadata, 12, 80))),
        ];
        for (what, frame) in frames {
            let mut wire = bed.anyone().await?;
            wire.send_raw(&frame).await?;
            let answer = wire.read_bytes().await?;
            check(answer.is_none(), format!("{what} was answered: {answer:?}"))?;
            same(
                &bystander.metadata(&[], false).await?.brokers.len(),
                &bed.subject.nodes,
                "the bystander's answer",
            )?;
        }
        Ok(())
    })
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len()).expect("a short request");
    [&length.to_be_bytes()[..], body].concat()
}
