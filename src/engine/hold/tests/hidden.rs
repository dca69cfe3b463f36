//! Incidents of which all that fires is held back: neither healed nor over.

use super::*;

#[test]
fn what_is_silenced_is_neither_healed_nor_over_however_long() {
    let mut bench = Bench::new(EngineConfig::default());
    let hidden = |bench: &Bench| {
        let row = bench.engine.incident_rows().next().expect("it is known");
        let incident = bench.engine.incident(row.id).expect("it is known");
        assert_eq!(row.hidden(), incident.hidden(), "the row says the same");
        let held = incident.hidden().map(|held| held.why.to_string());
        (incident.phase, incident.state_word(), held)
    };
    let by_mia = Some("silence 1 of mia: a deploy".to_owned());
    bench.fire("SlowCart@cart/critical");
    bench.pass(1);
    assert_eq!(hidden(&bench), (Phase::Open, "open", None));
    bench.silence("service=cart", 60);
    assert_eq!(
        hidden(&bench),
        (Phase::Open, "silenced", by_mia.clone()),
        "at once"
    );
    bench.pass(30 * 60);
    assert_eq!(hidden(&bench), (Phase::Mitigated, "silenced", by_mia));
    // Only the end of what is hidden is calm, and what closes an incident is calm from then on.
    bench.end("SlowCart@cart/critical");
    bench.pass(1);
    assert_eq!(hidden(&bench), (Phase::Mitigated, "mitigated", None));
    let row = bench.engine.incident_rows().next().expect("it is known");
    let calm = row.mitigated.expect("since it ended");
    assert!(bench.now.since(calm) <= 1_000, "{calm:?}");
    bench.pass(10 * 60);
    assert_eq!(hidden(&bench).0, Phase::Resolved);
}

#[test]
fn what_a_person_calls_over_while_it_is_silenced_is_told_to_fire() {
    let mut bench = Bench::new(EngineConfig::default());
    bench.fire("SlowCart@cart/critical");
    bench.pass(1);
    bench.silence("service=cart", 60);
    let incident = bench.engine.incident_rows().next().expect("it is known").id;
    bench.give(Command::Resolve { incident });
    bench.pass(1);
    let incident = bench.engine.incident(incident).expect("it is known");
    let stands = (incident.phase, incident.fires(), incident.hidden());
    assert_eq!(stands, (Phase::Resolved, 1, None));
}

#[test]
fn what_is_silenced_stays_so_over_a_restart() {
    let mut bench = Bench::new(EngineConfig::default());
    bench.fire("SlowCart@cart/critical");
    bench.pass(1);
    bench.silence("service=cart", 600);
    bench.pass(10 * 60);
    let journal = bench.journal.clone();
    bench.engine = Engine::new(bench.config.clone(), Vec::new());
    let records = journal.into_iter().map(Record::undated);
    bench.engine.restore(records);
    let state = |bench: &Bench| {
        let row = bench.engine.incident_rows().next().expect("it is known");
        (row.phase, row.state_word())
    };
    let hidden = (Phase::Mitigated, "silenced");
    bench.pass(30);
    assert_eq!(state(&bench), hidden, "nobody has said anything yet");
    bench.fire("SlowCart@cart/critical");
    bench.pass(20 * 60);
    assert_eq!(state(&bench), hidden, "it still fires");
    bench.end("SlowCart@cart/critical");
    bench.pass(10 * 60);
    assert_eq!(state(&bench).0, Phase::Resolved);
}
