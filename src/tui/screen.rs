//! Puts cells on the terminal: only those that changed, in as few bytes as they need, with exactly
//! one write a frame, wrapped in a synchronized update.
//!
//! Nothing changed means nothing written. The cursor of the terminal stays hidden. Lines that only moved
//! are moved by the terminal.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

use super::scroll;

/// Begins and ends a synchronized update (DEC 2026): terminals that know it show the frame at once.
const SYNC: [&str; 2] = ["\x1b[?2026h", "\x1b[?2026l"];
/// Unchanged cells up to this many are written again rather than jumped over: a jump costs as much.
const GAP_CELLS_MAX: u16 = 4;

/// The screen as it is and as it shall be.
#[derive(Debug)]
pub struct ScreenWriter {
    shown: Buffer,
    next: Buffer,
    fresh: bool,
    text: String,
    /// Whether each line of `next` is another than on the screen.
    changed: Vec<bool>,
}

#[derive(Clone, Copy, PartialEq)]
struct Pen {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

impl Pen {
    const PLAIN: Self = Self {
        fg: Color::Reset,
        bg: Color::Reset,
        modifier: Modifier::empty(),
    };

    fn of(cell: &Cell) -> Self {
        Self {
            fg: cell.fg,
            bg: cell.bg,
            modifier: cell.modifier,
        }
    }
}

impl ScreenWriter {
    /// A screen of this size whose content is not known.
    pub fn new(columns: u16, lines: u16) -> Self {
        let area = Rect::new(0, 0, columns, lines);
        Self {
            shown: Buffer::empty(area),
            next: Buffer::empty(area),
            fresh: true,
            text: String::new(),
            changed: Vec::new(),
        }
    }

    /// Forgets what is on the screen: the next frame clears it and draws everything.
    pub fn invalidate(&mut self) {
        self.fresh = true;
        self.shown.reset();
    }

    /// Changes the size, if it did change.
    pub fn resize(&mut self, columns: u16, lines: u16) {
        let area = Rect::new(0, 0, columns, lines);
        if area != self.shown.area {
            self.shown.resize(area);
            self.next.resize(area);
            self.invalidate();
        }
    }

    /// Draws a frame and returns the bytes that bring it to the terminal; empty when nothing changed.
    pub fn frame(&mut self, draw: impl FnOnce(&mut Buffer)) -> &str {
        self.next.reset();
        draw(&mut self.next);
        self.compare();
        settle_wide_glyphs(&mut self.next, &self.changed);
        self.text.clear();
        self.text.push_str(SYNC[0]);
        if self.fresh {
            self.text.push_str("\x1b[0m\x1b[2J");
        }
        let before = self.text.len();
        let lines_changed = self.changed.iter().filter(|changed| **changed).count();
        if !self.fresh
            && lines_changed >= scroll::CHANGED_LINES_MIN
            && let Some(shift) = scroll::find(&self.shown, &self.next)
        {
            shift.write(&mut self.text);
            shift.apply(&mut self.shown);
            self.compare();
        }
        self.changes();
        if self.text.len() == before && !self.fresh {
            self.text.clear();
        } else {
            self.text.push_str(SYNC[1]);
        }
        self.fresh = false;
        std::mem::swap(&mut self.shown, &mut self.next);
        &self.text
    }

    /// Finds the lines that changed: of most frames only a few, and all work after this is on them alone.
    fn compare(&mut self) {
        let width = usize::from(self.next.area.width).max(1);
        let pairs = self
            .shown
            .content
            .chunks(width)
            .zip(self.next.content.chunks(width));
        self.changed.clear();
        self.changed
            .extend(pairs.map(|(shown, next)| shown != next));
    }

