//! Messages of a syslog stream: each ended by a line feed, or preceded by its length (RFC 6587).
//!
//! Both are told apart message by message, since senders differ and relays mix them. It holds one
//! message at most, of bounded length.

/// Longest message kept, in bytes; the rest of a longer one is left out and counted.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Digits of a length; more are no length.
const LENGTH_DIGITS_MAX: usize = 7;

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub(super) struct Frames {
    state: State,
    /// What is there of the message, at most [`MESSAGE_BYTES_MAX`].
    held: Vec<u8>,
    is_cut: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between messages.
    #[default]
    Between,
    /// Digits that may be a length.
    Length,
    /// A length and its space; a `<` makes it certain.
    Announced(usize),
    /// So many bytes are still to come.
    Counted(usize),
    /// Up to the next line feed.
    Line,
}

impl Frames {
    /// Gives every message that is complete with these bytes, with whether it was cut.
    pub(super) fn push(&mut self, mut bytes: &[u8], take: &mut impl FnMut(&[u8], bool)) {
        while let Some(byte) = bytes.first().copied() {
            let read = match self.state {
                State::Between => self.begin(byte),
                State::Length => self.length(byte),
                State::Announced(length) => self.announced(byte, length),
                State::Counted(left) => self.counted(bytes, left, take),
                State::Line => self.line(bytes, take),
            };
            bytes = &bytes[read..];
        }
    }

    /// The stream has ended: gives the last line, which may lack its end. `false` if a message of a
    /// known length was broken off.
    pub(super) fn end(&mut self, take: &mut impl FnMut(&[u8], bool)) -> bool {
        if let State::Counted(_) = self.state {
            self.held.clear();
            self.state = State::Between;
            return false;
        }
        self.give(take);
        true
    }

    /// What a message begins with; gives the bytes it read.
    fn begin(&mut self, byte: u8) -> usize {
        match byte {
            b'\n' | b'\r' | b' ' | 0 => return 1,
            b'1'..=b'9' => self.state = State::Length,
            _ => self.state = State::Line,
        }
        0
    }

    fn length(&mut self, byte: u8) -> usize {
        let digits = std::str::from_utf8(&self.held).unwrap_or_default();
        match byte {
            b'0'..=b'9' if digits.len() < LENGTH_DIGITS_MAX => {
                self.held.push(byte);
                1
            }
            b' ' => {
                self.state = State::Announced(digits.parse().unwrap_or(0));
                1
            }
            // Text that begins with a number.
            _ => {
                self.state = State::Line;
                0
            }
        }
    }

    fn announced(&mut self, byte: u8, length: usize) -> usize {
        if byte == b'<' && length > 0 {
            self.held.clear();
            self.state = State::Counted(length);
        } else {
            self.held.push(b' ');
            self.state = State::Line;
        }
        0
    }

    fn counted(&mut self, bytes: &[u8], left: usize, take: &mut impl FnMut(&[u8], bool)) -> usize {
        let here = &bytes[..left.min(bytes.len())];
        self.keep(here);
        self.state = State::Counted(left - here.len());
        if here.len() == left {
            self.give(take);
        }
        here.len()
    }

    fn line(&mut self, bytes: &[u8], take: &mut impl FnMut(&[u8], bool)) -> usize {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.keep(bytes);
            return bytes.len();
        };
        self.keep(&bytes[..end]);
        self.give(take);
        end + 1
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MESSAGE_BYTES_MAX - self.held.len();
        let kept = &bytes[..bytes.len().min(room)];
        self.held.extend_from_slice(kept);
        self.is_cut |= kept.len() < bytes.len();
    }

    fn give(&mut self, take: &mut impl FnMut(&[u8], bool)) {
        if !self.held.is_empty() {
            take(&self.held, self.is_cut);
        }
        self.held.clear();
        self.is_cut = false;
        self.state = State::Between;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Messages of a stream that comes in pieces of `piece` bytes, a `…` on those that were cut.
    fn messages(stream: &[u8], piece: usize) -> (Vec<String>, bool) {
        let mut frames = Frames::default();
        let mut messages = Vec::new();
        let mut take = |message: &[u8], is_cut: bool| {
            let text = String::from_utf8_lossy(message);
            messages.push(format!("{text}{}", if is_cut { "…" } else { "" }));
        };
        for bytes in stream.chunks(piece) {
            frames.push(bytes, &mut take);
        }
        let is_whole = frames.end(&mut take);
        (messages, is_whole)
    }

    #[test]
    fn both_framings_and_what_only_looks_like_one() {
        let cases: [(&str, &[&str], bool); 8] = [
            ("<1>a\n<2>b\r\n\n<3>c", &["<1>a", "<2>b\r", "<3>c"], true),
            ("4 <1>a5 <2>bc", &["<1>a", "<2>bc"], true),
            ("5 <1>a\n<2>b\n4 <3>c", &["<1>a\n", "<2>b", "<3>c"], true),
            ("6 <1>a\nb", &["<1>a\nb"], true),
            ("9 <1>a", &[], false),
            (
                "2026-11-21 text\n12 monkeys\n",
                &["2026-11-21 text", "12 monkeys"],
                true,
            ),
            ("123456789 <1>\n", &["123456789 <1>"], true),
            ("\n \r\n", &[], true),
        ];
        for (stream, expected, is_whole) in cases {
            for piece in 1..=stream.len() {
                let got = messages(stream.as_bytes(), piece);
                assert_eq!(
                    got,
                    (expected.iter().map(|&t| t.to_owned()).collect(), is_whole),
                    "{stream:?}"
                );
            }
        }
    }

    #[test]
    fn long_messages_are_cut_and_the_next_is_whole() {
        let long = "x".repeat(MESSAGE_BYTES_MAX + 9);
        let counted = format!("{} <{long}<2>b\n", long.len() + 1);
        for stream in [format!("<{long}\n<2>b\n"), counted] {
            let (messages, _) = messages(stream.as_bytes(), 4_096);
            let lengths: Vec<usize> = messages.iter().map(String::len).collect();
            assert_eq!(lengths, [MESSAGE_BYTES_MAX + "…".len(), 4]);
        }
    }

    proptest! {
        #[test]
        fn any_stream_is_the_same_in_any_pieces(
            stream in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), Just(b'<'), b'0'..=b'9', any::<u8>()], 0..200),
            piece in 1..40_usize,
        ) {
            prop_assert_eq!(messages(&stream, piece), messages(&stream, stream.len().max(1)));
        }
    }
}
