//! Every source in-process: real recorded requests in, whole signals and answers out.

mod alerts;
mod changes;
mod elastic;
mod grpc;
mod guard;
mod harness;
mod hostile;
mod loki;
mod otlp;
mod polled;
mod properties;
mod refusals;
mod remote_write;
mod senders;
mod sockets;
mod syslog;
mod tried;
mod webhooks;
mod write_request;