    fn changes(&mut self) {
        let area = self.next.area;
        let mut pen = Pen::PLAIN;
        for y in 0..area.height {
            if !self.changed[usize::from(y)] {
                continue;
            }
            // Where the terminal's cursor is on this line, if it is on it.
            let mut at: Option<u16> = None;
            let mut x = 0;
            // Up to here half a wide glyph may be left over, which the buffers do not know.
            let mut torn_to = 0;
            while x < area.width {
                let cell = &self.next[(x, y)];
                let width = cells(cell);
                if self.same(x, y, width) && x >= torn_to {
                    x += width;
                    continue;
                }
                for covered in x..(x + width).min(area.width) {
                    torn_to = torn_to.max(covered + cells(&self.shown[(covered, y)]));
                }
                match at {
                    Some(column) if column == x => {}
                    Some(column) if x > column && x - column <= GAP_CELLS_MAX => {
                        let mut gap = column;
                        while gap < x {
                            let between = &self.next[(gap, y)];
                            put(&mut self.text, &mut pen, between);
                            gap += cells(between);
                        }
                    }
                    Some(column) if x > column => {
                        let _ = write!(self.text, "\x1b[{}C", x - column);
                    }
                    _ => {
                        let _ = write!(self.text, "\x1b[{};{}H", y + 1, x + 1);
                    }
                }
                put(&mut self.text, &mut pen, cell);
                x += width;
                // In the last column the cursor of a terminal hangs; a jump puts it right.
                at = (x < area.width).then_some(x);
            }
        }
        if pen != Pen::PLAIN {
            self.text.push_str("\x1b[0m");
        }
    }

