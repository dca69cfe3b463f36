//! An incident as Markdown.

use std::fmt::Write as _;

use super::{Document, LOGS_MAX, SUSPECTS_MAX, clean, said};
use crate::model::{Evidence, Plan, counted, told};

/// The whole document.
pub fn render(document: &Document<'_>) -> String {
    let mut out = format!("# {}\n\n", escape(&document.title()));
    for (name, value) in document.facts() {
        put(&mut out, format_args!("- **{name}:** {}\n", escape(&value)));
    }
    out.push_str("\n## Summary\n\n");
    for sentence in document.narrative() {
        put(&mut out, format_args!("{}\n", escape(&sentence)));
    }
    suspects(&mut out, document);
    plans(&mut out, document);
    findings(&mut out, document);
    logs(&mut out, document);
    timeline(&mut out, document);
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = out.write_fmt(text);
}

fn suspects(out: &mut String, document: &Document<'_>) {
    let suspected = document.suspects();
    if suspected.is_empty() {
        return;
    }
    out.push_str("\n## Suspects\n");
    for (place, suspect) in suspected.iter().take(SUSPECTS_MAX).enumerate() {
        put(
            out,
            format_args!(
                "\n{}. **{}**, {:.0} %, {}\n",
                place + 1,
                escape(&clean(suspect.suspect.as_str())),
                suspect.confidence * 100.0,
                suspect.cause.as_str().replace('_', " "),
            ),
        );
        let mut evidence = |sign: &str, evidence: &[Evidence]| {
            for piece in evidence {
                put(
                    out,
                    format_args!("   - {sign}: {}\n", escape(&clean(&piece.text))),
                );
            }
        };
        evidence("for", &suspect.evidence_for);
        evidence("against", &suspect.evidence_against);
    }
}

fn plans(out: &mut String, document: &Document<'_>) {
    if document.plans().is_empty() {
        return;
    }
    out.push_str(
        "\n## Plans\n\n| plan | what | risk | approved by | ended |\n|---|---|---|---|---|\n",
    );
    for plan in document.plans() {
        put(
            out,
            format_args!(
                "| {} | {} | {} | {} | {} |\n",
                plan.id,
                escape(&clean(&plan.title)),
                plan.risk.as_str(),
                escape(&approvers(plan)),
                plan.state.as_str(),
            ),
        );
    }
}

fn approvers(plan: &Plan) -> String {
    let names: Vec<String> = plan.approvals.iter().map(|a| clean(&a.by)).collect();
    names.join(", ")
}

fn findings(out: &mut String, document: &Document<'_>) {
    let findings = &document.detail.incident.findings;
    if findings.is_empty() {
        return;
    }
    out.push_str("\n## Findings\n\n");
    for finding in findings {
        put(
            out,
            format_args!(
                "- {} {}: {}\n",
                finding.since.to_rfc3339(),
                escape(&clean(finding.entity.as_str())),
                escape(&clean(&finding.text)),
            ),
        );
    }
}

fn logs(out: &mut String, document: &Document<'_>) {
    if document.panels.logs.is_empty() {
        return;
    }
    out.push_str("\n## Log lines\n\n");
    for group in document.panels.logs.iter().take(LOGS_MAX) {
        let new = if group.is_new { ", new" } else { "" };
        put(
            out,
            format_args!(
                "- {}{new}, {}: {}\n",
                counted(group.count, "time", "times"),
                escape(&clean(group.entity.as_str())),
                escape(&clean(&group.sample)),
            ),
        );
    }
}

fn timeline(out: &mut String, document: &Document<'_>) {
    let incident = &document.detail.incident;
    out.push_str("\n## Timeline\n\n| time | what | where | |\n|---|---|---|---|\n");
    for entry in told(&incident.timeline) {
        put(
            out,
            format_args!(
                "| {} | {} | {} | {} |\n",
                entry.first.at.to_rfc3339(),
                entry.first.lane.as_str(),
                escape(&clean(&entry.whom())),
                escape(&clean(&said(&entry))),
            ),
        );
    }
    if incident.timeline_dropped > 0 {
        put(
            out,
            format_args!(
                "\n{} not kept.\n",
                counted(
                    incident.timeline_dropped.into(),
                    "entry was",
                    "entries were"
                )
            ),
        );
    }
}

/// Backslashes before what Markdown or HTML would read as markup.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\`*_{}[]<>#|!&~".contains(c) {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}
