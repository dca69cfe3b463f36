//! Rows of styled text, and the canvas they are drawn on.
//!
//! The only ways in are constants of the program, [`SafeText`], and strings, which are made safe on
//! the way: raw telemetry cannot reach a cell. A canvas never writes outside its rectangle.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::model::{EntityId, SafeText};

use super::glyph;
use super::theme::{Role, Theme};

/// Blanks for padding; wider gaps are padded in parts.
const BLANKS: &str = "                                                                ";

/// How everything looks.
#[derive(Clone, Debug)]
pub struct Look {
    /// Styles by role.
    pub theme: Theme,
    /// What its terminal can show.
    pub glyphs: Glyphs,
}

/// What a terminal and its font can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// Everything, with charts in braille.
    #[default]
    Braille,
    /// No braille: charts are blocks.
    Block,
    /// ASCII only.
    Ascii,
}

/// Text that may be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ink {
    /// A constant of the program.
    Chrome(&'static str),
    /// Anything else, made safe.
    Text(SafeText),
}

/// One line of the screen, built left to right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pieces: Vec<(Role, Ink)>,
    width: usize,
}

/// A rectangle of the screen.
pub struct Canvas<'a> {
    buf: &'a mut Buffer,
    area: Rect,
    look: &'a Look,
}

impl Ink {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Chrome(text) => text,
            Self::Text(text) => text.as_str(),
        }
    }
}

impl From<&'static str> for Ink {
    fn from(text: &'static str) -> Self {
        Self::Chrome(text)
    }
}

impl From<SafeText> for Ink {
    fn from(text: SafeText) -> Self {
        Self::Text(text)
    }
}

impl From<&SafeText> for Ink {
    fn from(text: &SafeText) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Ink {
    fn from(text: String) -> Self {
        Self::Text(SafeText::new(&text))
    }
}

impl From<&EntityId> for Ink {
    fn from(entity: &EntityId) -> Self {
        Self::Text(SafeText::new(entity.name()))
    }
}

impl Row {
    /// An empty row.
    pub const fn new() -> Self {
        Self {
            pieces: Vec::new(),
            width: 0,
        }
    }

    /// Appends text.
    #[must_use]
    pub fn put(mut self, role: Role, ink: impl Into<Ink>) -> Self {
        self.push(role, ink);
        self
    }

    /// Appends text in place.
    pub fn push(&mut self, role: Role, ink: impl Into<Ink>) {
        let ink = ink.into();
        self.width += ink.as_str().width();
        self.pieces.push((role, ink));
    }

    /// Appends text cut or padded to exactly `width` cells.
    #[must_use]
    pub fn column(mut self, role: Role, ink: impl Into<Ink>, width: usize) -> Self {
        let end = self.width + width;
        self.push(role, cut(ink.into(), width));
        self.pad_to(end)
    }

    /// Appends text cut or padded on the left to exactly `width` cells.
    #[must_use]
    pub fn right(mut self, role: Role, ink: impl Into<Ink>, width: usize) -> Self {
        let ink = cut(ink.into(), width);
        let start = self.width + width - ink.as_str().width();
        self = self.pad_to(start);
        self.put(role, ink)
    }

    /// Appends blanks up to column `column`; does nothing when already past it.
    #[must_use]
    pub fn pad_to(mut self, column: usize) -> Self {
        while self.width < column {
            let blanks = (column - self.width).min(BLANKS.len());
            self.push(Role::Body, &BLANKS[..blanks]);
        }
        self
    }

    /// Appends the pieces of another row.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.width += other.width;
        self.pieces.extend(other.pieces);
        self
    }

    /// Cuts it to at most `width` cells, marking that it was cut.
    #[must_use]
    pub fn fit(self, width: usize) -> Self {
        if self.width <= width {
            return self;
        }
        let mut fitted = Self::new();
        for (role, ink) in self.pieces {
            let room = width - fitted.width;
            if ink.as_str().width() > room || room == 0 {
                fitted.push(role, cut(ink, room));
                break;
            }
            fitted.push(role, ink);
        }
        fitted
    }

    /// Appends the pieces of another row, if they fit into `width` cells together.
    #[must_use]
    pub fn join_if_fits(self, other: Self, width: usize) -> Self {
        if self.width + other.width <= width {
            self.join(other)
        } else {
            self
        }
    }

    /// Cells taken.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The text without styles.
    pub fn text(&self) -> String {
        self.pieces.iter().map(|(_, ink)| ink.as_str()).collect()
    }

    /// All pieces in one role, for rows that are greyed out or selected.
    #[must_use]
    pub fn in_role(mut self, role: Role) -> Self {
        for piece in &mut self.pieces {
            piece.0 = role;
        }
        self
    }
}