    /// Whether a glyph of `width` cells is on the screen already, with its trailing cells.
    fn same(&self, x: u16, y: u16, width: u16) -> bool {
        (x..(x + width).min(self.next.area.width)).all(|x| self.next[(x, y)] == self.shown[(x, y)])
    }
}

/// Cells a glyph covers.
fn cells(cell: &Cell) -> u16 {
    let symbol = cell.symbol();
    if symbol.len() == 1 {
        return 1;
    }
    (symbol.width() as u16).max(1)
}

/// A wide glyph that something was drawn over, or that does not fit the line, becomes blank; the cells
/// any other covers are made alike, so that frames can be compared.
fn settle_wide_glyphs(buffer: &mut Buffer, changed: &[bool]) {
    let Rect { width, height, .. } = buffer.area;
    for y in 0..height {
        // What is on the screen is settled.
        if !changed[usize::from(y)] {
            continue;
        }
        let mut x = 0;
        while x < width {
            let covers = cells(&buffer[(x, y)]);
            if covers > 1 {
                let whole = x + covers <= width
                    && (x + 1..x + covers).all(|hidden| buffer[(hidden, y)].symbol() == " ");
                if !whole {
                    buffer[(x, y)].set_symbol(" ");
                    x += 1;
                    continue;
                }
                let style = buffer[(x, y)].style();
                for hidden in x + 1..x + covers {
                    buffer[(hidden, y)].set_style(style);
                }
            }
            x += covers;
        }
    }
}

fn put(text: &mut String, pen: &mut Pen, cell: &Cell) {
    let wanted = Pen::of(cell);
    // The colour of blanks that show no colour does not matter.
    let invisible = cell.symbol() == " "
        && wanted.bg == pen.bg
        && !(wanted.modifier | pen.modifier).intersects(Modifier::REVERSED | Modifier::UNDERLINED);
    if wanted != *pen && !invisible {
        change_pen(text, *pen, wanted);
        *pen = wanted;
    }
    text.push_str(cell.symbol());
}

fn change_pen(text: &mut String, from: Pen, to: Pen) {
    let mut codes: Vec<String> = Vec::new();
    let mut from = from;
    // Modifiers can only be taken away all together, cheaply.
    if !to.modifier.contains(from.modifier) {
        codes.push("0".to_owned());
        from = Pen::PLAIN;
    }
    for (modifier, code) in [
        (Modifier::BOLD, "1"),
        (Modifier::DIM, "2"),
        (Modifier::ITALIC, "3"),
        (Modifier::UNDERLINED, "4"),
        (Modifier::REVERSED, "7"),
    ] {
        if to.modifier.contains(modifier) && !from.modifier.contains(modifier) {
            codes.push(code.to_owned());
        }
    }
    if to.fg != from.fg {
        codes.push(colour(to.fg, 30));
    }
    if to.bg != from.bg {
        codes.push(colour(to.bg, 40));
    }
    let codes = codes.join(";");
    let codes = if codes == "0" { "" } else { codes.as_str() };
    let _ = write!(text, "\x1b[{codes}m");
}

/// The code of a colour; `base` is 30 for the foreground and 40 for the background.
fn colour(colour: Color, base: u8) -> String {
    let basic = |index: u8| (base + index).to_string();
    let bright = |index: u8| (base + 60 + index).to_string();
    match colour {
        Color::Reset => (base + 9).to_string(),
        Color::Black => basic(0),
        Color::Red => basic(1),
        Color::Green => basic(2),
        Color::Yellow => basic(3),
        Color::Blue => basic(4),
        Color::Magenta => basic(5),
        Color::Cyan => basic(6),
        Color::Gray => basic(7),
        Color::DarkGray => bright(0),
        Color::LightRed => bright(1),
        Color::LightGreen => bright(2),
        Color::LightYellow => bright(3),
        Color::LightBlue => bright(4),
        Color::LightMagenta => bright(5),
        Color::LightCyan => bright(6),
        Color::White => bright(7),
        Color::Indexed(index) => format!("{};5;{index}", base + 8),
        Color::Rgb(r, g, b) => format!("{};2;{r};{g};{b}", base + 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ratatui::style::Style;

    fn contents(parser: &vt100::Parser, columns: u16, lines: u16) -> Vec<String> {
        let screen = parser.screen();
        (0..lines)
            .flat_map(|y| (0..columns).map(move |x| (x, y)))
            .map(|(x, y)| {
                let cell = screen.cell(y, x).unwrap();
                let blank = cell.contents().trim().is_empty();
                // A blank shows nothing but reverse video.
                format!(
                    "{:1} {} {}",
                    cell.contents(),
                    cell.bold() && !blank,
                    cell.inverse()
                )
            })
            .collect()
    }

    #[test]
    fn nothing_changed_means_nothing_written() {
        let mut writer = ScreenWriter::new(20, 3);
        let draw = |buf: &mut Buffer| {
            buf.set_string(0, 0, "hello", Style::new().bold());
        };
        assert!(!writer.frame(draw).is_empty());
        assert_eq!(writer.frame(draw), "");
        writer.invalidate();
        assert!(writer.frame(draw).contains("hello"));
    }

    #[test]
    fn a_changed_word_costs_little() {
        let mut writer = ScreenWriter::new(80, 24);
        writer.frame(|buf| {
            buf.set_string(10, 5, "12m", Style::new());
        });
        let bytes = writer.frame(|buf| {
            buf.set_string(10, 5, "13m", Style::new());
        });
        assert_eq!(bytes, "\x1b[?2026h\x1b[6;12H3\x1b[?2026l");
    }

    #[test]
    fn a_list_that_scrolls_costs_a_row() {
        let draw = |first: usize| {
            move |buf: &mut Buffer| {
                for y in 0..20_u16 {
                    let row = format!(
                        "row {:>3} with a title of usual length",
                        first + usize::from(y)
                    );
                    buf.set_string(0, y + 2, row, Style::new());
                }
            }
        };
        let mut writer = ScreenWriter::new(80, 24);
        let mut terminal = vt100::Parser::new(24, 80, 0);
        terminal.process(writer.frame(draw(0)).as_bytes());
        for first in [1, 0, 10, 3] {
            let frame = writer.frame(draw(first)).to_owned();
            terminal.process(frame.as_bytes());
            let mut once = ScreenWriter::new(80, 24);
            let mut whole = vt100::Parser::new(24, 80, 0);
            whole.process(once.frame(draw(first)).as_bytes());
            assert_eq!(terminal.screen().contents(), whole.screen().contents());
            assert!(first > 1 || frame.len() < 120, "{} bytes", frame.len());
        }
    }

    proptest! {
        /// What a terminal shows after many frames is what it shows after the last one alone.
        #[test]
        fn differences_add_up(frames in proptest::collection::vec(
            proptest::collection::vec((0u16..20, 0u16..4, "[a-c ]{0,6}|日本|e\u{301}", 0u16..8), 0..8), 1..6))
        {
            let mut writer = ScreenWriter::new(20, 4);
            let mut grown = vt100::Parser::new(4, 20, 0);
            for strings in &frames {
                let draw = |buf: &mut Buffer| for (x, y, text, style) in strings {
                    let style = Style::new().add_modifier(Modifier::from_bits_truncate(*style & 1 | (*style & 2) << 5));
                    buf.set_stringn(*x, *y, text, usize::from(20 - *x), style);
                };
                grown.process(writer.frame(draw).as_bytes());
                let mut once = ScreenWriter::new(20, 4);
                let mut whole = vt100::Parser::new(4, 20, 0);
                whole.process(once.frame(draw).as_bytes());
                prop_assert_eq!(contents(&grown, 20, 4), contents(&whole, 20, 4));
            }
        }
    }
}
