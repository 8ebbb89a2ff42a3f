//! Which partition a key goes to: as Kafka's default partitioner decides, so that our producer, a Java producer and
//! every consumer agree on where an order lives.
//!
//! Source: `org.apache.kafka.common.utils.Utils.murmur2` and
//! `org.apache.kafka.clients.producer.internals.BuiltInPartitioner.partitionForKey`. The fixture beside this file
//! was made by that code; `ci/fixtures/partition` makes it again.

use std::num::NonZero;

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;
const R: u32 = 24;

/// 32-bit MurmurHash2 with Kafka's seed. Java's `int`, so that it may be compared with what the client prints.
pub fn murmur2(bytes: &[u8]) -> i32 {
    // Kafka hashes lengths as Java `int`s; a key that long can't be sent at all, so the cut never shows.
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    hash as i32
}

/// The partition, from 0, of `key` in a topic of `partitions` partitions.
pub fn partition_for_key(key: &[u8], partitions: NonZero<u32>) -> i32 {
    // Not the absolute value: Kafka clears the sign bit, which gives another partition for negative hashes.
    let positive = murmur2(key) as u32 & 0x7fff_ffff;
    (positive % partitions) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &str = include_str!("fixtures/partition.csv");

    /// A key as the fixture writes it: `hex:…`, or `lcg:SEED:LENGTH` for what would be too long to spell out.
    fn key(text: &str) -> Vec<u8> {
        if let Some(recipe) = text.strip_prefix("lcg:") {
            let (seed, length) = recipe.split_once(':').unwrap();
            let mut state: u64 = seed.parse().unwrap();
            return (0..length.parse::<usize>().unwrap())
                .map(|_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
        }
        let hex = text.strip_prefix("hex:").unwrap().as_bytes();
        hex.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn agrees_with_kafkas_java_client() {
        let mut lines = FIXTURE.lines().filter(|line| !line.starts_with('#'));
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        let counts: Vec<NonZero<u32>> = header[2..].iter().map(|count| count.parse().unwrap()).collect();
        let mut keys = 0;
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let key = key(fields[0]);
            assert_eq!(murmur2(&key), fields[1].parse::<i32>().unwrap(), "murmur2 of {line}");
            for (count, expected) in counts.iter().zip(&fields[2..]) {
                assert_eq!(
                    partition_for_key(&key, *count),
                    expected.parse::<i32>().unwrap(),
                    "{count}: {line}"
                );
            }
            keys += 1;
        }
        assert!(keys >= 1_500 && counts.len() == 6, "a short fixture proves little: {keys} keys");
    }
}
