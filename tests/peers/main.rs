//! The protocols against the programs that speak them: a real Prometheus, a real OpenTelemetry
//! SDK, a real rsyslog.
//!
//! A peer that is not installed is skipped, loudly; with `STORMGLASS_REQUIRE_PEERS=1` it is a
//! failure. These tests run on real time: the peers do.

mod alertmanager;
mod harness;
mod journald;
mod kafka;
mod loki;
mod nats;
mod opentelemetry;
mod peer;
mod prometheus;
mod promql;
mod scrape;
mod statsd;
mod syslog;
mod webhooks;
