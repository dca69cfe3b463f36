//! Settings of the recorder and of the engine, and what the engine is told of the team.

use super::{Section, needed, setting};
use crate::config::kind::Kind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        path: "recorder",
        settings: &[
            setting(
                "enabled",
                Kind::Flag,
                "true",
                "Record what the engine is told, for `stormglass replay`; in `recorder` in the data folder.",
            ),
            setting(
                "bytes_max",
                Kind::Integer(1 << 20, 1 << 50),
                "2147483648",
                "Bytes the recording may take. The oldest goes first, what an incident needs goes last. Whatever it may take, 256 MiB of the disk, or a 16th of a small one, are left free.",
            ),
        ],
    },
    Section {
        path: "engine",
        settings: &[
            setting(
                "series_max",
                Kind::Integer(1, 10_000_000),
                "200000",
                "Most series with a detector. Later ones are counted and named, not judged.",
            ),
            setting(
                "source_share_max",
                Kind::Integer(1, 100),
                "90",
                "Most of `series_max` that one source may bring, in per cent, so that a flood from one leaves room for the others. Later ones are counted and named with their source.",
            ),
            setting(
                "alerts_max",
                Kind::Integer(1, 10_000_000),
                "500000",
                "Most alerts held at once.",
            ),
            setting(
                "alert_resolve_timeout_s",
                Kind::Integer(1, 86_400),
                "300",
                "An alert whose sender gives no end is taken as resolved this long after its last resend, in seconds.",
            ),
            setting(
                "clock_skew_s_max",
                Kind::Integer(1, 604_800),
                "3600",
                "Samples further than this from the clock, in either direction, are refused and counted, in seconds; so are changes, log lines and spans further ahead of it, or older than two days.",
            ),
            setting(
                "resolve_after_s",
                Kind::Integer(1, 86_400),
                "300",
                "An incident whose signals are all back to normal is resolved after this long, in seconds.",
            ),
            setting(
                "silence_hours_max",
                Kind::Integer(1, 8_760),
                "168",
                "A silence, or a maintenance window opened by hand, may last this long, in hours.",
            ),
            setting(
                "silence_warn_s",
                Kind::Integer(0, 86_400),
                "600",
                "People are warned this long before a silence ends that still holds something back, and no sooner than in its last quarter, in seconds.",
            ),
            setting(
                "wait_for_transients",
                Kind::Flag,
                "true",
                "Give alerts that usually clear by themselves the time to. Never one that is critical or little known; what waits is shown and counted.",
            ),
        ],
    },
    Section {
        path: "engine.policy",
        settings: &[
            setting(
                "allow_run",
                Kind::Flag,
                "true",
                "Whether plans may run at all. Off: propose only.",
            ),
            setting(
                "approvals_low",
                Kind::Integer(1, 10),
                "1",
                "People who must approve a low-risk plan.",
            ),
            setting(
                "approvals_medium",
                Kind::Integer(1, 10),
                "1",
                "People who must approve a medium-risk plan.",
            ),
            setting(
                "approvals_high",
                Kind::Integer(1, 10),
                "1",
                "People who must approve a high-risk plan.",
            ),
            setting(
                "proposal_expires_s",
                Kind::Integer(10, 86_400),
                "900",
                "A proposal expires after this long, in seconds.",
            ),
            setting(
                "concurrent_plans_max",
                Kind::Integer(1, 100),
                "1",
                "Plans that may run at the same time.",
            ),
        ],
    },
    Section {
        path: "dependencies[]",
        settings: &[
            needed(
                "from",
                Kind::Text,
                "The dependent: `kind/name`, or a bare service name.",
            ),
            needed(
                "to",
                Kind::Text,
                "What it depends on, written the same way.",
            ),
        ],
    },
    Section {
        path: "entities[]",
        settings: &[
            needed(
                "name",
                Kind::Text,
                "An entity of the team's catalogue: `kind/name`, or a bare service name. What is said here goes before what telemetry says.",
            ),
            setting(
                "aliases",
                Kind::TextList,
                "",
                "Other names that telemetry has for it, written the same way: all are one entity.",
            ),
            setting(
                "owner",
                Kind::Text,
                "",
                "Team that owns it, shown wherever it is suspected.",
            ),
            setting(
                "tier",
                Kind::Integer(1, 4),
                "",
                "Business tier, 1 the most important.",
            ),
            setting(
                "links",
                Kind::TextTable,
                "",
                "Pages about it by what they are, such as `{ runbook = \"https://…\" }`.",
            ),
            setting(
                "labels",
                Kind::TextTable,
                "",
                "Labels that its telemetry lacks and runbooks ask for, such as `{ patroni_candidate = \"db2\" }`.",
            ),
        ],
    },
    Section {
        path: "slo[]",
        settings: &[
            needed("name", Kind::Text, "An objective: what it is called."),
            needed(
                "entity",
                Kind::Text,
                "What it is about: `kind/name`, or a bare service name.",
            ),
            needed(
                "objective",
                Kind::Text,
                "Percentage of requests that must succeed over 30 days, such as `\"99.9\"`. Told when 2 % of the budget is gone in an hour, 5 % in 6 hours, 10 % in a day or in 3 days.",
            ),
            needed(
                "failed",
                Kind::Text,
                "Counter of failed requests; all series of the entity with this name count.",
            ),
            needed("total", Kind::Text, "Counter of all requests."),
        ],
    },
    Section {
        path: "maintenance[]",
        settings: &[
            needed(
                "name",
                Kind::Text,
                "A maintenance window: alerts that fit are held back while it is open. Its name, shown.",
            ),
            needed(
                "matchers",
                Kind::TextList,
                "Matchers as Alertmanager writes them, such as `[\"service=db\", \"env=~\\\"prod.*\\\"\"]`; all must fit an alert's labels.",
            ),
            setting(
                "reason",
                Kind::Text,
                "",
                "Why, shown beside what it holds back.",
            ),
            setting(
                "from",
                Kind::Text,
                "",
                "When it opens, once: `2026-11-22T01:00:00+01:00`.",
            ),
            setting("until", Kind::Text, "", "When it closes, once."),
            setting(
                "days",
                Kind::TextList,
                "",
                "Days on which it opens every week: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`. Default: every day.",
            ),
            setting(
                "at",
                Kind::Text,
                "",
                "Time of day at which it opens, `02:30`. One that the clock is put forward over is an hour later.",
            ),
            setting(
                "minutes",
                Kind::Integer(1, 7 * 24 * 60),
                "",
                "How long it is open then.",
            ),
            setting(
                "time_zone",
                Kind::Text,
                "\"UTC\"",
                "Where that is the time of day, such as `Europe/Berlin`; its summer time is followed.",
            ),
        ],
    },
    Section {
        path: "inhibit[]",
        settings: &[
            needed(
                "name",
                Kind::Text,
                "A rule of inhibition: alerts that fit `target` are held back while one fires that fits `source`. Its name, shown.",
            ),
            needed(
                "source",
                Kind::TextList,
                "Matchers of the alerts that speak for others.",
            ),
            needed(
                "target",
                Kind::TextList,
                "Matchers of the alerts that need not be told besides. An alert that is both does not hold back its own kind.",
            ),
            setting(
                "equal",
                Kind::TextList,
                "",
                "Labels in which both must agree; one that both lack agrees.",
            ),
        ],
    },
    Section {
        path: "rules[]",
        settings: &[
            needed(
                "name",
                Kind::Text,
                "A rule of correlation: alerts of which you know that they are one incident. Its name, shown.",
            ),
            setting(
                "match",
                Kind::TextList,
                "",
                "Matchers of the alerts it is about; all must fit. May be left out when `same` is given.",
            ),
            setting(
                "same",
                Kind::TextList,
                "",
                "Labels that these alerts must have, and in which they must agree.",
            ),
            setting(
                "within_s",
                Kind::Integer(1, 3_600),
                "300",
                "How far apart the beginnings of two of them may be, in seconds.",
            ),
            setting(
                "at_least",
                Kind::Integer(2, 50),
                "2",
                "On so many different entities they must have begun within that time, those of `after` counted as well; until then the rule does nothing.",
            ),
            setting(
                "after",
                Kind::TextList,
                "",
                "Matchers of alerts that come first: what fits `match` joins the incident of one of these that began before it, within that time.",
            ),
            setting(
                "enabled",
                Kind::Flag,
                "true",
                "Whether it is applied. `stormglass rules try` shows what it would have done.",
            ),
        ],
    },
];
