//! Where the cursor is in a list, and which part of the list is on screen.

use std::cell::Cell;
use std::ops::Range;

/// A position in a list, and the window drawn around it.
///
/// Drawing remembers the window in cells, so that the list moves only when the cursor would leave
/// it, and so that a page is as long as what is seen. Drawing twice draws the same.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    at: usize,
    /// Where it rested last, while it moves.
    left: Option<usize>,
    follows_end: bool,
    offset: Cell<usize>,
    len: Cell<usize>,
    height: Cell<usize>,
}

/// A way to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// By rows, down when positive.
    Rows(isize),
    /// By half pages.
    Half(isize),
    /// By pages.
    Page(isize),
    /// To the first row.
    Top,
    /// To the last row.
    Bottom,
}

impl Cursor {
    /// A cursor on the last row that stays there while rows are added.
    pub fn at_end() -> Self {
        Self {
            follows_end: true,
            ..Self::default()
        }
    }

    /// The row it is on, among `len`.
    pub fn at(&self, len: usize) -> usize {
        if self.follows_end {
            len.saturating_sub(1)
        } else {
            self.at.min(len.saturating_sub(1))
        }
    }

    /// The row to tell more of, among `len`: while it moves, the one it left, so that a move costs two rows.
    pub fn rested_at(&self, len: usize) -> usize {
        let last = len.saturating_sub(1);
        self.left
            .map_or_else(|| self.at(len), |left| left.min(last))
    }

    /// Lets it rest where it is.
    pub fn rest(&mut self) {
        self.left = None;
    }

    /// Whether it stays on the last row while rows are added.
    pub fn follows_end(&self) -> bool {
        self.follows_end
    }

    /// Puts it on a row, at rest.
    pub fn set(&mut self, at: usize) {
        self.at = at;
        self.left = None;
        self.follows_end = false;
    }

    /// Moves within the list as last drawn.
    pub fn step(&mut self, step: Step) {
        let len = self.len.get();
        let left = self.rested_at(len);
        self.set_in(self.target(step, self.at(len), len), len);
        self.left = Some(left);
    }

    /// Where a step from row `from` of `len` leads.
    pub fn target(&self, step: Step, from: usize, len: usize) -> usize {
        let page = self.height.get().max(1) as isize;
        let delta = match step {
            Step::Rows(rows) => rows,
            Step::Half(halves) => halves * (page / 2).max(1),
            Step::Page(pages) => pages * (page - 1).max(1),
            Step::Top => return 0,
            Step::Bottom => return len.saturating_sub(1),
        };
        from.saturating_add_signed(delta).min(len.saturating_sub(1))
    }

    /// The rows to draw of a list of `len` on `height` lines, so that the cursor is among them.
    pub fn window(&self, len: usize, height: usize) -> Range<usize> {
        self.window_at(self.at(len), len, height)
    }

    /// The same around row `at`.
    pub fn window_at(&self, at: usize, len: usize, height: usize) -> Range<usize> {
        let mut offset = self.offset.get().min(len.saturating_sub(height));
        if at < offset {
            offset = at;
        } else if height > 0 && at >= offset + height {
            offset = at + 1 - height;
        }
        self.remember(offset, len, height);
        offset..(offset + height).min(len)
    }

    /// The lines to draw of a text without a cursor: it is the first line shown.
    pub fn scroll(&self, len: usize, height: usize) -> Range<usize> {
        let tops = len.saturating_sub(height) + 1;
        let offset = self.at(tops);
        self.remember(offset, tops, height);
        offset..(offset + height).min(len)
    }

    fn remember(&self, offset: usize, len: usize, height: usize) {
        self.offset.set(offset);
        self.len.set(len);
        self.height.set(height);
    }

    fn set_in(&mut self, at: usize, len: usize) {
        let was_following = self.follows_end;
        self.set(at);
        self.follows_end = was_following && at + 1 >= len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_moves_only_when_it_must() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.window(10, 4), 0..4);
        let cases = [
            (Step::Rows(3), 0..4),
            (Step::Rows(1), 1..5),
            (Step::Rows(-2), 1..5),
            (Step::Page(1), 2..6),
            (Step::Half(1), 4..8),
            (Step::Bottom, 6..10),
            (Step::Rows(5), 6..10),
            (Step::Top, 0..4),
            (Step::Rows(-1), 0..4),
        ];
        for (step, expected) in cases {
            cursor.step(step);
            assert_eq!(cursor.window(10, 4), expected, "{step:?}");
            assert_eq!(cursor.window(10, 4), expected, "drawn again, {step:?}");
        }
    }

    #[test]
    fn what_is_told_of_a_row_follows_when_the_cursor_rests() {
        let mut cursor = Cursor::default();
        cursor.window(10, 4);
        for (rows, at) in [(1, 1), (2, 3), (-1, 2)] {
            cursor.step(Step::Rows(rows));
            assert_eq!((cursor.at(10), cursor.rested_at(10)), (at, 0));
        }
        cursor.rest();
        assert_eq!((cursor.at(10), cursor.rested_at(10)), (2, 2));
        cursor.step(Step::Rows(1));
        assert_eq!(cursor.rested_at(2), 1, "the list became shorter");
        cursor.set(7);
        assert_eq!(cursor.rested_at(10), 7);
    }

    #[test]
    fn the_end_is_followed_until_left() {
        let mut cursor = Cursor::at_end();
        assert_eq!(cursor.window(3, 4), 0..3);
        assert_eq!(cursor.at(7), 6);
        assert_eq!(cursor.window(7, 4), 3..7);
        cursor.step(Step::Rows(-1));
        assert_eq!(cursor.window(9, 4), 3..7);
        assert_eq!(cursor.at(9), 5);
    }

    #[test]
    fn a_shorter_list_pulls_the_cursor_back() {
        let mut cursor = Cursor::default();
        cursor.window(10, 4);
        cursor.step(Step::Bottom);
        assert_eq!(cursor.window(3, 4), 0..3);
        assert_eq!(cursor.at(3), 2);
        assert_eq!(cursor.window(0, 4), 0..0);
    }

    #[test]
    fn text_scrolls_to_its_last_page() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.scroll(10, 4), 0..4);
        cursor.step(Step::Bottom);
        assert_eq!(cursor.scroll(10, 4), 6..10);
    }
}
