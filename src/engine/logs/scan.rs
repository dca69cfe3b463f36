//! One pass over a log line: constant words, punctuation, and variables.
//!
//! Everything that varies from line to line by its shape alone (numbers, addresses, paths,
//! identifiers, quoted values, dates) becomes a variable here, so that most lines of one
//! statement give the same token sequence and one hash lookup finds them again. Words that vary
//! without looking like it are learned later, in `merge`.
//!
//! The scanner is shared by every system and never allocates for a line once its buffers have
//! grown. It must never panic, whatever bytes arrive, and never look further than its limits.

use super::bytes::{
    AT, BACKSLASH, COLON, DELIMITER, DIGIT, DOT, LETTER, REPEAT, SLASH, SPACE, class,
    is_constant_name, is_value_without_digits, separates_list,
};
use super::words;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a line that are looked at; a template is decided long before.
pub(super) const LINE_BYTES_MAX: usize = 2048;
/// Tokens of a line that are kept; what follows is one more variable.
pub(super) const TOKENS_MAX: usize = 160;
/// How far the closing quote of a value may be.
const QUOTED_BYTES_MAX: usize = 256;
/// Longest placeholder in angle brackets.
const PLACEHOLDER_BYTES_MAX: usize = 32;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Kind {
    /// Constant text that may turn out to vary.
    Word,
    /// Constant text that never varies.
    Punct,
    /// Any value.
    Var,
}

/// A token, as a range of the scanned line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub start: u32,
    pub end: u32,
    pub kind: Kind,
    /// White space stood before it.
    pub space: bool,
}

impl Token {
    pub(super) fn bytes<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// The scanner with its buffers.
#[derive(Clone, Debug, Default)]
pub(super) struct Scanner {
    tokens: Vec<Token>,
    /// The line with every variable replaced by one byte: what is hashed.
    skeleton: Vec<u8>,
}

/// Stands for a variable in the skeleton; control characters do not occur in it otherwise.
const VARIABLE_MARK: u8 = 1;

impl Scanner {
    /// Tokens of the line scanned last.
    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Scan one line and return the hash of its constant parts.
    pub(super) fn scan(&mut self, line: &str) -> u64 {
        let bytes = visible_part(line).as_bytes();
        self.tokens.clear();
        Pass {
            bytes,
            tokens: &mut self.tokens,
            keep_heads: false,
        }
        .run();
        if !self.tokens.iter().any(|token| token.kind == Kind::Word) {
            // Nothing constant is left to tell this line from others: keep the leading words of
            // mixed chunks ("jetty-6.1.26") instead.
            self.tokens.clear();
            Pass {
                bytes,
                tokens: &mut self.tokens,
                keep_heads: true,
            }
            .run();
        }
        self.skeleton.clear();
        for token in &self.tokens {
            if token.space {
                self.skeleton.push(b' ');
            }
            if token.kind == Kind::Var {
                self.skeleton.push(VARIABLE_MARK);
            } else {
                self.skeleton.extend_from_slice(token.bytes(bytes));
                // Adjacent tokens must not read as one: "a:b" is one word or three tokens.
            }
        }
        xxh3_64(&self.skeleton)
    }
}

/// The first line of a (joined) record, at most [`LINE_BYTES_MAX`] bytes.
pub(super) fn visible_part(line: &str) -> &str {
    let cut = &line[..line.floor_char_boundary(LINE_BYTES_MAX)];
    // Half a value at the cut would look like a word of its own.
    let cut = if cut.len() < line.len() {
        cut.rsplit_once(' ').map_or(cut, |(whole, _)| whole)
    } else {
        cut
    };
    cut.lines().next().unwrap_or_default()
}

/// One pass over one line.
struct Pass<'a> {
    bytes: &'a [u8],
    tokens: &'a mut Vec<Token>,
    keep_heads: bool,
}