impl<'a> Canvas<'a> {
    /// The whole of a buffer.
    pub fn new(buf: &'a mut Buffer, look: &'a Look) -> Self {
        let area = buf.area;
        Self { buf, area, look }
    }

    /// A part of this canvas; what sticks out is cut off.
    pub fn part(&mut self, area: Rect) -> Canvas<'_> {
        Canvas {
            area: area.intersection(self.area),
            buf: self.buf,
            look: self.look,
        }
    }

    /// Splits off the first `rows` rows.
    pub fn area(&self) -> Rect {
        self.area
    }

    /// Cells across.
    pub fn width(&self) -> usize {
        usize::from(self.area.width)
    }

    /// Cells down.
    pub fn height(&self) -> usize {
        usize::from(self.area.height)
    }

    /// What may be drawn.
    pub fn glyphs(&self) -> Glyphs {
        self.look.glyphs
    }

    /// Draws a row at line `y` of the canvas; what does not fit is cut and marked.
    pub fn row(&mut self, y: usize, row: &Row) {
        self.row_at(0, y, row);
    }

    /// Where a line of the canvas is on the screen.
    pub fn line(&self, y: usize) -> Rect {
        let y = self.area.y.saturating_add(y as u16);
        let line = Rect {
            y,
            height: 1,
            ..self.area
        };
        line.intersection(self.area)
    }

    /// Draws a row beginning at column `x`.
    pub fn row_at(&mut self, x: usize, y: usize, row: &Row) {
        if y >= self.height() || x >= self.width() {
            return;
        }
        let room = self.width() - x;
        let fitted;
        let row = if row.width > room {
            fitted = row.clone().fit(room);
            &fitted
        } else {
            row
        };
        let mut column = self.area.x + x as u16;
        let line = self.area.y + y as u16;
        for (role, ink) in &row.pieces {
            let left = usize::from(self.area.right().saturating_sub(column));
            let style = self.look.theme.style(*role);
            column = self
                .buf
                .set_stringn(column, line, ink.as_str(), left, style)
                .0;
        }
    }

    /// Sets one cell to a glyph of the program.
    pub fn dot(&mut self, x: usize, y: usize, role: Role, glyph: char) {
        if x < self.width() && y < self.height() {
            let position = (self.area.x + x as u16, self.area.y + y as u16);
            if let Some(cell) = self.buf.cell_mut(position) {
                cell.set_char(glyph).set_style(self.look.theme.style(role));
            }
        }
    }

    /// Adds dots to a cell of braille, or begins one; other text stays.
    pub fn braille(&mut self, x: usize, y: usize, role: Role, dots: u32) {
        if x >= self.width() || y >= self.height() {
            return;
        }
        let position = (self.area.x + x as u16, self.area.y + y as u16);
        let Some(cell) = self.buf.cell_mut(position) else {
            return;
        };
        let shown = cell.symbol().chars().next().map_or(0, u32::from);
        let before = match shown.checked_sub(glyph::BRAILLE) {
            Some(dots) if dots < 256 => dots,
            _ if cell.symbol() == " " => 0,
            _ => return,
        };
        if let Some(glyph) = char::from_u32(glyph::BRAILLE + (before | dots)) {
            cell.set_char(glyph).set_style(self.look.theme.style(role));
        }
    }

    /// Lays a role over cells that are already drawn.
    pub fn tint(&mut self, x: usize, y: usize, width: usize, role: Role) {
        let rect = Rect::new(
            self.area.x + x as u16,
            self.area.y + y as u16,
            width as u16,
            1,
        );
        self.buf
            .set_style(rect.intersection(self.area), self.look.theme.style(role));
    }

    /// Blanks everything, and a wide glyph that reaches in from the left.
    pub fn clear(&mut self) {
        for y in self.area.top()..self.area.bottom() {
            let left = self.area.left().checked_sub(1);
            if let Some(cell) = left.and_then(|left| self.buf.cell_mut((left, y)))
                && cell.symbol().width() > 1
            {
                cell.set_symbol(" ");
            }
        }
        for y in self.area.top()..self.area.bottom() {
            for x in self.area.left()..self.area.right() {
                if let Some(cell) = self.buf.cell_mut((x, y)) {
                    cell.reset();
                }
            }
        }
    }

    /// Makes everything recede, for what lies under a dialog.
    pub fn recede(&mut self) {
        let muted = self.look.theme.style(Role::Muted);
        for y in self.area.top()..self.area.bottom() {
            for x in self.area.left()..self.area.right() {
                if let Some(cell) = self.buf.cell_mut((x, y)) {
                    cell.modifier = Modifier::empty();
                    cell.set_style(Style::reset()).set_style(muted);
                }
            }
        }
    }

    /// Replaces every glyph that the terminal cannot show by its twin: the last step of a frame.
    pub fn reduce(&mut self) {
        let twin = match self.look.glyphs {
            Glyphs::Braille => return,
            Glyphs::Block => glyph::block,
            Glyphs::Ascii => |symbol: &str| Some(glyph::ascii(symbol)),
        };
        for y in self.area.top()..self.area.bottom() {
            for x in self.area.left()..self.area.right() {
                let Some(cell) = self.buf.cell_mut((x, y)) else {
                    continue;
                };
                if let Some(twin) = twin(cell.symbol()).filter(|_| !cell.symbol().is_ascii()) {
                    cell.set_symbol(twin);
                }
            }
        }
    }

    /// Lends the buffer to a foreign widget whose text is already safe.
    pub fn lend(&mut self) -> (Rect, &mut Buffer) {
        (self.area, self.buf)
    }
}

