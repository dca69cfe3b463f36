//! The console: a client of the API, nothing more. It never talks to the engine and never imports
//! the daemon.
//!
//! [`State`] is a plain value, [`update()`] changes it and [`draw`] draws it; [`run`] joins the two to a
//! terminal and to whatever serves the API.

mod act;
mod action;
mod answers;
mod app;
mod burst;
mod chart;
mod dependence;
mod desk;
mod dialog;
mod ends;
mod entities;
mod explain;
mod field;
mod format;
mod glyph;
mod help;
mod inert;
mod judged;
mod key;
mod keymap;
mod lanes;
mod layered;
mod link;
mod node;
mod pace;
mod paint;
pub mod plain;
mod point;
mod raw;
mod reach;
mod refused;
mod route;
mod rows;
mod screen;
mod scroll;
mod session;
mod silence;
mod state;
mod terminal;
mod theme;
mod transport;
mod update;
mod view;
mod waited;
pub mod wall;

pub use action::{ACTIONS, Action, ActionRow, Scope};
pub use app::{TuiError, TuiOptions, run};
pub use format::{Clock, Zone, lasted, value as quantity};
pub use judged::Judged;
pub use key::Key;
pub use keymap::{Keymap, KeymapError, Lookup, key_page, key_table};
pub use link::{FarEnd, Link, Request, Update};
pub use paint::{Glyphs, Look};
pub use screen::ScreenWriter;
pub use session::Session;
pub use state::{Back, Overlay, Purpose, Screen, State, Tab};
pub use theme::{Role, Theme, ThemeError};
pub use update::{Effects, Event, TerminalOp, update};
pub use view::{draw, draw_wall};
