//! The compression codecs of Kafka's record batches, in pure Rust, for reading.

use std::io::{self, Read};

/// What a batch may come to when it is unpacked. A broker bounds only the packed size; a batch that grows beyond this is held for an
/// attack or an accident, and ends the lane with an error that says so.
const UNPACKED_MAX_BYTES: u64 = 256 << 20;

/// How snappy-java begins its stream of blocks: a mark, then a version and the oldest version that can read it.
const XERIAL_MARK: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER: usize = 16;

/// Kafka's number of a codec, the lowest three bits of a batch's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// The codec of these attributes; `None` for a number that Kafka has not given away.
    pub(super) fn of(attributes: i16) -> Option<Self> {
        match attributes & 0x7 {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// As Kafka's `compression.type` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Unpacks a batch's records.
    pub(super) fn unpack(self, packed: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(packed.to_vec()),
            Self::Gzip => bounded(flate2::read::MultiGzDecoder::new(packed)),
            Self::Snappy => snappy(packed),
            Self::Lz4 => bounded(lz4_flex::frame::FrameDecoder::new(packed)),
            Self::Zstd => {
                let decoder = ruzstd::decoding::StreamingDecoder::new(packed);
                bounded(
                    decoder.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?,
                )
            }
        }
    }
}

fn bounded(decoder: impl Read) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    decoder.take(UNPACKED_MAX_BYTES + 1).read_to_end(&mut unpacked)?;
    check_size(unpacked.len())?;
    Ok(unpacked)
}

fn check_size(bytes: usize) -> io::Result<()> {
    if bytes as u64 > UNPACKED_MAX_BYTES {
        let max = UNPACKED_MAX_BYTES >> 20;
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it unpacks to more than {max} MiB")));
    }
    Ok(())
}

/// One bare block, as librdkafka and others write it, or the stream of blocks of snappy-java.
fn snappy(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut decoder = snap::raw::Decoder::new();
    let mut block = |packed: &[u8]| -> io::Result<Vec<u8>> {
        check_size(snap::raw::decompress_len(packed)?)?;
        Ok(decoder.decompress_vec(packed)?)
    };
    if !packed.starts_with(XERIAL_MARK) {
        return block(packed);
    }
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "a block is cut");
    let mut rest = packed.get(XERIAL_HEADER..).ok_or_else(cut)?;
    let mut unpacked = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or_else(cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (packed, after) = after.split_at_checked(length).ok_or_else(cut)?;
        unpacked.extend(block(packed)?);
        check_size(unpacked.len())?;
        rest = after;
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snappy_comes_as_a_bare_block_or_as_a_stream_of_blocks() {
        let packed = |text: &[u8]| snap::raw::Encoder::new().compress_vec(text).unwrap();
        assert_eq!(Codec::Snappy.unpack(&packed(b"bare")).unwrap(), b"bare");
        let mut stream = [XERIAL_MARK, &1_u32.to_be_bytes(), &1_u32.to_be_bytes()].concat();
        for text in [b"one ", b"two "] {
            let block = packed(text);
            stream.extend((block.len() as u32).to_be_bytes());
            stream.extend(block);
        }
        assert_eq!(Codec::Snappy.unpack(&stream).unwrap(), b"one two ");
        assert!(Codec::Snappy.unpack(&stream[..stream.len() - 1]).is_err());
        assert!(Codec::Snappy.unpack(XERIAL_MARK).is_err());
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let mut huge = Vec::new();
        let mut encoder = flate2::write::GzEncoder::new(&mut huge, flate2::Compression::best());
        io::copy(&mut io::repeat(0).take(UNPACKED_MAX_BYTES + 1), &mut encoder).unwrap();
        encoder.finish().unwrap();
        let refused = Codec::Gzip.unpack(&huge).unwrap_err().to_string();
        assert!(refused.contains("more than 256 MiB"), "{refused}");
        // A block's own claim is enough: nothing is unpacked for it.
        let claims_a_gigabyte = [0x80, 0x80, 0x80, 0x80, 0x04, 0x00];
        assert!(Codec::Snappy.unpack(&claims_a_gigabyte).unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn rubbish_is_an_error_of_every_codec() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            assert!(codec.unpack(b"\xff\xfe rubbish").is_err(), "{}", codec.name());
        }
    }
}