impl Pass<'_> {
    fn run(&mut self) {
        let mut at = 0;
        let mut space = false;
        while at < self.bytes.len() {
            if self.tokens.len() >= TOKENS_MAX {
                self.push_var(at, self.bytes.len(), space);
                return;
            }
            let class = class(self.bytes[at]);
            if class == SPACE {
                space = true;
                at += 1;
            } else {
                at = if class == DELIMITER {
                    self.delimiter(at, space)
                } else {
                    self.chunk(at, space)
                };
                space = false;
            }
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(b' ')
    }

    /// A delimiter and what it implies about what follows. Returns where scanning goes on.
    fn delimiter(&mut self, at: usize, space: bool) -> usize {
        let next = self.byte(at + 1);
        match self.bytes[at] {
            b'=' => {
                let value_is_message = self
                    .tokens
                    .last()
                    .is_some_and(|key| words::is_message_key(key.bytes(self.bytes)));
                self.push(Kind::Punct, at, at + 1, space);
                if (next == b'"' || next == b'\'') && !value_is_message {
                    if let Some(end) = self.closing_quote(at + 1) {
                        self.push_var(at + 1, end, false);
                        return end;
                    }
                } else if matches!(next, b',' | b';' | b')' | b']' | b'}') {
                    // An absent value is a value: "key=," and "key=5," are one statement.
                    self.push_var(at + 1, at + 1, false);
                }
                at + 1
            }
            b'(' if space && next == b')' => {
                self.push(Kind::Punct, at, at + 1, space);
                self.push_var(at + 1, at + 1, false);
                at + 1
            }
            b'<' if next.is_ascii_alphabetic() => {
                if let Some(end) = self.closing_angle(at) {
                    self.push_var(at, end, space);
                    return end;
                }
                self.push(Kind::Punct, at, at + 1, space);
                at + 1
            }
            b'<' if next.is_ascii_digit() => {
                // "<1 sec" is a number with a sign; "<13>" is a number in brackets.
                let digits = self.bytes[at + 1..]
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric())
                    .count();
                if self.byte(at + 1 + digits) == b'>' {
                    self.push(Kind::Punct, at, at + 1, space);
                    at + 1
                } else {
                    self.chunk(at + 1, space)
                }
            }
            _ => {
                self.push(Kind::Punct, at, at + 1, space);
                at + 1
            }
        }
    }

    /// Where the string that opens at `open` ends (behind its quote).
    fn closing_quote(&self, open: usize) -> Option<usize> {
        let quote = self.bytes[open];
        let rest = &self.bytes[open + 1..];
        let rest = &rest[..rest.len().min(QUOTED_BYTES_MAX)];
        rest.iter()
            .position(|&b| b == quote)
            .map(|length| open + 1 + length + 1)
    }

    /// Where a placeholder such as `<unknown>` or `<no value>` ends: letters and spaces alone,
    /// and nothing glued behind. It stands for a value, masked secrets included.
    fn closing_angle(&self, open: usize) -> Option<usize> {
        let rest = &self.bytes[open + 1..];
        let rest = &rest[..rest.len().min(PLACEHOLDER_BYTES_MAX)];
        let length = rest
            .iter()
            .take_while(|&&b| class(b) == LETTER || b == b' ')
            .count();
        let end = open + 1 + length + 1;
        let alone = class(self.byte(end)) & (SPACE | DELIMITER) != 0;
        (rest.get(length) == Some(&b'>') && alone).then_some(end)
    }

    /// A run without white space or delimiters, starting at `start`. Returns its end.
    fn chunk(&mut self, start: usize, space: bool) -> usize {
        let mut at = start;
        let mut seen = 0;
        let mut previous = 0;
        while let Some(&byte) = self.bytes.get(at) {
            let class = class(byte);
            if class & (SPACE | DELIMITER) != 0 {
                // An apostrophe between letters belongs to the word ("can't").
                let inside = byte == b'\''
                    && super::bytes::class(previous) == LETTER
                    && super::bytes::class(self.byte(at + 1)) == LETTER;
                if !inside {
                    break;
                }
            }
            if byte == previous && class & (LETTER | DIGIT) == 0 {
                seen |= REPEAT;
            }
            seen |= class & !(SPACE | DELIMITER);
            previous = byte;
            at += 1;
        }
        if seen & SLASH != 0 && self.byte(at) == b'=' && self.bytes[start..at].contains(&b'?') {
            // The query of a URL or a request path belongs to it.
            let rest = self.bytes[at..].iter();
            at += rest
                .take_while(|&&b| {
                    class(b) != SPACE && !matches!(b, b'"' | b'\'' | b')' | b']' | b'>')
                })
                .count();
            self.push_var(start, at, space);
            return at;
        }
        match seen {
            LETTER => self.push_word(start, at, space),
            DIGIT => self.push_var(start, at, space),
            _ => self.mixed(start, at, seen, space),
        }
        at
    }

    /// A chunk of several byte classes: strip outer punctuation, then decide about the core.
    fn mixed(&mut self, start: usize, end: usize, seen: u16, mut space: bool) {
        let core = &self.bytes[start..end];
        if seen & SLASH != 0 && core.windows(3).any(|w| w == b"://") {
            self.url(start, end, space);
            return;
        }
        let outer = |byte: u8| class(byte) & (LETTER | DIGIT | SLASH | BACKSLASH) == 0;
        let mut head = core.iter().take_while(|b| outer(**b)).count();
        // A backslash at the end escapes the quote that follows.
        let trailing = |byte: u8| outer(byte) && byte != b'%' || byte == b'\\';
        let tail = core.iter().rev().take_while(|b| trailing(**b)).count();
        if head + tail >= core.len() {
            self.push(Kind::Punct, start, end, space);
            return;
        }
        let first = core[head];
        let sign = head > 0 && core[head - 1] != b':';
        if sign && (first.is_ascii_digit() || matches!(first, b'/' | b'\\')) {
            head -= 1; // one sign belongs to the value: -5, #3, .5, ~/x
        }
        if head > 0 {
            self.push(Kind::Punct, start, start + head, space);
            space = false;
        }
        let (from, to) = (start + head, end - tail);
        if seen & DIGIT == 0 {
            self.wordlike(from, to, seen, space);
        } else if seen & REPEAT != 0 {
            self.split_at_repeats(from, to, space);
        } else {
            self.valuelike(from, to, space);
        }
        if tail > 0 {
            self.push(Kind::Punct, to, end, false);
        }
    }

    /// A URL, but for the sentence's punctuation behind it and a name glued before it.
    fn url(&mut self, start: usize, end: usize, space: bool) {
        let core = &self.bytes[start..end];
        let tail = core
            .iter()
            .rev()
            .take_while(|b| matches!(b, b'.' | b':' | b'!' | b'?' | b'\\'))
            .count();
        self.push_var(start, end - tail, space);
        if tail > 0 {
            self.push(Kind::Punct, end - tail, end, false);
        }
    }

    /// A core without digits.
    fn wordlike(&mut self, from: usize, to: usize, seen: u16, space: bool) {
        let core = &self.bytes[from..to];
        if core == b"/" || core == b"\\" {
            // The root directory, when it is what a request ("GET /") names.
            let requested = self.tokens.last().is_some_and(|verb| {
                verb.kind == Kind::Word && verb.bytes(self.bytes).iter().all(u8::is_ascii_uppercase)
            });
            if requested && space {
                self.push_var(from, to, space);
            } else {
                self.push(Kind::Punct, from, to, space);
            }
        } else if seen & (SLASH | BACKSLASH | AT | DOT) != 0 && is_value_without_digits(core) {
            self.push_var(from, to, space);
        } else if seen & COLON != 0
            && let Some(colon) = core.iter().position(|&b| b == b':')
        {
            let colon = from + colon;
            self.part(from, colon, space);
            self.push(Kind::Punct, colon, colon + 1, false);
            self.part(colon + 1, to, false);
        } else {
            self.push_word(from, to, space);
        }
    }

    /// A part of a digitless core, cut out at a colon.
    fn part(&mut self, from: usize, to: usize, space: bool) {
        if from < to {
            let seen = self.bytes[from..to]
                .iter()
                .fold(0, |seen, &b| seen | class(b));
            if seen & LETTER == 0 {
                self.push(Kind::Punct, from, to, space);
            } else {
                self.wordlike(from, to, seen, space);
            }
        }
    }

    /// A core with digits: one variable, but for a constant name glued before it by `:` or `@`.
    fn valuelike(&mut self, from: usize, to: usize, space: bool) {
        let core = &self.bytes[from..to];
        let glue = core.iter().position(|&b| matches!(b, b':' | b'@'));
        if let Some(glue) = glue
            && glue > 0
            && !(glue == 1 && matches!(core.get(2), Some(b'/' | b'\\')))
            && is_constant_name(&core[..glue])
        {
            let glue = from + glue;
            self.push_word(from, glue, space);
            self.push(Kind::Punct, glue, glue + 1, false);
            if glue + 1 < to {
                let seen = self.bytes[glue + 1..to]
                    .iter()
                    .fold(0, |seen, &b| seen | class(b));
                if seen & DIGIT != 0 {
                    self.valuelike(glue + 1, to, false);
                } else {
                    self.part(glue + 1, to, false);
                }
            }
            return;
        }
        if self.keep_heads {
            let head = core.iter().take_while(|b| b.is_ascii_alphabetic()).count();
            if head > 0 && head < core.len() {
                self.push_word(from, from + head, space);
                self.push_var(from + head, to, false);
                return;
            }
        }
        self.push_var(from, to, space);
    }

    /// Repeated punctuation separates ("......0", "1##2"): decide about each piece by itself.
    fn split_at_repeats(&mut self, from: usize, to: usize, mut space: bool) {
        let mut at = from;
        let mut piece = from;
        while at < to {
            let byte = self.bytes[at];
            let run = self.bytes[at..to]
                .iter()
                .take_while(|&&b| b == byte)
                .count();
            if run > 1 && class(byte) & (LETTER | DIGIT) == 0 {
                self.piece(piece, at, space);
                space &= piece == at;
                self.push(Kind::Punct, at, at + run, space);
                space = false;
                piece = at + run;
            }
            at += run;
        }
        self.piece(piece, to, space);
    }

    fn piece(&mut self, from: usize, to: usize, space: bool) {
        if from < to {
            let seen = self.bytes[from..to]
                .iter()
                .fold(0, |seen, &b| seen | class(b));
            if seen & DIGIT != 0 {
                self.valuelike(from, to, space);
            } else {
                self.part(from, to, space);
            }
        }
    }

    fn push(&mut self, kind: Kind, from: usize, to: usize, space: bool) {
        self.tokens.push(Token {
            start: from as u32,
            end: to as u32,
            kind,
            space,
        });
    }

    /// A constant word, unless it is the unit of the value before it.
    fn push_word(&mut self, from: usize, to: usize, space: bool) {
        if let Some(last) = self.tokens.last_mut()
            && last.kind == Kind::Var
            && words::is_unit(&self.bytes[from..to])
        {
            last.end = to as u32;
            return;
        }
        if self.is_assigned() && words::is_truth_value(&self.bytes[from..to]) {
            self.push_var(from, to, space);
            return;
        }
        self.push(Kind::Word, from, to, space);
    }

    /// Whether a name and `=` or `:` stand before what comes now.
    fn is_assigned(&self) -> bool {
        match self.tokens.as_slice() {
            [.., name, sign] => {
                name.kind == Kind::Word
                    && !sign.space
                    && matches!(sign.bytes(self.bytes), b"=" | b":")
                    || matches!(sign.bytes(self.bytes), b"=")
            }
            _ => false,
        }
    }

    /// A variable. Runs and lists of variables are one variable, and so is a date.
    fn push_var(&mut self, from: usize, to: usize, mut space: bool) {
        let mut start = from as u32;
        while let Some(last) = self.tokens.last()
            && last.kind == Kind::Word
            && space
            && last.end - last.start == 3
            && words::is_date_word(last.bytes(self.bytes))
        {
            (start, space) = (last.start, last.space);
            self.tokens.pop();
        }
        match self.tokens.as_mut_slice() {
            [.., last] if last.kind == Kind::Var => {
                last.end = to as u32;
                return;
            }
            [.., first, separator]
                if first.kind == Kind::Var
                    && separator.kind == Kind::Punct
                    && separates_list(separator.bytes(self.bytes)) =>
            {
                first.end = to as u32;
                self.tokens.pop();
                return;
            }
            _ => {}
        }
        self.tokens.push(Token {
            start,
            end: to as u32,
            kind: Kind::Var,
            space,
        });
    }
}
