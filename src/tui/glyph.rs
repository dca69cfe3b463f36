//! The glyphs of the chrome. None has an ambiguous width, so that columns line up on every terminal;
//! each has an ASCII twin.

use crate::model::{Health, HoldStage, IncidentRow, Lane, Phase, Severity};

use super::paint::Glyphs;
use super::theme::Role;

/// Between parts of a line.
pub const SEPARATOR: &str = " \u{254e} ";
/// Before the row under the cursor.
pub const CURSOR: &str = "\u{25b8}";
/// Before a row that is marked.
pub const MARK: &str = "+";
/// Before a row that changed since the operator last looked.
pub const UNSEEN: &str = "*";
/// At the end of text that was cut.
pub const CUT: &str = "~";
/// Continues a branch of a tree.
pub const TREE_DOWN: &str = "\u{254e} ";
/// Begins a branch of a tree.
pub const TREE_CHILD: &str = "\u{2576} ";
/// A change on a chart.
pub const CHART_MARK: char = '\u{254e}';

/// The mark of what happened on a chart: a change, and an alert otherwise.
pub const fn chart_mark(lane: Lane, glyphs: Glyphs) -> char {
    let is_ascii = matches!(glyphs, Glyphs::Ascii);
    match (lane, is_ascii) {
        (Lane::Change, true) => '|',
        (Lane::Change, false) => CHART_MARK,
        (_, true) => ':',
        (_, false) => '\u{b7}',
    }
}
/// A full and an empty cell of a bar.
pub const BAR: [&str; 2] = ["\u{25ae}", "\u{25af}"];
/// First of the 256 braille patterns.
pub const BRAILLE: u32 = 0x2800;

/// What stands for a glyph on a terminal that has only ASCII.
const TWINS: [(&str, &str); 15] = [
    ("\u{254e}", "|"),
    ("\u{25b8}", ">"),
    ("\u{2576}", "`"),
    ("\u{25ae}", "#"),
    ("\u{25af}", "."),
    ("\u{25b4}", "^"),
    ("\u{25c9}", "*"),
    ("\u{25ca}", "o"),
    ("\u{25e6}", "."),
    ("\u{2713}", "v"),
    ("\u{2717}", "x"),
    ("\u{203a}", ">"),
    ("\u{2620}", "!"),
    ("\u{254c}", "-"),
    ("\u{23ce}", "<"),
];

/// What stands for signs that texts use and the chrome does not.
const TEXT_TWINS: [(&str, &str); 11] = [
    ("\u{2013}", "-"),
    ("\u{2014}", "-"),
    ("\u{2026}", "."),
    ("\u{2018}", "'"),
    ("\u{2019}", "'"),
    ("\u{201c}", "\""),
    ("\u{201d}", "\""),
    ("\u{2192}", ">"),
    ("\u{00d7}", "x"),
    ("\u{00b7}", "."),
    ("\u{00b5}", "u"),
];

/// Dots in a braille cell to ASCII of about the same weight.
const WEIGHTS: [&str; 9] = [" ", ".", ".", ":", ":", "+", "*", "#", "#"];

/// What a cell shows on an ASCII terminal; anything without a twin is `?`.
pub fn ascii(symbol: &str) -> &'static str {
    let mut twins = TWINS.iter().chain(&TEXT_TWINS);
    if let Some((_, twin)) = twins.find(|(glyph, _)| *glyph == symbol) {
        return twin;
    }
    let first = symbol.chars().next().map_or(0, u32::from);
    match first.checked_sub(BRAILLE) {
        Some(dots) if dots < 256 => WEIGHTS[dots.count_ones() as usize],
        _ => "?",
    }
}

/// The band of a chart in blocks.
pub const BAND_BLOCK: char = '\u{2591}';
/// Dots of the upper half of a braille cell, and of its left.
const UPPER_DOTS: u32 = 0x1b;
const LEFT_DOTS: u32 = 0x47;

