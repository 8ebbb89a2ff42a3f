//! Reading numbers, varints and byte strings of the record format off a slice.

use super::batch::Malformed;

/// What is left of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// A zigzag number of up to ten bytes, as protocol buffers have it.
    pub(super) fn varlong(&mut self) -> Result<i64, Malformed> {
        let mut zigzag = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
            }
        }
        Err(Malformed("a number of more than ten bytes"))
    }

    pub(super) fn varint(&mut self) -> Result<i32, Malformed> {
        i32::try_from(self.varlong()?).map_err(|_| Malformed("a number beyond 32 bits"))
    }

    /// A length, and so many bytes; −1 is null.
    pub(super) fn nullable(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.varint()? {
            -1 => Ok(None),
            length => {
                self.take(usize::try_from(length).map_err(|_| Malformed("a negative length"))?).map(Some)
            }
        }
    }

    /// A count of things that take a byte each at least.
    pub(super) fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.varint()?).map_err(|_| Malformed("a negative count"))?;
        if count > self.0.len() { Err(Malformed("a count of more than there is")) } else { Ok(count) }
    }
}

/// Appends a zigzag number.
pub(super) fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

/// Appends a length and the bytes; −1 for null.
pub(super) fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive_the_trip(value: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut input = Input(&out);
            prop_assert_eq!(input.varlong().unwrap(), value);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn byte_strings_survive_the_trip(value: Option<Vec<u8>>) {
            let mut out = Vec::new();
            put_nullable(&mut out, value.as_deref());
            prop_assert_eq!(Input(&out).nullable().unwrap(), value.as_deref());
        }
    }

    #[test]
    fn what_is_cut_or_too_long_is_an_error() {
        assert!(Input(&[0x80]).varint().is_err(), "cut");
        assert!(Input(&[0xff; 11]).varlong().is_err(), "eleven bytes");
        assert!(Input(&[3]).nullable().is_err(), "minus two bytes");
        assert!(Input(&[4, b'a']).nullable().is_err(), "two bytes, of which one is there");
        assert!(Input(&[0x80, 0x80, 0x80, 0x80, 0x7f]).varint().is_err(), "beyond 32 bits");
        assert!(Input(&[200, 1]).count().is_err(), "a hundred things in no bytes");
    }
}
