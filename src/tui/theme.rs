//! Themes: a style for every role. Colours are used by role only, never by name elsewhere.

use std::collections::BTreeMap;

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;
use thiserror::Error;

/// Longest chain of `inherits`; a longer one is a loop.
const INHERITS_MAX: usize = 4;

/// What a piece of screen means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Ordinary text, in the terminal's own colours.
    Body,
    /// Of lesser interest.
    Muted,
    /// Title of a pane.
    Title,
    /// A key to press.
    Key,
    /// First line of the screen.
    Header,
    /// Row under the cursor.
    Selection,
    /// The pane that has the keys.
    Focus,
    /// Users are hurt now.
    Crit,
    /// Users notice, or soon will.
    High,
    /// Worth a look.
    Warn,
    /// Worth knowing.
    Info,
    /// Fine.
    Ok,
    /// Cannot be seen.
    Blind,
    /// Probably the cause.
    Suspect,
    /// Timeline: a change.
    Change,
    /// Timeline: something the engine noticed.
    Anomaly,
    /// Timeline: somebody else's rule.
    Alert,
    /// Timeline: a person.
    Person,
    /// Timeline: a plan.
    Automation,
    /// A measured line.
    Line,
    /// Where it was expected.
    Band,
    /// What a filter matched.
    Match,
    /// Something the operator must know.
    Banner,
    /// Data is old or the screen is frozen.
    Stale,
    /// This may hurt.
    Danger,
}

/// Every role with the name themes use.
const ROLES: [(Role, &str); 25] = [
    (Role::Body, "body"),
    (Role::Muted, "muted"),
    (Role::Title, "title"),
    (Role::Key, "key"),
    (Role::Header, "header"),
    (Role::Selection, "selection"),
    (Role::Focus, "focus"),
    (Role::Crit, "crit"),
    (Role::High, "high"),
    (Role::Warn, "warn"),
    (Role::Info, "info"),
    (Role::Ok, "ok"),
    (Role::Blind, "blind"),
    (Role::Suspect, "suspect"),
    (Role::Change, "change"),
    (Role::Anomaly, "anomaly"),
    (Role::Alert, "alert"),
    (Role::Person, "person"),
    (Role::Automation, "automation"),
    (Role::Line, "line"),
    (Role::Band, "band"),
    (Role::Match, "match"),
    (Role::Banner, "banner"),
    (Role::Stale, "stale"),
    (Role::Danger, "danger"),
];

/// The themes shipped, by name.
const SHIPPED: [(&str, &str); 6] = [
    ("dark", include_str!("../../themes/dark.toml")),
    ("light", include_str!("../../themes/light.toml")),
    ("mono", include_str!("../../themes/mono.toml")),
    (
        "high-contrast",
        include_str!("../../themes/high-contrast.toml"),
    ),
    ("red-green", include_str!("../../themes/red-green.toml")),
    ("blue-yellow", include_str!("../../themes/blue-yellow.toml")),
];

/// A style for every role.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    name: String,
    styles: [Style; ROLES.len()],
}

/// Why a theme was refused.
#[derive(Debug, Error)]
pub enum ThemeError {
    /// It is not TOML of the right shape.
    #[error("theme {name}: {why}")]
    Syntax {
        /// Which.
        name: String,
        /// What the parser says, with the line.
        why: String,
    },
    /// It names a role that does not exist.
    #[error("theme {name}: there is no role {role:?}; the nearest is {nearest:?}")]
    Role {
        /// Which theme.
        name: String,
        /// The word found.
        role: String,
        /// The nearest valid one.
        nearest: &'static str,
    },
    /// It names a colour that does not exist.
    #[error("theme {name}: role {role:?}: there is no colour {colour:?}")]
    Colour {
        /// Which theme.
        name: String,
        /// The role.
        role: String,
        /// The word found.
        colour: String,
    },
    /// It leaves a role without a style.
    #[error("theme {name}: role {role:?} is missing; give it, or inherit from another theme")]
    Missing {
        /// Which theme.
        name: String,
        /// The role.
        role: &'static str,
    },
    /// The file cannot be read.
    #[error("theme {path}: {why}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// No theme has this name.
    #[error("there is no theme {0:?}; shipped are {names}", names = Theme::names().collect::<Vec<_>>().join(", "))]
    Unknown(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThemeFile {
    name: String,
    #[serde(rename = "doc")]
    _doc: String,
    inherits: Option<String>,
    roles: BTreeMap<String, StyleFile>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "the switches a theme's author writes"
)]
struct StyleFile {
    fg: Option<toml::Value>,
    bg: Option<toml::Value>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    reverse: bool,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; ROLES.len()] = {
        let mut all = [Self::Body; ROLES.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = ROLES[at].0;
            at += 1;
        }
        all
    };