/// Cuts to at most `width` cells; the last cell then says so.
fn cut(ink: Ink, width: usize) -> Ink {
    let text = ink.as_str();
    if text.width() <= width {
        return ink;
    }
    if width == 0 {
        return Ink::Chrome("");
    }
    let mut kept = prefix(text, width - 1).to_owned();
    kept.push_str(glyph::CUT);
    Ink::from(kept)
}

/// A name of at most `width` cells: of a longer one the middle is left out, for names differ at their ends.
pub fn middle(name: &str, width: usize) -> String {
    let name = SafeText::new(name);
    crate::model::middle(name.as_str(), width, glyph::CUT)
}

/// The longest beginning of at most `width` cells.
fn prefix(text: &str, width: usize) -> &str {
    let mut used = 0;
    let mut end = 0;
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used > width {
            break;
        }
        end += grapheme.len();
    }
    &text[..end]
}

/// Breaks text into lines of at most `width` cells, at blanks where there are any.
pub fn wrap(text: &SafeText, width: usize) -> Vec<SafeText> {
    let mut lines = Vec::new();
    let mut rest = text.as_str().trim_end();
    while rest.width() > width && width > 0 {
        let head = prefix(rest, width);
        let at = if rest[head.len()..].starts_with(' ') {
            head.len()
        } else {
            head.rfind(' ').filter(|at| *at > 0).unwrap_or(head.len())
        };
        if at == 0 {
            break;
        }
        lines.push(SafeText::new(rest[..at].trim_end()));
        rest = rest[at..].trim_start();
    }
    lines.push(SafeText::new(rest));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_exactly_as_wide_as_asked() {
        let cases = [
            ("abc", 5, "abc  "),
            ("abcdef", 5, "abcd~"),
            ("日本語", 5, "日本~"),
            ("日本語", 4, "日~ "),
            ("x", 0, ""),
        ];
        for (text, width, expected) in cases {
            let row = Row::new().column(Role::Body, text.to_owned(), width);
            assert_eq!((row.text().as_str(), row.width()), (expected, width));
        }
        assert_eq!(Row::new().right(Role::Body, "7", 3).text(), "  7");
    }

    #[test]
    fn wraps_at_blanks() {
        let text = SafeText::new("one two three fourfivesix");
        let lines: Vec<String> = wrap(&text, 8).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["one two", "three", "fourfive", "six"]);
        assert_eq!(wrap(&SafeText::new(""), 8).len(), 1);
    }

    #[test]
    fn nothing_is_drawn_outside_the_canvas() {
        let look = Look {
            theme: Theme::shipped("mono").unwrap(),
            glyphs: Glyphs::Braille,
        };
        let mut buf = Buffer::filled(Rect::new(0, 0, 12, 4), ratatui::buffer::Cell::new("#"));
        let mut whole = Canvas::new(&mut buf, &look);
        let mut part = whole.part(Rect::new(3, 1, 5, 2));
        part.clear();
        let wide = Row::new().put(Role::Crit, SafeText::new("日本語日本語\x1b[2J"));
        for y in 0..9 {
            part.row_at(1, y, &wide);
            part.dot(y, y, Role::Crit, 'x');
            part.tint(0, y, 50, Role::Selection);
        }
        for y in 0..4u16 {
            for x in 0..12u16 {
                let inside = (3..8).contains(&x) && (1..3).contains(&y);
                if !inside {
                    assert_eq!(buf[(x, y)].symbol(), "#", "{x},{y}");
                }
            }
        }
    }
}
