//! What a broker must not take into a log.

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use libtest_mimic::Failed;

use crate::batch::batch_of;
use crate::bed::{Bed, Case, answers, same};
use crate::codecs::NONE;
use crate::wire::Wire;

pub(crate) const CASES: &[Case] = &[
    Case::new("a batch with a wrong checksum is refused", corrupt),
    Case::new("a batch that is cut short is refused", cut_short),
    Case::new("a batch larger than max.message.bytes is refused", too_large),
];

async fn end(wire: &mut Wire, topic: &str) -> Result<i64, Failed> {
    Ok(wire.list_offset(topic, 0, -1).await?.1)
}

fn corrupt(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        // A bit of the checksum, one of the header that it covers, one of the last record.
        for at in [17, 30, NONE.len() - 1] {
            let mut bytes = BytesMut::from(NONE);
            bytes[at] ^= 1;
            let (code, _) = wire.produce(&topic, 0, &bytes.freeze()).await?;
            answers(code, ResponseError::CorruptMessage, &format!("a bit flipped in byte {at}"))?;
        }
        same(&end(&mut wire, &topic).await?, &0, "the log's end")?;
        let (code, base) = wire.produce(&topic, 0, &Bytes::from_static(NONE)).await?;
        answers(code, None, "the batch as it was")?;
        same(&base, &0, "base offset")
    })
}

fn cut_short(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        let refused = [ResponseError::CorruptMessage, ResponseError::InvalidRecord];
        let (code, _) = wire.produce(&topic, 0, &Bytes::from_static(&NONE[..NONE.len() - 3])).await?;
        let error = ResponseError::try_from_code(code);
        if !error.is_some_and(|error| refused.contains(&error)) {
            return Err(format!("a batch without its last 3 bytes was answered with {error:?}").into());
        }
        same(&end(&mut wire, &topic).await?, &0, "the log's end")
    })
}

fn too_large(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic_with("small", 1, &[("max.message.bytes", "10000")]).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        let (code, _) = wire.produce(&topic, 0, &batch_of(&[&[7; 20_000]], 1)).await?;
        answers(code, ResponseError::MessageTooLarge, "20,000 bytes where 10,000 are allowed")?;
        same(&end(&mut wire, &topic).await?, &0, "the log's end")?;
        let (code, _) = wire.produce(&topic, 0, &batch_of(&[&[7; 9_000]], 1)).await?;
        answers(code, None, "9,000 bytes")
    })
}