    /// The name used in themes and snapshots.
    pub fn as_str(self) -> &'static str {
        ROLES[self as usize].1
    }
}

impl Theme {
    /// Names of the themes shipped.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// A theme that is shipped.
    pub fn shipped(name: &str) -> Result<Self, ThemeError> {
        let text = shipped_text(name).ok_or_else(|| ThemeError::Unknown(name.to_owned()))?;
        Self::parse(text)
    }

    /// A theme by its name, or by the path of its file.
    pub fn load(name: &str) -> Result<Self, ThemeError> {
        if !crate::config::is_path(name) {
            return Self::shipped(name);
        }
        let text = std::fs::read_to_string(name).map_err(|error| ThemeError::File {
            path: name.to_owned(),
            why: error.to_string(),
        })?;
        Self::parse(&text)
    }

    /// Reads a theme; what it inherits from must be shipped.
    pub fn parse(text: &str) -> Result<Self, ThemeError> {
        let mut styles: [Option<Style>; ROLES.len()] = [None; ROLES.len()];
        let mut file = read(text)?;
        let name = file.name.clone();
        for _ in 0..INHERITS_MAX {
            fill(&mut styles, &file)?;
            let Some(parent) = file.inherits else { break };
            file = read(shipped_text(&parent).ok_or(ThemeError::Unknown(parent))?)?;
        }
        let mut whole = [Style::new(); ROLES.len()];
        for (i, (_, role)) in ROLES.iter().enumerate() {
            whole[i] = styles[i].ok_or_else(|| ThemeError::Missing {
                name: name.clone(),
                role,
            })?;
        }
        Ok(Self {
            name,
            styles: whole,
        })
    }

    /// The shipped theme after this one, in order, wrapping around.
    #[must_use]
    pub fn next(&self) -> Self {
        let at = SHIPPED.iter().position(|(name, _)| *name == self.name);
        let next = at.map_or(0, |at| (at + 1) % SHIPPED.len());
        Self::parse(SHIPPED[next].1).unwrap_or_else(|_| self.clone())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The style of a role.
    pub fn style(&self, role: Role) -> Style {
        self.styles[role as usize]
    }
}

fn shipped_text(name: &str) -> Option<&'static str> {
    SHIPPED
        .iter()
        .find(|(shipped, _)| *shipped == name)
        .map(|(_, text)| *text)
}

fn read(text: &str) -> Result<ThemeFile, ThemeError> {
    toml::from_str(text).map_err(|error| ThemeError::Syntax {
        name: "file".to_owned(),
        why: error.to_string(),
    })
}

/// Styles that are already given win over those of `file`.
fn fill(styles: &mut [Option<Style>; ROLES.len()], file: &ThemeFile) -> Result<(), ThemeError> {
    for (word, style) in &file.roles {
        let at = ROLES
            .iter()
            .position(|(_, name)| name == word)
            .ok_or_else(|| ThemeError::Role {
                name: file.name.clone(),
                role: word.clone(),
                nearest: nearest_role(word),
            })?;
        if styles[at].is_none() {
            styles[at] = Some(style_of(file, word, style)?);
        }
    }
    Ok(())
}

fn nearest_role(word: &str) -> &'static str {
    ROLES
        .iter()
        .map(|(_, name)| *name)
        .min_by_key(|name| strsim::levenshtein(name, word))
        .unwrap_or("body")
}

fn style_of(file: &ThemeFile, role: &str, from: &StyleFile) -> Result<Style, ThemeError> {
    let mut style = Style::new();
    for (value, is_fg) in [(&from.fg, true), (&from.bg, false)] {
        let Some(value) = value else { continue };
        let colour = colour_of(value).ok_or_else(|| ThemeError::Colour {
            name: file.name.clone(),
            role: role.to_owned(),
            colour: value.to_string().replace('"', ""),
        })?;
        style = if is_fg {
            style.fg(colour)
        } else {
            style.bg(colour)
        };
    }
    let modifiers = [
        (from.bold, Modifier::BOLD),
        (from.dim, Modifier::DIM),
        (from.italic, Modifier::ITALIC),
        (from.underline, Modifier::UNDERLINED),
        (from.reverse, Modifier::REVERSED),
    ];
    for (on, modifier) in modifiers {
        if on {
            style = style.add_modifier(modifier);
        }
    }
    Ok(style)
}

