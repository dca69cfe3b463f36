//! Protobuf as it lies in the body: fields are read one by one and borrow from it.
//!
//! Messages are never built up in memory, so that a body cannot make us allocate more than the
//! signals it holds. Unknown fields are skipped, as protobuf wants.

use std::borrow::Cow;

use thiserror::Error;

/// Fields of one message, in the order sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: text, bytes, a message or a packed list.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

/// The body is not protobuf of the schema expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum WireError {
    /// It ends within a field.
    #[error("the message ends within a field")]
    Truncated,
    /// A varint of more than 64 bits.
    #[error("a number is longer than 64 bits")]
    Varint,
    /// Field number 0, or wire types 3, 4, 6 or 7.
    #[error("a field has no valid key")]
    Key,
    /// A field has another type than the schema says.
    #[error("field {0} has another type than its schema says")]
    Type(u32),
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// A field that only another message has, which the content type does not name.
    #[error(
        "field {0} is one of the other version's message, and not of the one that the content type names"
    )]
    Foreign(u32),
    /// Messages within messages, deeper than we follow.
    #[error("messages are nested too deep")]
    Depth,
}

impl<'a> Fields<'a> {
    /// Of a message.
    pub(super) const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// Bytes not yet read.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field's number and value; `None` at the end.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| WireError::Key)?;
        if number == 0 {
            return Err(WireError::Key);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(WireError::Key),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for (i, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                if i == 9 && *byte > 1 {
                    return Err(WireError::Varint);
                }
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        if self.rest.len() < 10 {
            return Err(WireError::Truncated);
        }
        Err(WireError::Varint)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }
}

impl<'a> Value<'a> {
    /// A message, bytes or packed list.
    pub(super) fn bytes(self, field: u32) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::Type(field)),
        }
    }

    /// The fields of a message.
    pub(super) fn fields(self, field: u32) -> Result<Fields<'a>, WireError> {
        self.bytes(field).map(Fields::of)
    }

    /// A text.
    pub(super) fn text(self, field: u32) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| WireError::Utf8)
    }

    /// A text; bytes that are not UTF-8 are replaced by `\u{fffd}`.
    pub(super) fn text_lossy(self, field: u32) -> Result<Cow<'a, str>, WireError> {
        self.bytes(field).map(String::from_utf8_lossy)
    }

    /// A message of a name (1) and a text (2): `prometheus.Label`, and what Loki calls a pair.
    pub(super) fn pair(self, field: u32) -> Result<(&'a str, &'a str), WireError> {
        let (mut name, mut text) = ("", "");
        let mut fields = self.fields(field)?;
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => name = value.text(1)?,
                2 => text = value.text(2)?,
                _ => {}
            }
        }
        Ok((name, text))
    }

    /// An unsigned number, enum or flag.
    pub(super) fn uint(self, field: u32) -> Result<u64, WireError> {
        match self {
            Self::Varint(value) | Self::Fixed64(value) => Ok(value),
            Self::Fixed32(value) => Ok(u64::from(value)),
            Self::Bytes(_) => Err(WireError::Type(field)),
        }
    }

    /// A signed number, not zigzag coded.
    pub(super) fn int(self, field: u32) -> Result<i64, WireError> {
        self.uint(field).map(u64::cast_signed)
    }

    /// A signed number of 32 bits, zigzag coded: those above are dropped, as protobuf wants.
    pub(super) fn sint32(self, field: u32) -> Result<i32, WireError> {
        let coded = (self.uint(field)? & u64::from(u32::MAX)) as u32;
        Ok((coded >> 1).cast_signed() ^ -(coded & 1).cast_signed())
    }

    /// A double.
    pub(super) fn double(self, field: u32) -> Result<f64, WireError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(WireError::Type(field)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, WireError> {
        let mut fields = Fields::of(message);
        std::iter::from_fn(|| fields.next().transpose()).collect()
    }

    #[test]
    fn reads_every_wire_type() {
        let message = [
            0x08, 0x96, 0x01, 0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0x1a, 2, b'h', b'i', 0x25, 7, 0, 0, 0,
        ];
        let expected = vec![
            (1, Value::Varint(150)),
            (2, Value::Fixed64(1)),
            (3, Value::Bytes(b"hi")),
            (4, Value::Fixed32(7)),
        ];
        assert_eq!(all(&message), Ok(expected));
    }

    #[test]
    fn refuses_what_is_not_protobuf() {
        let cases: [(&[u8], WireError); 7] = [
            (&[0x08], WireError::Truncated),
            (&[0x1a, 5, 1], WireError::Truncated),
            (
                &[0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                WireError::Truncated,
            ),
            (&[0x11, 1, 2], WireError::Truncated),
            (
                &[
                    0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
                ],
                WireError::Varint,
            ),
            (&[0x00, 1], WireError::Key),
            (&[0x0b], WireError::Key),
        ];
        for (message, error) in cases {
            assert_eq!(all(message), Err(error), "{message:?}");
        }
    }

    #[test]
    fn values_have_the_type_asked_for_or_are_refused() {
        assert_eq!(Value::Varint(u64::MAX).int(1), Ok(-1));
        assert_eq!(Value::Bytes(b"").double(9), Err(WireError::Type(9)));
        assert_eq!(Value::Bytes(b"\xff").text(2), Err(WireError::Utf8));
        let lossy = Value::Bytes(b"bad \xff").text_lossy(2);
        assert_eq!(lossy, Ok(Cow::Borrowed("bad \u{fffd}")));
        assert_eq!(Value::Varint(1).bytes(3), Err(WireError::Type(3)));
    }

    proptest! {
        #[test]
        fn any_bytes_end(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&message);
        }

        #[test]
        fn any_varint_round_trips(value: u64) {
            let mut coded = Vec::new();
            prost::encoding::encode_varint(value, &mut coded);
            prop_assert_eq!(Fields::of(&coded).varint(), Ok(value));
        }
    }
}
