//! The pictures in the README: frames of the console as SVG, drawn by the code that draws the terminal,
//! so that they cannot go stale. `just screenshots` makes them again.

mod fixture;

use std::fmt::Write as _;
use std::path::Path;

use fixture::Console;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// Columns and lines of a picture: what fits the width of a README.
const SIZE: (u16, u16) = (100, 28);
/// Width and height of a cell, and what is left free around, in pixels.
const CELL: (f64, f64) = (8.4, 18.0);
const MARGIN: f64 = 12.0;
/// What the terminal's own colours are taken to be.
const PAPER: &str = "#101418";
const INK: &str = "#d8dee4";

/// Name of the file, what it shows for those who cannot see it, and the keys that lead there.
const PICTURES: [(&str, &str, &str); 4] = [
    (
        "incidents",
        "The list of incidents and what matters about the first",
        "",
    ),
    (
        "why",
        "Suspects, the evidence for and against each",
        "enter 2",
    ),
    (
        "metrics",
        "A metric over the band expected of it, the deploy marked",
        "enter 4",
    ),
    (
        "approval",
        "Everything a person must know before saying yes",
        "Y",
    ),
];

#[test]
fn the_pictures_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots");
    for (name, description, keys) in PICTURES {
        let mut console = Console::live(SIZE.0, SIZE.1, "dark");
        console.screen();
        console.press(keys);
        let picture = svg(&console.buffer(), description);
        let path = folder.join(format!("{name}.svg"));
        if std::env::var_os("STORMGLASS_BLESS").is_some() {
            std::fs::create_dir_all(&folder).expect("docs is writable");
            std::fs::write(&path, &picture).expect("docs is writable");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == picture, "{name}.svg is stale: just screenshots");
    }
}

fn svg(buffer: &Buffer, description: &str) -> String {
    let columns = usize::from(buffer.area.width);
    let width = CELL.0 * f64::from(buffer.area.width) + 2.0 * MARGIN;
    let height = CELL.1 * f64::from(buffer.area.height) + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         role=\"img\" aria-label=\"{description}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" \
         font-size=\"14\" xml:space=\"preserve\">\n"
    );
    for (y, line) in buffer.content.chunks(columns).enumerate() {
        let mut x = 0;
        while x < line.len() {
            let alike = |cell: &Cell| cell.style() == line[x].style();
            let len = line[x..].iter().take_while(|cell| alike(cell)).count();
            stretch(&mut svg, &line[x..x + len], x, y);
            x += len;
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

/// Cells of one style beside each other.
fn stretch(svg: &mut String, cells: &[Cell], x: usize, y: usize) {
    let first = &cells[0];
    let (mut ink, mut paper) = (colour(first.fg, INK), colour(first.bg, PAPER));
    if first.modifier.contains(Modifier::REVERSED) {
        std::mem::swap(&mut ink, &mut paper);
    }
    let left = MARGIN + CELL.0 * x as f64;
    let top = MARGIN + CELL.1 * y as f64;
    let width = CELL.0 * cells.len() as f64;
    if paper != PAPER {
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.0}\" fill=\"{paper}\"/>",
            CELL.1
        );
    }
    let mut looks = String::new();
    for (modifier, attribute) in [
        (Modifier::BOLD, " font-weight=\"bold\""),
        (Modifier::UNDERLINED, " text-decoration=\"underline\""),
    ] {
        if first.modifier.contains(modifier) {
            looks.push_str(attribute);
        }
    }
    let dots: String = (cells.iter().enumerate())
        .filter_map(|(at, cell)| Some((at, braille(cell)?)))
        .map(|(at, bits)| dots(bits, left + CELL.0 * at as f64, top))
        .collect();
    if !dots.is_empty() {
        let _ = writeln!(svg, "<path fill=\"{ink}\" d=\"{dots}\"/>");
    }
    // Word by word at its own place: the columns stay whatever font the reader has.
    let base = top + CELL.1 * 0.75;
    for (at, word) in words(cells) {
        let left = left + CELL.0 * at as f64;
        let width = CELL.0 * word.chars().count() as f64;
        let _ = writeln!(
            svg,
            "<text x=\"{left:.1}\" y=\"{base:.1}\" textLength=\"{width:.1}\" fill=\"{ink}\"{looks}>{}</text>",
            escaped(&word)
        );
    }
}

/// The dots of a braille cell, as bits.
fn braille(cell: &Cell) -> Option<u32> {
    let code = u32::from(cell.symbol().chars().next()?);
    (0x2800..0x2900).contains(&code).then(|| code - 0x2800)
}

/// Those dots as a path: few fonts have them.
fn dots(bits: u32, left: f64, top: f64) -> String {
    /// Column and row of each bit.
    const PLACES: [(f64, f64); 8] = [
        (0.0, 0.0),
        (0.0, 1.0),
        (0.0, 2.0),
        (1.0, 0.0),
        (1.0, 1.0),
        (1.0, 2.0),
        (0.0, 3.0),
        (1.0, 3.0),
    ];
    let mut path = String::new();
    for (bit, (column, row)) in PLACES.into_iter().enumerate() {
        if bits >> bit & 1 == 1 {
            let x = left + CELL.0 / 2.0 * column + 1.0;
            let y = top + CELL.1 / 4.0 * row + 1.0;
            let _ = write!(path, "M{x:.1} {y:.1}h2.2v2.2h-2.2z");
        }
    }
    path
}

/// The words in these cells, each with the cell it begins in.
fn words(cells: &[Cell]) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (at, cell) in cells.iter().enumerate() {
        let blank = cell.symbol() == " " || braille(cell).is_some();
        match words.last_mut() {
            _ if blank => {}
            Some((_, word)) if inside => word.push_str(cell.symbol()),
            _ => words.push((at, cell.symbol().to_owned())),
        }
        inside = !blank;
    }
    words
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn colour(colour: Color, default: &'static str) -> &'static str {
    match colour {
        Color::Reset => default,
        Color::Black => "#101418",
        Color::Red => "#c8453c",
        Color::Green => "#5fb36a",
        Color::Yellow => "#d9b04a",
        Color::Cyan => "#4fb0b8",
        Color::DarkGray => "#87919b",
        Color::LightRed => "#f2756b",
        Color::LightCyan => "#7fd8df",
        Color::LightMagenta => "#e08ad8",
        Color::White => "#ffffff",
        other => panic!("the pictures have no {other:?}"),
    }
}