/// A number is one of the 256 colours; a word is a name or `#rrggbb`.
fn colour_of(value: &toml::Value) -> Option<Color> {
    match value {
        toml::Value::Integer(index) => u8::try_from(*index).ok().map(Color::Indexed),
        toml::Value::String(word) => word.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_theme_parses_under_its_name() {
        assert_eq!(Theme::names().collect::<Vec<_>>(), crate::config::THEMES);
        for name in Theme::names() {
            assert_eq!(Theme::shipped(name).unwrap().name(), name);
        }
    }

    #[test]
    fn roles_are_listed_in_order() {
        for (i, (role, _)) in ROLES.iter().enumerate() {
            assert_eq!(*role as usize, i);
        }
    }

    #[test]
    fn mono_uses_no_colour() {
        let mono = Theme::shipped("mono").unwrap();
        for (role, name) in ROLES {
            let style = mono.style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{name}");
        }
    }

    #[test]
    fn bad_themes_say_what_is_wrong() {
        let cases = [
            (
                "name='x'\ndoc=''\n[roles]\nbody={}\n",
                "theme x: role \"muted\" is missing; give it, or inherit from another theme",
            ),
            (
                "name='x'\ndoc=''\ninherits='dark'\n[roles]\nwarm={}\n",
                "theme x: there is no role \"warm\"; the nearest is \"warn\"",
            ),
            (
                "name='x'\ndoc=''\ninherits='dark'\n[roles]\nwarn={fg='rod'}\n",
                "theme x: role \"warn\": there is no colour \"rod\"",
            ),
            (
                "name='x'\ndoc=''\ninherits='nope'\n[roles]\n",
                "there is no theme \"nope\"; shipped are dark, light, mono, high-contrast, red-green, blue-yellow",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Theme::parse(text).unwrap_err().to_string(), expected);
        }
    }

    /// The first sixteen colours as xterm has them; terminals differ, these are the best known.
    const XTERM: [u32; 16] = [
        0x00_0000, 0xcd_0000, 0x00_cd00, 0xcd_cd00, 0x00_00ee, 0xcd_00cd, 0x00_cdcd, 0xe5_e5e5,
        0x7f_7f7f, 0xff_0000, 0x00_ff00, 0xff_ff00, 0x5c_5cff, 0xff_00ff, 0x00_ffff, 0xff_ffff,
    ];

    fn rgb(colour: Color) -> u32 {
        let index = match colour {
            Color::Indexed(index) => u32::from(index),
            Color::Rgb(r, g, b) => return u32::from_be_bytes([0, r, g, b]),
            named => {
                let order = [
                    Color::Black,
                    Color::Red,
                    Color::Green,
                    Color::Yellow,
                    Color::Blue,
                    Color::Magenta,
                    Color::Cyan,
                    Color::Gray,
                    Color::DarkGray,
                    Color::LightRed,
                    Color::LightGreen,
                    Color::LightYellow,
                    Color::LightBlue,
                    Color::LightMagenta,
                    Color::LightCyan,
                    Color::White,
                ];
                order.iter().position(|c| *c == named).expect("a colour") as u32
            }
        };
        let level = |n: u32| if n == 0 { 0 } else { 55 + 40 * n };
        match index {
            0..16 => XTERM[index as usize],
            16..232 => {
                let n = index - 16;
                level(n / 36) << 16 | level(n / 6 % 6) << 8 | level(n % 6)
            }
            _ => (8 + 10 * (index - 232)) * 0x01_0101,
        }
    }

    /// Contrast ratio of WCAG 2.1, from 1 to 21.
    fn contrast(one: u32, other: u32) -> f64 {
        let luminance = |rgb: u32| {
            let part = |shift: u32| {
                let c = f64::from(rgb >> shift & 0xff) / 255.0;
                if c <= 0.04045 {
                    c / 12.92
                } else {
                    ((c + 0.055) / 1.055).powf(2.4)
                }
            };
            0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
        };
        let (a, b) = (luminance(one) + 0.05, luminance(other) + 0.05);
        (a / b).max(b / a)
    }

    #[test]
    fn every_role_can_be_read_on_its_background() {
        const BLACK: u32 = 0x00_0000;
        const WHITE: u32 = 0xff_ffff;
        // WCAG 2.1: 4.5 for text, 7 for enhanced contrast, 3 for graphics.
        let cases = [
            ("dark", BLACK, 4.5),
            ("light", WHITE, 4.5),
            ("high-contrast", BLACK, 7.0),
            ("red-green", BLACK, 4.5),
            ("blue-yellow", BLACK, 4.5),
        ];
        let mut weak = Vec::new();
        for (name, background, text) in cases {
            let theme = Theme::shipped(name).unwrap();
            for (role, word) in ROLES {
                let style = theme.style(role);
                let body = WHITE - background;
                let fg = style.fg.map_or(body, rgb);
                let bg = style.bg.map_or(background, rgb);
                let wanted = if role == Role::Band { 3.0 } else { text };
                let found = contrast(fg, bg);
                if found < wanted {
                    weak.push(format!("{name} {word}: {found:.1} < {wanted}"));
                }
            }
        }
        assert!(weak.is_empty(), "{weak:#?}");
    }
}