/// What a cell of braille shows in blocks. Only halves: fonts that lack braille often lack quarters too.
pub fn block(symbol: &str) -> Option<&'static str> {
    let first = symbol.chars().next().map_or(0, u32::from);
    let dots = first.checked_sub(BRAILLE).filter(|dots| *dots < 256)?;
    let has = |part: u32| dots & part != 0;
    Some(match (has(UPPER_DOTS), has(!UPPER_DOTS)) {
        (false, false) => " ",
        (true, false) => "\u{2580}",
        (false, true) => "\u{2584}",
        (true, true) if !has(!LEFT_DOTS) => "\u{258c}",
        (true, true) if !has(LEFT_DOTS) => "\u{2590}",
        (true, true) => "\u{2588}",
    })
}

/// Glyph, word and role of a severity.
pub fn severity(severity: Severity) -> (&'static str, &'static str, Role) {
    match severity {
        Severity::Critical => ("\u{25b4}", "P1", Role::Crit),
        Severity::Error => ("\u{25c9}", "P2", Role::High),
        Severity::Warning => ("\u{25ca}", "P3", Role::Warn),
        Severity::Info => ("\u{25e6}", "P4", Role::Info),
    }
}

/// Glyph, word and role of a health.
pub fn health(health: Health) -> (&'static str, &'static str, Role) {
    match health {
        Health::Ok => ("\u{2713}", "ok", Role::Ok),
        Health::Odd => ("\u{25ca}", "odd", Role::Warn),
        Health::Bad => ("\u{2717}", "bad", Role::Crit),
        Health::Blind => ("?", "blind", Role::Blind),
    }
}

/// Glyph and role of a lane of the timeline.
pub fn lane(lane: Lane) -> (&'static str, Role) {
    match lane {
        Lane::Change => ("\u{25ca}", Role::Change),
        Lane::Anomaly => ("\u{25b4}", Role::Anomaly),
        Lane::Alert => ("\u{25c9}", Role::Alert),
        Lane::Person => ("@", Role::Person),
        Lane::Automation => ("\u{203a}", Role::Automation),
    }
}

/// Short word and role of where an incident is in its life: what is hidden is neither healed nor new.
pub fn standing(row: &IncidentRow) -> (&'static str, Role) {
    match row.hidden().map(|held| held.stage) {
        Some(HoldStage::Silence) => ("SIL", Role::Warn),
        Some(HoldStage::Maintenance) => ("MNT", Role::Warn),
        Some(_) => ("HELD", Role::Warn),
        None => phase(row.phase),
    }
}

/// Short word and role of a phase.
pub fn phase(phase: Phase) -> (&'static str, Role) {
    match phase {
        Phase::Open => ("NEW", Role::Crit),
        Phase::Acknowledged => ("ACK", Role::Warn),
        Phase::Mitigated => ("MIT", Role::Info),
        Phase::Resolved => ("DONE", Role::Ok),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn no_glyph_is_ambiguous_and_each_has_an_ascii_twin() {
        let mut glyphs: Vec<&str> = TWINS.iter().map(|(glyph, _)| *glyph).collect();
        glyphs.extend([SEPARATOR, CURSOR, MARK, CUT, TREE_DOWN, TREE_CHILD]);
        for severity_level in [Severity::Info, Severity::Warning, Severity::Error] {
            glyphs.push(severity(severity_level).0);
        }
        for glyph in glyphs {
            assert_eq!(glyph.width(), glyph.width_cjk(), "{glyph}");
            assert_eq!(glyph.width(), glyph.chars().count(), "{glyph}");
            for c in glyph.chars().filter(|c| !c.is_ascii()) {
                assert_ne!(ascii(&c.to_string()), "?", "{c}");
            }
        }
        let blocks = [
            ("\u{2800}", Some(" ")),
            ("\u{2801}", Some("\u{2580}")),
            ("\u{2880}", Some("\u{2584}")),
            ("\u{2847}", Some("\u{258c}")),
            ("\u{28b8}", Some("\u{2590}")),
            ("\u{28ff}", Some("\u{2588}")),
            ("x", None),
            ("\u{25b8}", None),
        ];
        for (braille, expected) in blocks {
            assert_eq!(block(braille), expected, "{braille}");
        }
        assert_eq!(ascii("\u{28ff}"), "#");
        assert_eq!(ascii("日"), "?");
        assert_eq!(ascii("\u{2013}"), "-");
    }
}
