//! Why a series did, or did not, make a finding: now or at a time, from the daemon or a recording;
//! `--alert` asks about an alert.

use std::path::PathBuf;

use clap::Args;

use super::Common;
use super::output::{Failure, Table, line, print, print_json, safe};
use super::place::client;
use super::{replay, why_alert};
use crate::model::{Time, Why, WhyAnswer, WhyOther, WhySeries, counted};

/// `stormglass why`
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The series: its id, its metric, or entity and metric; label values may follow. An entity alone lists its
    /// metrics. Or `ENTITY requests`,
    /// `ENTITY calls [CALLEE]`, `ENTITY logs [WORD ...]`, or a histogram
    #[arg(required_unless_present = "alert", value_name = "SERIES")]
    series: Vec<String>,
    /// Explain the alerts of this name, or the one with this fingerprint, instead
    #[arg(long, value_name = "NAME", conflicts_with_all = ["series", "at", "recording"])]
    alert: Option<String>,
    /// At this time, like 2026-11-21T03:00:00Z; default: now, or the end of the recording
    #[arg(long, value_parser = replay::moment)]
    at: Option<Time>,
    /// Ask a recording, or the folder of the flight recorder, instead of the daemon
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
}

pub async fn run(common: &Common, args: &WhyArgs) -> Result<(), Failure> {
    if let Some(alert) = &args.alert {
        return why_alert::run(common, alert).await;
    }
    let query = args.series.join(" ");
    let answer = match &args.recording {
        Some(file) => {
            let (engine, at) = replay::engine_at(file, args.at)?;
            engine.why(&query, Some(at))
        }
        None => client(common)?.why(&query, args.at).await?,
    };
    if common.json {
        return print_json(&answer);
    }
    match answer {
        WhyAnswer::One(why) => print(&page(&why)),
        WhyAnswer::Several(names) => {
            let names: Vec<String> = names
                .iter()
                .map(|name| format!("  {}", safe(name)))
                .collect();
            let names = names.join("\n");
            print(&format!(
                "several series are meant; name one by its number:\n{names}\n"
            ))
        }
        WhyAnswer::Others(others) => {
            let pages: Vec<String> = others.iter().map(other).collect();
            print(&pages.join("\n"))
        }
        WhyAnswer::Of(all) => {
            let pages: Vec<String> = all.iter().map(series_of).collect();
            print(&pages.join("\n"))
        }
        WhyAnswer::Near(names) => {
            let names: Vec<String> = names.iter().map(|name| safe(name)).collect();
            let names = names.join(", ");
            let text = format!("no series is called {query:?}; near it: {names}");
            Err(Failure::new(text))
        }
        WhyAnswer::Unknown => Err(Failure::new(format!("no series is called {query:?}"))),
    }
}

/// What can be asked of an entity.
fn series_of(of: &WhySeries) -> String {
    let (entity, name) = (safe(of.entity.as_str()), safe(of.entity.name()));
    let others = format!("`why {name} requests`, `why {name} calls` and `why {name} logs`");
    if of.metrics.is_empty() {
        return format!("{entity} has no series that is judged; ask {others}\n");
    }
    let mut text = format!("ask `why {name} METRIC` of one of these of {entity}, or {others}:\n");
    for metric in &of.metrics {
        let series = match metric.count {
            1 => String::new(),
            count => format!(" ({count} series)"),
        };
        line(&mut text, &format!("  {}{series}", safe(&metric.what)));
    }
    if of.more > 0 {
        let more = counted(of.more, "more metric", "more metrics");
        line(&mut text, &format!("  and {more}"));
    }
    text
}

/// Of calls, a kind of log line or a histogram.
fn other(why: &WhyOther) -> String {
    let told = match &why.findings[..] {
        [] => "no finding".to_owned(),
        ids => {
            let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
            format!("it is finding {}", ids.join(", "))
        }
    };
    format!(
        "{} on {} at {}\n\n- {told}\n{}\n",
        safe(&why.subject),
        safe(why.entity.as_str()),
        why.at,
        because(&why.because)
    )
}

fn because(sentences: &[Box<str>]) -> String {
    let lines: Vec<String> = sentences
        .iter()
        .map(|text| format!("- {}", safe(text)))
        .collect();
    lines.join("\n")
}

fn page(why: &Why) -> String {
    let baseline = &why.baseline;
    let season = if baseline.is_seasonal {
        "with a daily season"
    } else {
        "without a season"
    };
    let checks = if why.checks.is_empty() {
        String::new()
    } else {
        let mut table = Table::new(["CHECK", "SCORE", "ODD FROM"]);
        for check in &why.checks {
            let number = |value: f32| format!("{value:.1}");
            table.row([
                check.title.to_string(),
                number(check.score),
                number(check.bar),
            ]);
        }
        format!("\n{}", table.render())
    };
    let learned = match baseline.samples {
        // Nothing was learned since the epoch.
        0 => "no baseline".to_owned(),
        samples => format!(
            "baseline: {}, {samples} values since {}, {season}",
            baseline.maturity, baseline.since
        ),
    };
    format!(
        "{} on {} at {}\n\n{}\n\n{learned}, checks of version {}\n{checks}",
        safe(&why.name),
        safe(why.entity.as_str()),
        why.at,
        because(&why.because),
        baseline.checks
    )
}
