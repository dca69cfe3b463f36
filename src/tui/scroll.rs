//! Finds lines of the screen that only moved, so that the terminal can move them by itself: a list that
//! scrolls by a row costs a row on a slow link, not the list.
//!
//! Decides nothing about what is drawn: with or without it a terminal shows the same cells.

use std::fmt::Write as _;
use std::hash::{Hash, Hasher};

use ratatui::buffer::{Buffer, Cell};
use rustc_hash::FxHasher;

/// Farthest that lines are looked for, in lines: a half page of a large screen.
const FAR_LINES_MAX: usize = 24;
/// Lines that must have changed before it is worth looking: one cannot have moved without another.
pub(super) const CHANGED_LINES_MIN: usize = 2;
/// Cells that must be saved before it is worth the sequences around it.
const SAVED_CELLS_MIN: i64 = 48;

/// Lines `top..bottom` move by `lines`: up when positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shift {
    top: usize,
    bottom: usize,
    lines: isize,
}

/// A line of the screen, told from others without looking at its cells again.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Line {
    hash: u64,
    /// Cells that are not blank: what it costs to write it again.
    inked: i64,
}

/// The move after which the fewest cells must be written, if one is worth it.
pub(super) fn find(shown: &Buffer, next: &Buffer) -> Option<Shift> {
    let (shown, next) = (lines(shown), lines(next));
    let far = FAR_LINES_MAX.min(next.len().saturating_sub(1)) as isize;
    let shifts = (1..=far).flat_map(|lines| [lines, -lines]);
    shifts
        .filter_map(|lines| judge(&shown, &next, lines))
        .max_by_key(|(saved, shift)| (*saved, -shift.lines.abs()))
        .filter(|(saved, _)| *saved >= SAVED_CELLS_MIN)
        .map(|(_, shift)| shift)
}

/// The smallest region in which everything that moved by `lines` has moved, and the cells it saves.
fn judge(shown: &[Line], next: &[Line], lines: isize) -> Option<(i64, Shift)> {
    let from = |y: usize| y.checked_add_signed(lines).and_then(|y| shown.get(y));
    let moved = |y: &usize| from(*y) == Some(&next[*y]) && next[*y] != shown[*y];
    let first = (0..next.len()).find(|y| moved(y) && next[*y].inked > 0)?;
    let last = (0..next.len()).rfind(|y| moved(y) && next[*y].inked > 0)?;
    // Where they come from lies in the region too.
    let (top, bottom) = if lines > 0 {
        (first, last + 1 + lines.unsigned_abs())
    } else {
        (first - lines.unsigned_abs(), last + 1)
    };
    let saved = (top..bottom).map(|y| {
        let source = y.checked_add_signed(lines);
        let inside = source.is_some_and(|y| (top..bottom).contains(&y));
        let after = inside && from(y) == Some(&next[y]);
        let before = shown[y] == next[y];
        (i64::from(after) - i64::from(before)) * next[y].inked
    });
    let shift = Shift { top, bottom, lines };
    Some((saved.sum(), shift))
}

fn lines(buffer: &Buffer) -> Vec<Line> {
    let width = usize::from(buffer.area.width).max(1);
    let line = |cells: &[Cell]| {
        let mut hasher = FxHasher::default();
        cells.hash(&mut hasher);
        let blank = Cell::default();
        Line {
            hash: hasher.finish(),
            inked: cells.iter().filter(|cell| **cell != blank).count() as i64,
        }
    };
    buffer.content.chunks(width).map(line).collect()
}

impl Shift {
    /// Has the terminal move the lines: within margins, by deleting or inserting lines, which terminals
    /// did before they could scroll on demand. The pen must be plain.
    pub(super) fn write(self, text: &mut String) {
        let (top, bottom, by) = (self.top + 1, self.bottom, self.lines.unsigned_abs());
        let deed = if self.lines > 0 { 'M' } else { 'L' };
        let _ = write!(text, "\x1b[{top};{bottom}r\x1b[{top}H\x1b[{by}{deed}\x1b[r");
    }

    /// Does the same to what is known to be on the screen.
    pub(super) fn apply(self, shown: &mut Buffer) {
        let width = usize::from(shown.area.width);
        let by = self.lines.unsigned_abs() * width;
        let region = &mut shown.content[self.top * width..self.bottom * width];
        let bare = if self.lines > 0 {
            region.rotate_left(by);
            region.len() - by..region.len()
        } else {
            region.rotate_right(by);
            0..by
        };
        region[bare].fill(Cell::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    fn screen(rows: &[&str]) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 40, rows.len() as u16));
        for (y, row) in rows.iter().enumerate() {
            buffer.set_string(0, y as u16, row, Style::new());
        }
        buffer
    }

    #[test]
    fn lines_that_moved_are_found() {
        let a = "first, long enough to be worth it";
        let b = "second, long enough to be worth it";
        let c = "third, long enough to be worth it";
        let d = "fourth, long enough to be worth it";
        let shift = |top, bottom, lines| Some(Shift { top, bottom, lines });
        let cases = [
            (["h", a, b, c, "f"], ["h", b, c, d, "f"], shift(1, 4, 1)),
            (["h", b, c, d, "f"], ["h", a, b, c, "f"], shift(1, 4, -1)),
            (["h", a, b, c, d], ["h", c, d, "x", "y"], shift(1, 5, 2)),
            (["h", a, b, c, "f"], ["h", a, b, d, "f"], None),
            (["h", a, b, c, "f"], ["x", a, b, c, "y"], None),
        ];
        for (shown, next, expected) in cases {
            let (mut shown, next) = (screen(&shown), screen(&next));
            let found = find(&shown, &next);
            assert_eq!(found, expected);
            if let Some(found) = found {
                let matching = |shown: &Buffer| {
                    let lines = lines(shown).into_iter().zip(lines(&next));
                    lines.filter(|(a, b)| a == b).count()
                };
                let before = matching(&shown);
                found.apply(&mut shown);
                assert!(matching(&shown) > before);
            }
        }
    }
}
