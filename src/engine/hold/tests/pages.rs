//! Findings that would open incidents where it is silenced; and what became of what was not, counted.

use super::*;
use crate::model::{EntityId, IncidentId};

/// What is odd where it is silenced opens no incident: that is hidden as much as an alert is.
#[test]
fn findings_that_a_silence_keeps_from_opening_incidents_are_counted() {
    let mut bench = Bench::new(EngineConfig::default());
    let matchers = LabelFilter::parse_all("service=cart").expect("it is well-formed");
    let seen = |bench: &Bench| {
        let preview = bench.engine.preview_silence(&matchers);
        (preview.findings_now, preview.findings_past)
    };
    let hides = |bench: &Bench| {
        let silence = bench.engine.silence(SilenceId(1)).expect("it was made");
        (silence.hides, silence.hides_findings, silence.hidden_total)
    };
    bench.up("cart", 1.0, 60);
    bench.up("cart", 0.0, 60);
    assert_eq!(seen(&bench), (1, 0), "it pages now");
    bench.up("cart", 1.0, 120);
    assert_eq!(seen(&bench), (0, 1), "and did in the last week");
    bench.silence("service=cart", 60);
    assert_eq!(hides(&bench), (0, 0, 0));
    bench.up("cart", 0.0, 60);
    assert_eq!(hides(&bench), (0, 1, 1));
    assert_eq!(seen(&bench), (1, 1));
    bench.up("cart", 1.0, 120);
    assert_eq!(hides(&bench), (0, 0, 1));
}

/// What is odd already when a silence is made counts at once, though nothing is seen of it again; and goes on under the
/// next silence when the first is ended.
#[test]
fn findings_that_last_are_counted_by_the_silence_that_covers_them() {
    let mut bench = Bench::new(EngineConfig::default());
    let hides = |bench: &Bench, id| {
        let silence = bench.engine.silence(SilenceId(id)).expect("it was made");
        silence.hides_findings
    };
    bench.up("cart", 1.0, 60);
    bench.up("cart", 0.0, 60);
    bench.silence("service=cart", 60);
    assert_eq!(hides(&bench, 1), 1);
    bench.silence("service=pay", 60);
    bench.silence("service=~ca.*", 60);
    assert_eq!(
        (hides(&bench, 2), hides(&bench, 3)),
        (0, 0),
        "it counts once"
    );
    bench.give(Command::Expire {
        silence: SilenceId(1),
    });
    bench.pass(1);
    assert_eq!((hides(&bench, 1), hides(&bench, 3)), (0, 1));
}

impl Bench {
    /// A target answers, or does not, for so many seconds.
    fn up(&mut self, service: &str, value: f64, seconds: i64) {
        for _ in 0..seconds / 5 {
            self.tell("scrape", service, &[("up", value), ("load", 1.0)]);
            self.pass(5);
        }
    }
}

/// Each row counts what it says.
#[test]
fn what_was_done_is_counted() {
    let mut bench = Bench::new(EngineConfig::default());
    let total = |bench: &Bench, name: &str| {
        let rows = bench.engine.stages();
        let row = rows.iter().find(|row| &*row.name == name);
        row.map(|row| row.total)
    };
    let counts = |bench: &Bench| {
        let names = [
            "attach",
            "open",
            "merge by hand",
            "split by hand",
            "severity",
            "phase",
        ];
        names.map(|name| total(bench, name).unwrap_or_else(|| panic!("{name} is listed")))
    };
    assert_eq!(counts(&bench), [0; 6]);
    bench.fire("SlowCart@cart/error");
    bench.fire("LostPay@pay/warning");
    bench.pass(2);
    assert_eq!(counts(&bench), [2, 2, 0, 0, 2, 0]);
    bench.give(Command::Merge {
        incident: IncidentId(2),
        into: IncidentId(1),
    });
    bench.give(Command::Split {
        incident: IncidentId(1),
        entities: vec![EntityId::parse("pay")],
    });
    bench.give(Command::Acknowledge {
        incident: IncidentId(1),
    });
    bench.pass(2);
    let [_, _, merged, split, _, phases] = counts(&bench);
    assert_eq!((merged, split, phases), (1, 1, 1));
}
