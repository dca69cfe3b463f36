//! A template as the miner holds it: constant pieces and typed variables, hashed by position.
//!
//! A pattern keeps constant text and the *types* of its variables, never a value of one.

use super::scan::{Kind, Token};
use super::variable::VarType;
use super::words;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// How a constant word looks, which decides how readily it is taken for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Shape {
    /// A truth value or an absent value.
    Boolean,
    /// `ALL_CAPS`: usually a state or a constant of the program.
    Caps,
    /// `-ed`, `-ing`: usually what happened.
    Verb,
    /// Joined by `_ . - / $` or inner capitals: usually the name of something.
    Identifier,
    /// Any other word.
    Plain,
}

impl Shape {
    fn of(word: &[u8]) -> Self {
        let joined = word
            .iter()
            .any(|b| matches!(b, b'_' | b'.' | b'-' | b'/' | b'$' | b'~' | b'+'));
        let camel = word
            .windows(2)
            .any(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase());
        if words::is_boolean(word) {
            Self::Boolean
        } else if word.len() > 1 && word.iter().all(|b| b.is_ascii_uppercase() || *b == b'_') {
            Self::Caps
        } else if joined || camel {
            Self::Identifier
        } else if word.len() > 4 && (word.ends_with(b"ed") || word.ends_with(b"ing")) {
            Self::Verb
        } else {
            Self::Plain
        }
    }
}

/// One token of a pattern.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Piece {
    pub kind: Kind,
    pub space: bool,
    pub shape: Shape,
    pub var: VarType,
    hash: u64,
    text: Range<u32>,
}

/// The tokens of a form or a template.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Pattern {
    pub pieces: Vec<Piece>,
    text: String,
    sum: u64,
}

const VARIABLE_HASH: u64 = 0x9e37_79b9_7f4a_7c15;

impl Pattern {
    pub(super) fn new(line: &[u8], tokens: &[Token]) -> Self {
        let mut pattern = Self {
            pieces: Vec::with_capacity(tokens.len()),
            text: String::new(),
            sum: 0,
        };
        for token in tokens {
            let bytes = token.bytes(line);
            let start = pattern.text.len() as u32;
            let (hash, var) = if token.kind == Kind::Var {
                (VARIABLE_HASH, VarType::of(bytes))
            } else {
                pattern.text.push_str(&String::from_utf8_lossy(bytes));
                (xxh3_64(bytes), VarType::Any)
            };
            let text = start..pattern.text.len() as u32;
            pattern.pieces.push(Piece {
                kind: token.kind,
                space: token.space,
                shape: Shape::of(bytes),
                var,
                hash,
                text,
            });
        }
        pattern.sum =
            (0..pattern.pieces.len()).fold(0_u64, |sum, at| sum.wrapping_add(pattern.term(at)));
        pattern
    }

    /// The identity of the pattern: constants, variables, spacing and their order.
    pub(super) fn hash(&self) -> u64 {
        mix(self.sum ^ self.pieces.len() as u64)
    }

    /// The identity the pattern would have with the pieces of `gap` variable; marks the bucket of
    /// patterns that differ in those pieces alone.
    pub(super) fn hash_without(&self, gap: &[usize]) -> u64 {
        let sum = gap.iter().fold(self.sum, |sum, &at| {
            let variable = position_term(VARIABLE_HASH, at, self.pieces[at].space);
            sum.wrapping_sub(self.term(at)).wrapping_add(variable)
        });
        mix(sum ^ ((gap.len() as u64) << 32 | self.pieces.len() as u64))
    }

    /// Make the piece at `at` a variable.
    pub(super) fn generalise(&mut self, at: usize) {
        self.sum = self.sum.wrapping_sub(self.term(at));
        let piece = &mut self.pieces[at];
        piece.kind = Kind::Var;
        piece.var = VarType::Any;
        piece.hash = VARIABLE_HASH;
        piece.text = 0..0;
        self.sum = self.sum.wrapping_add(self.term(at));
    }

    pub(super) fn text(&self, at: usize) -> &str {
        let piece = &self.pieces[at];
        self.text
            .get(piece.text.start as usize..piece.text.end as usize)
            .unwrap_or_default()
    }

    pub(super) fn same_constant(&self, at: usize, other: &Self, other_at: usize) -> bool {
        let (a, b) = (&self.pieces[at], &other.pieces[other_at]);
        a.kind == b.kind && a.hash == b.hash
    }

    /// The word at `at`, by hash.
    pub(super) fn word(&self, at: usize) -> u64 {
        self.pieces[at].hash
    }

    /// Number of constant words and of variables.
    pub(super) fn count(&self) -> (usize, usize) {
        self.pieces
            .iter()
            .fold((0, 0), |(words, vars), piece| match piece.kind {
                Kind::Word => (words + 1, vars),
                Kind::Var => (words, vars + 1),
                Kind::Punct => (words, vars),
            })
    }

    /// Index of the first constant word.
    pub(super) fn first_word(&self) -> Option<usize> {
        self.pieces
            .iter()
            .position(|piece| piece.kind == Kind::Word)
    }

    /// Hash of the first constant word; the same for patterns that may cover one another.
    pub(super) fn head(&self) -> u64 {
        self.first_word().map_or(0, |at| self.pieces[at].hash)
    }

    /// The template as people read it: `user <*> logged in from <ip>`.
    pub(super) fn render(&self) -> String {
        let mut out = String::with_capacity(self.text.len() + self.pieces.len() * 4);
        for (at, piece) in self.pieces.iter().enumerate() {
            if piece.space && at > 0 {
                out.push(' ');
            }
            out.push_str(if piece.kind == Kind::Var {
                piece.var.placeholder()
            } else {
                self.text(at)
            });
        }
        out
    }

    fn term(&self, at: usize) -> u64 {
        position_term(self.pieces[at].hash, at, self.pieces[at].space)
    }
}

/// What one piece adds to the sum; a sum so that one piece can be exchanged in constant time.
fn position_term(hash: u64, at: usize, space: bool) -> u64 {
    mix(hash ^ ((at as u64) << 1 | u64::from(space)).wrapping_mul(0xd6e8_feb8_6659_fd93))
}

/// The finaliser of `MurmurHash3` (Appleby, public domain).
fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}
