//! Which versions a broker says it speaks, and what it answers in others.

use bytes::{Buf, BufMut, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Decodable, StrBytes};
use libtest_mimic::Failed;

use crate::bed::{Bed, Case, answers, same};
use crate::common::check;
use crate::wire::SPOKEN;

pub(crate) const CASES: &[Case] = &[
    Case::new("every version that the clients use is offered", offered),
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
