//! Stormglass: an incident console for the terminal.
//!
//! Inputs are stamped and kept; a pure engine turns each one into effects; a shell performs the
//! effects and feeds what happened back in as inputs. `ARCHITECTURE.md` has the map.

pub mod api;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod eval;
pub mod executors;
pub mod model;
pub mod notify;
pub mod sim;
pub mod sources;
pub mod store;
pub mod tui;
