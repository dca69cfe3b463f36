//! The HTTP side of the daemon: one router for the API, the connections of the Unix socket, and who
//! is at the other end. On the receivers' listener the same router asks each request for a token.
//!
//! Nothing here decides: handlers translate between HTTP and the engine's door, the hub and the store.

mod alertmanager;
mod answer;
mod caller;
mod metrics;
mod routes;
mod serve;
mod silences;
mod socket;

pub(super) use caller::{Callers, Operator};
pub(super) use routes::{Api, api_routes};
pub(super) use serve::{Listening, serve};
pub(in crate::daemon) use silences::Matcher;
pub use socket::group_number;
pub(super) use socket::{SocketFile, bind_socket, check_socket};
