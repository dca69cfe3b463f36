//! Scratch.
use stormglass::eval::drive::{Approve, run};
use stormglass::model::Time;
use stormglass::sim::Scenario;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let seeds: u64 = args[2].parse().unwrap();
    let verbose = args.len() > 3;
    for s in Scenario::ALL {
        if args[1] != "all" && s.as_str() != args[1] {
            continue;
        }
        for seed in 1..=seeds {
            let t = std::time::Instant::now();
            let c = run(
                s,
                seed,
                Time::from_secs(1_768_392_000),
                vec![],
                Approve::None,
            );
            println!(
                "{} seed {} {:.1}s signals {}",
                c.scenario,
                seed,
                t.elapsed().as_secs_f32(),
                c.signals
            );
            for t in &c.truth {
                println!(
                    "   truth {} {:?} at {} finding {:?} incident {:?} rank {:?}",
                    t.truth.entity,
                    t.truth.kind,
                    t.truth.at,
                    t.first_finding_ms,
                    t.incident_ms,
                    t.rank
                );
            }
            for i in &c.incidents {
                println!(
                    "   {} {:?} began {} opened {} f{} a{} {}",
                    i.id, i.phase, i.began, i.opened, i.findings, i.alerts, i.title
                );
                if verbose {
                    for s in &i.suspects {
                        println!("        {} {} {:.2}", s.entity, s.cause, s.confidence);
                    }
                }
            }
        }
    }
}
