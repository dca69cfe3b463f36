//! Bytes of a recording: variable-length integers and bounded reads.
//!
//! A recording may come from anywhere. Reading never panics, and never reserves more than the bytes
//! that are there could fill.

use thiserror::Error;

/// Longest encoding of a 64-bit integer, in bytes.
const VARINT_BYTES_MAX: usize = 10;

/// The bytes are not what an encoder wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Appends `value` as LEB128.
pub fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Appends a signed value so that small ones of both signs are short.
pub fn put_signed(to: &mut Vec<u8>, value: i64) {
    put_varint(to, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a length and the bytes.
pub fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// Reads what the functions above wrote.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Over these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Bytes not yet read.
    pub const fn left(&self) -> usize {
        self.0.len()
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*first)
    }

    /// `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*head)
    }

    /// See [`put_varint`].
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for place in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("an integer is too long"))
    }

    /// See [`put_signed`].
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// An index below `end`.
    pub fn index(&mut self, end: usize) -> Result<usize, Malformed> {
        let index = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if index < end {
            Ok(index)
        } else {
            Err(Malformed("it refers to something never told"))
        }
    }

    /// See [`put_bytes`].
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let (head, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(head)
    }

    /// The same, as text.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).varint(), Ok(value));
        }
        for value in [0, -1, 1, 64, -65, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).signed(), Ok(value));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let early = Malformed("it ends too early");
        assert_eq!(Reader::new(&[0x80]).varint(), Err(early));
        assert_eq!(Reader::new(&[0x05, b'a']).bytes(), Err(early));
        let long = Reader::new(&[0xff; 11]).varint();
        assert_eq!(long, Err(Malformed("an integer is too long")));
        let unknown = Reader::new(&[3]).index(3);
        assert_eq!(unknown, Err(Malformed("it refers to something never told")));
        let not_text = Reader::new(&[1, 0xff]).text();
        assert_eq!(not_text, Err(Malformed("a text is not UTF-8")));
    }
}
