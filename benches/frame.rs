//! Time to take an event and build a frame with 5,000 incidents and 100,000 alerts loaded: what a key
//! costs before a byte is written.
//!
//! `cargo bench --bench frame`. Keys, changed incidents and the passing of time alternate; each is
//! applied, drawn, and turned into bytes for the terminal. Nothing is asserted.

#[allow(
    clippy::wildcard_imports,
    reason = "in a test they are allowed, and it is one"
)]
#[path = "../tests/fixture/mod.rs"]
mod fixture;

use std::hint::black_box;
use std::time::{Duration, Instant};

use fixture::{Console, now, service, view};
use stormglass::api::WatchMessage;
use stormglass::model::{Delta, Health, IncidentId, IncidentRow, Severity};
use stormglass::tui::{ScreenWriter, Update, draw};

/// Incidents loaded.
const INCIDENTS: u64 = 5_000;
/// Entities loaded.
const ENTITIES: u64 = 20_000;
/// Alerts loaded: consoles hold their number and page through them.
const ALERTS: u64 = 100_000;
/// Frames measured at each size.
const FRAMES: u64 = 3_000;
/// Changed incidents in one message of a storm.
const CHANGED: u64 = 20;
/// Sizes with their budget at the 99th percentile, in milliseconds.
const SIZES: [(u16, u16, u32); 3] = [(80, 24, 4), (200, 60, 4), (300, 80, 8)];
/// Pressed in turn; one that does nothing draws all the same.
const KEYS: [&str; 8] = ["j", "j", "k", "ctrl-d", "ctrl-u", "G", "g g", "S"];

fn incident(n: u64, revision: u64) -> IncidentRow {
    let template = view().incidents.into_values().next().expect("a row");
    IncidentRow {
        id: IncidentId(n),
        revision,
        severity: [Severity::Warning, Severity::Error, Severity::Critical][n as usize % 3],
        entity: service(&format!("service-{n}")),
        title: format!("p99 latency {revision}.{n:04} s, expected 0.3 s to 0.6 s").into(),
        began: now().plus_ms(-(n as i64) * 7_000),
        began_before: false,
        alerts: (n % 40) as u32,
        ..template
    }
}

fn loaded(columns: u16, lines: u16) -> Console {
    let mut console = Console::live(columns, lines, "dark");
    let mut view = view();
    let rows = (1..=INCIDENTS).map(|n| (IncidentId(n), incident(n, 1)));
    view.incidents.extend(rows);
    let entities = (1..=ENTITIES).map(|n| (service(&format!("service-{n}")), Health::Bad));
    view.entities.extend(entities);
    view.counts.alerts_firing = ALERTS;
    view.counts.entities = ENTITIES;
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
    console
}

/// What happens before the `n`-th frame.
fn happen(console: &mut Console, n: u64, seq: &mut u64) {
    match n % 4 {
        0 => {
            *seq += 1;
            let rows = (0..CHANGED).map(|i| incident(1 + (n * 13 + i) % INCIDENTS, n));
            console.told(Update::Watch(WatchMessage::Deltas {
                seq: *seq,
                at: console.now,
                deltas: rows.map(Delta::Incident).collect(),
            }));
        }
        2 => console.wait(250),
        _ => console.press(KEYS[(n / 2) as usize % KEYS.len()]),
    }
}

fn main() {
    println!("{INCIDENTS} incidents, {ENTITIES} entities, {ALERTS} alerts; {FRAMES} frames");
    for (columns, lines, budget_ms) in SIZES {
        let mut console = loaded(columns, lines);
        let mut screen = ScreenWriter::new(columns, lines);
        let mut seq = view().seq;
        let mut times: Vec<Duration> = (0..FRAMES)
            .map(|n| {
                let started = Instant::now();
                happen(&mut console, n, &mut seq);
                black_box(screen.frame(|buffer| draw(&console.state, buffer)));
                started.elapsed()
            })
            .collect();
        times.sort();
        let at = |share: f64| times[((FRAMES - 1) as f64 * share) as usize];
        println!(
            "{columns}x{lines}: p50 {:.2?}, p99 {:.2?} ({budget_ms} ms), at most {:.2?}",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}
