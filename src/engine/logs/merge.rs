//! Which words of a pattern are values after all.
//!
//! Patterns that differ in one word share a bucket for that place. How many different words must
//! be seen before the place is taken for a variable depends on what stands around it and on what
//! the words look like: names vary, verbs and states are what the line says.

use super::pattern::{Pattern, Shape};
use super::scan::Kind;
use super::words;

/// Different words needed after "user", "host" and the like.
const AFTER_NOUN: usize = 3;
/// Different words needed after "from", "on" and the like.
const AFTER_PREPOSITION: usize = 3;
/// Different words needed when all look like identifiers.
const IDENTIFIERS: usize = 3;
/// Different words needed for a glued `key=value`, identifiers and plain words.
const ASSIGNED_IDENTIFIERS: usize = 2;
const ASSIGNED_WORDS: usize = 4;
/// Different words needed inside a bracket or quote pair.
const ENCLOSED: usize = 2;
/// Different words needed anywhere else.
const PLAIN: usize = 6;
/// Different words needed when they are written in capitals: states and codes are what matters.
const CAPS: usize = 8;
/// Different words needed when one is a verb form.
const VERBS: usize = 12;
/// Lines that differ in a truth value alone are one statement.
const BOOLEANS: usize = 2;

/// Values a bucket remembers; above every threshold.
pub(super) const BUCKET_VALUES_MAX: usize = 16;

/// Places of a pattern that may become variable by merging; long lines are decided by then.
const PLACES_MAX: usize = 48;
/// Patterns, and different words at each place, before all names of a line vary together: lines
/// with two names ("user … from host …") hardly ever differ in one alone.
const JOINT_PATTERNS: usize = 4;
const JOINT_WORDS: usize = 3;

/// Where a pattern's words may turn out to be values.
pub(super) struct Places {
    /// Every word but at the very beginning, where the line says what it is about.
    all: Vec<usize>,
    /// Those where a name is expected and the word looks like one.
    names: Vec<usize>,
}

impl Places {
    pub(super) fn of(pattern: &Pattern) -> Self {
        let pieces = pattern.pieces.iter().enumerate().skip(1);
        let words = pieces
            .filter(|(_, piece)| piece.kind == Kind::Word)
            .map(|(at, _)| at);
        let all: Vec<usize> = words.take(PLACES_MAX).collect();
        let names = all
            .iter()
            .copied()
            .filter(|&at| names_something(pattern, at))
            .collect();
        Self { all, names }
    }

    /// Sets of places that are tried as variable together.
    pub(super) fn gaps(&self) -> impl Iterator<Item = &[usize]> {
        let joint = Some(self.names.as_slice()).filter(|names| names.len() > 1);
        self.all.chunks(1).chain(joint)
    }
}

fn names_something(pattern: &Pattern, at: usize) -> bool {
    let noun = follows(pattern, at, words::is_named_noun);
    match pattern.pieces[at].shape {
        Shape::Boolean | Shape::Verb => false,
        Shape::Caps => noun,
        Shape::Identifier | Shape::Plain => {
            noun || is_assigned(pattern, at) || follows(pattern, at, words::is_preposition)
        }
    }
}

/// Whether the patterns seen in a bucket are enough to make its places variable.
pub(super) fn is_ripe(pattern: &Pattern, gap: &[usize], seen: &[&Pattern]) -> bool {
    if let [at] = *gap {
        let shapes: Vec<Shape> = seen
            .iter()
            .map(|pattern| pattern.pieces[at].shape)
            .collect();
        return seen.len() >= words_needed(pattern, at, &shapes).max(2);
    }
    let different = |at: usize| {
        let mut words: Vec<u64> = seen.iter().map(|pattern| pattern.word(at)).collect();
        words.sort_unstable();
        words.dedup();
        words.len()
    };
    seen.len() >= JOINT_PATTERNS && gap.iter().all(|&at| different(at) >= JOINT_WORDS)
}

