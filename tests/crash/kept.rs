//! What is left on the disk, held against what was acknowledged and what ran.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use stormglass::model::{
    Command, EntityId, IncidentId, Outcome, Plan, PlanState, Record, RunId, RunPhase,
};
use stormglass::store::journal;

/// Every acknowledged decision is in the journal, in order; every run has an intent and ran once.
pub fn check(journal: &Path, ran: &Path, acknowledged: &[String]) {
    let whole = journal::verify(journal, None).unwrap();
    assert!(whole.is_ok(), "{whole:?}");
    let records = records(journal);
    let decisions = records.iter().filter_map(|record| match record {
        Record::Decision { what, .. } => Some(serde_json::to_string(what).unwrap()),
        _ => None,
    });
    let mut kept: VecDeque<String> = decisions.collect();
    for decision in acknowledged {
        // One that is kept and was not acknowledged in time is no loss.
        let found = std::iter::from_fn(|| kept.pop_front()).any(|next| next == *decision);
        assert!(found, "lost: {decision}");
    }
    let intents = records.iter().filter_map(|record| match record {
        Record::Intent { run, .. } => Some(name_of(*run)),
        _ => None,
    });
    let intents: BTreeSet<String> = intents.collect();
    let mut once = BTreeSet::new();
    for run in lines(ran) {
        assert!(intents.contains(&run), "ran without an intent: {run}");
        assert!(once.insert(run.clone()), "ran twice: {run}");
    }
}

/// Every record of a journal.
pub fn records(journal: &Path) -> Vec<Record> {
    let lines = journal::lines(journal).unwrap();
    lines.map(|line| line.unwrap().unwrap().record).collect()
}

/// How many records are of a plan in this state.
pub fn plans_in(records: &[Record], state: &str) -> usize {
    let of_state =
        |record: &&Record| matches!(record, Record::Plan { plan } if plan.state.as_str() == state);
    records.iter().filter(of_state).count()
}

/// The lines of a file; none when it is not there.
pub fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A run in the words of its environment variables.
pub fn name_of(run: RunId) -> String {
    let phase = match run.phase {
        RunPhase::Precondition => "precondition",
        RunPhase::Forward => "forward",
        RunPhase::Verify => "verify",
        RunPhase::Rollback => "rollback",
    };
    format!("{} {phase} {}", run.plan.0, run.step)
}

/// A small reproducible generator (xorshift): the points of death are random, not arbitrary.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, max: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % max
    }
}

/// What a person decides who approves whatever waits and takes what is in doubt for done.
pub fn decision(plan: &Plan) -> Option<Command> {
    match plan.state {
        PlanState::Proposed => Some(Command::Approve {
            plan: plan.id,
            digest: plan.digest.to_string(),
        }),
        PlanState::Unknown { .. } => Some(Command::Settle {
            plan: plan.id,
            outcome: Outcome::Succeeded,
        }),
        _ => None,
    }
}

/// The only runbook, on what hurts.
pub fn proposal(incident: IncidentId) -> Command {
    Command::Propose {
        incident,
        runbook: "fix".to_owned(),
        target: EntityId::parse("checkout"),
    }
}
