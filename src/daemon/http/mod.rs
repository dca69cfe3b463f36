//! The HTTP side of the daemon: one router for the API, connections of the Unix socket and of the
//! receivers' listener, and who is at the other end of each.
//!
//! Nothing here decides: handlers translate between HTTP and the engine's door, the hub and the store.

mod answer;
mod caller;
mod routes;
mod serve;
mod socket;

pub(super) use caller::Callers;
pub(super) use routes::{Api, api_routes, health_routes};
pub(super) use serve::{Listening, Origin, serve};
pub(super) use socket::{bind_socket, bind_tcp};