/// How many different words at `at` make it a variable. `shapes` are the words seen there.
fn words_needed(pattern: &Pattern, at: usize, shapes: &[Shape]) -> usize {
    let all = |wanted: Shape| shapes.iter().all(|shape| *shape == wanted);
    let after_word = at > 0
        && pattern.pieces[at - 1].kind == Kind::Word
        && pattern.pieces[at - 1].shape != Shape::Boolean;
    if all(Shape::Boolean) && !(after_word && words::is_switch(pattern.text(at).as_bytes())) {
        return BOOLEANS;
    }
    if shapes.contains(&Shape::Verb) {
        return VERBS;
    }
    if follows(pattern, at, words::is_named_noun) {
        return AFTER_NOUN;
    }
    if shapes.contains(&Shape::Caps) {
        return CAPS;
    }
    if is_assigned(pattern, at) {
        return if all(Shape::Identifier) {
            ASSIGNED_IDENTIFIERS
        } else {
            ASSIGNED_WORDS
        };
    }
    if is_enclosed(pattern, at) {
        return ENCLOSED;
    }
    if follows(pattern, at, words::is_preposition) {
        return AFTER_PREPOSITION;
    }
    if all(Shape::Identifier) {
        IDENTIFIERS
    } else {
        PLAIN
    }
}

/// Whether `=` is glued before the place.
fn is_assigned(pattern: &Pattern, at: usize) -> bool {
    at > 0 && !pattern.pieces[at].space && pattern.text(at - 1) == "="
}

/// Whether the word before the place is one of a class.
fn follows(pattern: &Pattern, at: usize, class: fn(&[u8]) -> bool) -> bool {
    at > 0 && pattern.pieces[at - 1].kind == Kind::Word && class(pattern.text(at - 1).as_bytes())
}

/// Whether the piece alone stands between an opening and its closing mark.
fn is_enclosed(pattern: &Pattern, at: usize) -> bool {
    if at == 0 || at + 1 >= pattern.pieces.len() {
        return false;
    }
    matches!(
        (pattern.text(at - 1), pattern.text(at + 1)),
        ("(", ")") | ("[", "]") | ("{", "}") | ("<", ">") | ("\"", "\"") | ("'", "'")
    )
}

/// Whether at least half of the pattern is constant with one more word made variable. A variable
/// at the very beginning is the line's time or sender and does not count.
pub(super) fn stays_constant_enough(pattern: &Pattern) -> bool {
    let (words, vars) = pattern.count();
    let leading = pattern
        .pieces
        .first()
        .is_some_and(|piece| piece.kind == Kind::Var);
    let constants = pattern.pieces.len() - vars;
    words > 1 && constants > vars - usize::from(leading) + 1
}

/// Whether `general` covers `special`: the same constants, where a variable of `general` may
/// stand for one variable or for a longer value (see [`value_end`]).
pub(super) fn covers(general: &Pattern, special: &Pattern) -> bool {
    let (words, vars) = general.count();
    if words < 2 || vars == 0 || general.pieces.len() > special.pieces.len() {
        return false;
    }
    let mut other = 0;
    for (at, piece) in general.pieces.iter().enumerate() {
        if other >= special.pieces.len() || at > 0 && piece.space != special.pieces[other].space {
            return false;
        }
        if piece.kind == Kind::Var {
            match value_end(general, at, special, other) {
                Some(end) => other = end,
                None => return false,
            }
        } else if general.same_constant(at, special, other) {
            other += 1;
        } else {
            return false;
        }
    }
    other == special.pieces.len()
}

/// Where the value that starts at `other` ends, when the variable at `at` stands for it.
///
/// A value is a run of glued tokens. Two places hold longer ones: `(key=<*>)` up to the bracket,
/// and the end of a list of properties, `<*>=<*>`, up to the end of the line.
fn value_end(general: &Pattern, at: usize, special: &Pattern, other: usize) -> Option<usize> {
    let pieces = &special.pieces;
    let word = &pieces[other];
    let named = follows(special, other, words::is_named_noun);
    if word.kind == Kind::Word && (word.shape == Shape::Verb || word.shape == Shape::Caps && !named)
    {
        return None; // What happened and which state was reached is never a value.
    }
    let next = general
        .pieces
        .get(at + 1)
        .filter(|next| !next.space)
        .map(|_| general.text(at + 1));
    let assigned = at > 1 && general.text(at - 1) == "=";
    if assigned && matches!(next, Some(")" | "]" | "}")) {
        return (other..pieces.len())
            .find(|&end| {
                matches!(
                    special.text(end),
                    "," | ";" | "=" | "(" | ")" | "[" | "]" | "{" | "}"
                )
            })
            .filter(|&end| Some(special.text(end)) == next);
    }
    if assigned && at + 1 == general.pieces.len() && general.pieces[at - 2].kind == Kind::Var {
        return (other..pieces.len())
            .all(|end| special.text(end) != "=")
            .then_some(pieces.len());
    }
    let glued = |end: &usize| !pieces[*end].space && next != Some(special.text(*end));
    Some(
        (other + 1..pieces.len())
            .take_while(glued)
            .last()
            .map_or(other + 1, |last| last + 1),
    )
}
