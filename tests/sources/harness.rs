//! A router with a queue behind it and a clock that stands still.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use stormglass::config::{Config, parse};
use stormglass::model::{Labels, Sample, Series, SeriesKind, Signal, SourceRow, Time, Unit};
use stormglass::sources::{
    Guard, Rhythm, SIGNALS_QUEUED_MAX, SignalQueue, SourceRegistry, Sources, grpc_router, router,
    signal_queue,
};
use tower::ServiceExt;

/// Now, in every test: 2026-11-20T15:22:31Z, shortly after the fixtures were recorded.
pub const NOW: Time = Time::from_ms(1_795_188_151_000);

/// All receivers, without a socket.
pub struct Receivers {
    router: Router,
    grpc: Option<Router>,
    queue: SignalQueue,
    registry: SourceRegistry,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Receivers {
    /// With the default config.
    pub fn new() -> Self {
        Self::with("")
    }

    /// With a config file's text.
    pub fn with(config: &str) -> Self {
        let (config, _): (Config, _) = parse(config, "test.toml").expect("the config is valid");
        let (registry, queue) = signal_queue();
        let guard = Guard::read(config.sources.token_file.as_deref()).expect("a token");
        let sources = Sources::new(Arc::new(config), &registry, Arc::new(|| NOW));
        let sources = sources.guarded_by(guard);
        Self {
            router: router(&sources),
            grpc: grpc_router(&sources),
            queue,
            registry,
        }
    }

    /// What takes OTLP over gRPC.
    pub fn grpc(&self) -> Option<Router> {
        self.grpc.clone()
    }

    /// Sends one request with headers such as `("content-type", "application/json")`.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(body.into())
            .expect("the request is well formed");
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX)
            .await
            .expect("the answer is in memory");
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_vec(),
        }
    }

    /// Everything taken since the last call, as the engine would get it.
    pub fn taken(&mut self) -> Vec<Signal> {
        std::iter::from_fn(|| self.queue.try_recv())
            .flat_map(|queued| queued.take(NOW).signals)
            .collect()
    }

    /// Leaves the queue no room, until what is in it is taken.
    pub fn fill(&self) {
        let series = Series::new("filler", Labels::empty(), SeriesKind::Gauge, Unit::None);
        let sample = Signal::Sample(Sample {
            series: Arc::new(series),
            at: NOW,
            value: 1.0,
        });
        let filler = self.registry.source("filler", Rhythm::Sporadic, "");
        let all = vec![sample; SIGNALS_QUEUED_MAX as usize];
        filler.try_send(all).expect("the queue is empty");
    }

    /// How a source is.
    pub fn row(&self, name: &str) -> SourceRow {
        let mut rows = self.registry.rows(NOW).into_iter();
        rows.find(|row| row.name == name)
            .expect("the source is registered")
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer is text")
    }
}

/// A file of `tests/fixtures`.
pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
