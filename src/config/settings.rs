//! Flat table: all settings, what the file may say, what each means, and within which bounds.
//!
//! It is the only list. It checks every key of a file, names the nearest one for a typo, and makes
//! `docs/config.md`; a test keeps it in step with the defaults of [`super::Config`].

use super::kind::{KEYMAPS, Kind, THEMES};

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Where it stands: `section.name`; `name[]` is a list of tables.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its default as written in the file; empty when there is none.
    pub default: &'static str,
    /// What it does, in one or two sentences.
    pub doc: &'static str,
}

/// Every setting, in the order of the reference.
pub const SETTINGS: &[Setting] = &[
    row(
        "environment",
        Kind::Text,
        "\"local\"",
        "Name of what is watched, shown in the header and in every export.",
    ),
    row(
        "data_dir",
        Kind::Path,
        "",
        "Where journal, database and recorder live. Default: `stormglass` in the user's state directory.",
    ),
    row(
        "socket",
        Kind::Path,
        "",
        "The API's Unix socket. Default: `stormglass.sock` in the user's runtime directory.",
    ),
    row(
        "listen",
        Kind::Address,
        "\"127.0.0.1:9797\"",
        "Where all receivers listen: alerts, remote write, OTLP and changes.",
    ),
    row(
        "otlp_listen",
        Kind::AddressOrOff,
        "\"127.0.0.1:4318\"",
        "A second address for OTLP over HTTP, the one that OpenTelemetry SDKs use by default. Empty for none.",
    ),
    row(
        "otlp_grpc_listen",
        Kind::AddressOrOff,
        "\"127.0.0.1:4317\"",
        "Where OTLP over gRPC is taken, the address that OpenTelemetry SDKs use by default. Empty for none.",
    ),
    row(
        "runbooks_dir",
        Kind::Path,
        "",
        "A directory of your own runbooks (`*.toml`), besides the built-in ones. The same name replaces a built-in one.",
    ),
    row(
        "catalogue",
        Kind::TextList,
        "",
        "Backstage catalogues: files, and directories searched for `catalog-info.yaml` below them. Components and resources bring owners, links and dependencies; `[[entities]]` goes before them.",
    ),
    row(
        "theme",
        Kind::Named(THEMES),
        "",
        "Name of a theme, or path of one. Default: chosen by what the terminal can show.",
    ),
    row(
        "keymap",
        Kind::Named(KEYMAPS),
        "",
        "Name of a keymap, or path of one.",
    ),
    row(
        "operators[].name",
        Kind::Text,
        "",
        "A person who may use the API: their name in the journal. On the socket it is a user of this machine.",
    ),
    row(
        "operators[].uid",
        Kind::Integer(0, 4_294_967_295),
        "",
        "Number of their user on this machine, which the socket vouches for: goes before the name, also for users that `/etc/passwd` does not list.",
    ),
    row(
        "operators[].role",
        Kind::Choice(&["viewer", "responder", "commander", "admin"]),
        "\"viewer\"",
        "What they may do; each role includes the ones before it.",
    ),
    row(
        "operators[].token_file",
        Kind::Path,
        "",
        "File that holds their token for the listener, on one line.",
    ),
    row(
        "operators[].token_env",
        Kind::Text,
        "",
        "Environment variable that holds their token instead.",
    ),
    row(
        "notify[].name",
        Kind::Text,
        "",
        "A receiver of notifications: an incident is bad, worse, or over. Its name in messages.",
    ),
    row(
        "notify[].url",
        Kind::Text,
        "",
        "Where a JSON object is posted to, again and again until it is taken.",
    ),
    row(
        "notify[].url_env",
        Kind::Text,
        "",
        "Environment variable that holds the address instead, as it may be a secret.",
    ),
    row(
        "notify[].token_file",
        Kind::Path,
        "",
        "File that holds a bearer token for it.",
    ),
    row(
        "notify[].token_env",
        Kind::Text,
        "",
        "Environment variable that holds the token instead.",
    ),
    row(
        "notify[].severity",
        Kind::Choice(&["error", "critical"]),
        "\"error\"",
        "Milder incidents are not told.",
    ),
    row(
        "alertmanagers[].name",
        Kind::Text,
        "",
        "An Alertmanager whose silences are kept in step with ours: listed, made and ended on both sides. Its name in lists.",
    ),
    row(
        "alertmanagers[].url",
        Kind::Text,
        "",
        "Where it is: what stands before `/api/v2`.",
    ),
    row(
        "alertmanagers[].token_file",
        Kind::Path,
        "",
        "File that holds a bearer token for it, read anew each time.",
    ),
    row(
        "alertmanagers[].every_s",
        Kind::Integer(1, 3_600),
        "15",
        "How often it is asked, in seconds.",
    ),
    row(
        "alertmanagers[].push",
        Kind::Flag,
        "true",
        "Make silences there that are made here, and end there what is ended here. Without it theirs are taken, and nothing is changed there.",
    ),
    row(
        "tls.cert_file",
        Kind::Path,
        "",
        "Certificate of the listeners with those that vouch for it, in PEM. Needed to listen on anything but loopback, unless `sources.insecure`.",
    ),
    row("tls.key_file", Kind::Path, "", "Its private key, in PEM."),
    row(
        "sources.insecure",
        Kind::Flag,
        "false",
        "Take telemetry without TLS, or without a token, on addresses that others can reach: whoever reaches them may send, and read along. Where there is no TLS the API is not served.",
    ),
    row(
        "sources.token_file",
        Kind::Path,
        "",
        "File that holds a token which every sender over HTTP and gRPC needs (`Authorization: Bearer`). Needed to listen on anything but loopback, unless `sources.insecure`. Forges prove their messages by themselves.",
    ),
    row(
        "sources.body_bytes_max",
        Kind::Integer(1_024, 1 << 30),
        "67108864",
        "Largest request body, in bytes, both as sent and after decompression. A larger one is answered 413.",
    ),
    row(
        "sources.requests_concurrent_max",
        Kind::Integer(1, 4_096),
        "64",
        "Requests decoded at the same time; more wait for their turn. Bounds memory together with `body_bytes_max`.",
    ),
    row(
        "sources.alerts.enabled",
        Kind::Flag,
        "true",
        "Take alerts as Alertmanager does, at `/api/v2/alerts`.",
    ),
    row(
        "sources.remote_write.enabled",
        Kind::Flag,
        "true",
        "Take metrics by Prometheus remote write, 1.0 and 2.0, at `/api/v1/write`.",
    ),
    row(
        "sources.otlp.enabled",
        Kind::Flag,
        "true",
        "Take OTLP over HTTP, at `/v1/traces`, `/v1/metrics` and `/v1/logs`.",
    ),
    row(
        "sources.changes.enabled",
        Kind::Flag,
        "true",
        "Take changes from pipelines, at `/api/v1/changes`.",
    ),
    row(
        "sources.loki.enabled",
        Kind::Flag,
        "true",
        "Take logs as Loki does, at `/loki/api/v1/push`.",
    ),
    row(
        "sources.notifications.enabled",
        Kind::Flag,
        "true",
        "Take what Alertmanager and Grafana notify by webhook, at `/webhook/alerts`.",
    ),
    row(
        "sources.notifications.hold_s",
        Kind::Integer(60, 604_800),
        "21600",
        "How long an alert fires that nobody resolves, in seconds: longer than until it is notified again.",
    ),
    row(
        "sources.pagerduty.enabled",
        Kind::Flag,
        "true",
        "Take events of PagerDuty's Events API v2, alerts and changes, at `/v2/enqueue` and `/v2/change/enqueue`.",
    ),
    row(
        "sources.pagerduty.hold_s",
        Kind::Integer(60, 604_800),
        "21600",
        "How long an alert fires that nobody resolves, in seconds: longer than until it is notified again.",
    ),
    row(
        "sources.webhook[].name",
        Kind::Text,
        "",
        "Last part of its path, `/webhook/in/NAME`, and name of the source.",
    ),
    row(
        "sources.webhook[].kind",
        Kind::Choice(&["alert", "change"]),
        "\"alert\"",
        "What its items are.",
    ),
    row(
        "sources.webhook[].items",
        Kind::Text,
        "",
        "JSON pointer to the list of items, such as `/alerts`. Default: the body itself, one item or a list.",
    ),
    row(
        "sources.webhook[].id",
        Kind::Text,
        "",
        "JSON pointer to what an item is known by. Default: its labels, or for a change what it says and the minute.",
    ),
    row(
        "sources.webhook[].title",
        Kind::Text,
        "",
        "JSON pointer to one line about it.",
    ),
    row(
        "sources.webhook[].status",
        Kind::Text,
        "",
        "JSON pointer to what says whether an alert is over.",
    ),
    row(
        "sources.webhook[].resolved",
        Kind::TextList,
        "[\"resolved\", \"ok\"]",
        "Words of `status` by which an alert is over.",
    ),
    row(
        "sources.webhook[].at",
        Kind::Text,
        "",
        "JSON pointer to when it began or happened: RFC 3339, or seconds or milliseconds since the epoch.",
    ),
    row(
        "sources.webhook[].version",
        Kind::Text,
        "",
        "JSON pointer to the version that a change led to.",
    ),
    row(
        "sources.webhook[].labels",
        Kind::TextTable,
        "",
        "Labels by JSON pointers, such as `{ service = \"/app\" }`; without a slash, what is written. A change needs `service`.",
    ),
    row(
        "sources.webhook[].hold_s",
        Kind::Integer(60, 604_800),
        "21600",
        "How long an alert fires that nobody resolves, in seconds.",
    ),
    row(
        "sources.github.secret_file",
        Kind::Path,
        "",
        "File with the secret of GitHub's webhook, on one line: deployments and releases are taken at `/webhook/github` if the signature fits.",
    ),
    row(
        "sources.gitlab.secret_file",
        Kind::Path,
        "",
        "File with the secret of GitLab's webhook, on one line: deployments and releases are taken at `/webhook/gitlab` if the token fits.",
    ),
    row(
        "sources.gitea.secret_file",
        Kind::Path,
        "",
        "File with the secret of Gitea's webhook, on one line: deployments and releases are taken at `/webhook/gitea` if the signature fits.",
    ),
    row(
        "sources.host.enabled",
        Kind::Flag,
        "true",
        "Watch this host: processor, memory, disks, network, load, and Stormglass itself.",
    ),
    row(
        "sources.host.interval_s",
        Kind::Integer(1, 3_600),
        "5",
        "Time between two looks at this host, in seconds.",
    ),
    row(
        "sources.host.name",
        Kind::Text,
        "",
        "Name of this host's entity. Default: the host name.",
    ),
    row(
        "sources.heartbeat[].name",
        Kind::Text,
        "",
        "Last part of its path, `/heartbeat/NAME`, and name of the source.",
    ),
    row(
        "sources.heartbeat[].every_s",
        Kind::Integer(1, 31_622_400),
        "",
        "Time between two beats, in seconds.",
    ),
    row(
        "sources.heartbeat[].grace_s",
        Kind::Integer(0, 31_622_400),
        "60",
        "How much later than that a beat may be, in seconds.",
    ),
    row(
        "sources.heartbeat[].severity",
        Kind::Choice(&["critical", "warning", "info"]),
        "\"critical\"",
        "Severity of the alert.",
    ),
    row(
        "sources.heartbeat[].labels",
        Kind::TextTable,
        "{}",
        "Labels of the alert; `service` or `host` say whose it is.",
    ),
    row(
        "sources.scrape[].job",
        Kind::Text,
        "\"scrape\"",
        "Value of the label `job`, and name of the source.",
    ),
    row(
        "sources.scrape[].targets",
        Kind::TextList,
        "",
        "Targets asked for their metrics: `HOST:PORT`, or a whole address if they are not at `http://HOST:PORT/metrics`.",
    ),
    row(
        "sources.scrape[].interval_s",
        Kind::Integer(1, 3_600),
        "15",
        "Time between two scrapes of a target, in seconds.",
    ),
    row(
        "sources.scrape[].timeout_s",
        Kind::Integer(1, 600),
        "10",
        "A target that has not answered by then is down, in seconds.",
    ),
    row(
        "sources.scrape[].labels",
        Kind::TextTable,
        "{}",
        "Labels put on every series.",
    ),
    row(
        "sources.scrape[].token_file",
        Kind::Path,
        "",
        "File that holds the token the targets want (`Authorization: Bearer`), read anew each time.",
    ),
    row(
        "sources.promql[].name",
        Kind::Text,
        "\"prometheus\"",
        "Name of the source, `promql NAME`.",
    ),
    row(
        "sources.promql[].url",
        Kind::Text,
        "",
        "Address of a Prometheus, VictoriaMetrics or what answers like one, without `/api/v1`.",
    ),
    row(
        "sources.promql[].select",
        Kind::TextList,
        "",
        "Selectors such as `{job=\"shop\"}`: series keep their names.",
    ),
    row(
        "sources.promql[].named",
        Kind::TextTable,
        "{}",
        "Expressions whose series have no name, by the name they get.",
    ),
    row(
        "sources.promql[].interval_s",
        Kind::Integer(1, 3_600),
        "30",
        "Time between two points of a series, past and present, and between two questions, in seconds.",
    ),
    row(
        "sources.promql[].delay_s",
        Kind::Integer(0, 3_600),
        "30",
        "How long after a point's time it is asked for, in seconds. VictoriaMetrics shows nothing younger than 30 s.",
    ),
    row(
        "sources.promql[].timeout_s",
        Kind::Integer(1, 600),
        "30",
        "An answer that is not there by then is given up and asked for again, in seconds.",
    ),
    row(
        "sources.promql[].history_days",
        Kind::Integer(0, 90),
        "14",
        "How much of the past is learned from at the start, in days; what was learned before is not learned again.",
    ),
    row(
        "sources.promql[].warms",
        Kind::Text,
        "",
        "Source that pushes the same series, such as `remote_write`: only the past is asked for then.",
    ),
    row(
        "sources.promql[].labels",
        Kind::TextTable,
        "{}",
        "Labels put on every series.",
    ),
    row(
        "sources.promql[].token_file",
        Kind::Path,
        "",
        "File that holds the token the server wants (`Authorization: Bearer`), read anew each time.",
    ),
    row(
        "sources.syslog.udp",
        Kind::AddressOrOff,
        "\"\"",
        "Take syslog datagrams here (RFC 5424 and 3164). What finds no room is lost and counted.",
    ),
    row(
        "sources.syslog.tcp",
        Kind::AddressOrOff,
        "\"\"",
        "Take syslog streams here, framed by lines or octet counts.",
    ),
    row(
        "sources.syslog.tls",
        Kind::AddressOrOff,
        "\"\"",
        "Take syslog streams over TLS here, with the certificate of `[tls]`.",
    ),
    row(
        "sources.syslog.when_full",
        Kind::Choice(&["block", "drop"]),
        "\"block\"",
        "What a stream does while the engine is behind: wait, so that the sender keeps what it has, or drop and count.",
    ),
    row(
        "sources.statsd.udp",
        Kind::AddressOrOff,
        "\"\"",
        "Take StatsD and DogStatsD datagrams here. What finds no room is lost and counted.",
    ),
    row(
        "sources.statsd.flush_s",
        Kind::Integer(1, 300),
        "10",
        "Time over which metrics are put together before they are handed over, in seconds.",
    ),
    row(
        "sources.journald.enabled",
        Kind::Flag,
        "false",
        "Follow the systemd journal, with `journalctl`. The user needs the group `systemd-journal` for what is not its own.",
    ),
    row(
        "sources.journald.units",
        Kind::TextList,
        "",
        "Only these units, such as `[\"checkout.service\"]`. Default: all.",
    ),
    row(
        "sources.journald.files",
        Kind::TextList,
        "",
        "Files of journals to follow instead of this machine's own.",
    ),
    row(
        "sources.journald.from",
        Kind::Choice(&["start", "end"]),
        "\"end\"",
        "Where to begin when nothing was read before; later starts go on where the last one was.",
    ),
    row(
        "sources.tail[].paths",
        Kind::TextList,
        "",
        "Log files to follow. `*` and `?` match within a path component, `**` over directories.",
    ),
    row(
        "sources.tail[].service",
        Kind::Text,
        "",
        "Service the lines belong to. Default: the file's name without its extension.",
    ),
    row(
        "sources.tail[].labels",
        Kind::TextTable,
        "{}",
        "Labels put on every line.",
    ),
    row(
        "sources.tail[].from",
        Kind::Choice(&["start", "end"]),
        "\"end\"",
        "Where to begin in a file that is there when Stormglass starts. Files that appear later are read from their start.",
    ),
    row(
        "sources.tail[].multiline",
        Kind::Flag,
        "true",
        "Join continuation lines, such as stack traces, to the line they belong to.",
    ),
    row(
        "sources.tail[].line_bytes_max",
        Kind::Integer(256, 1 << 20),
        "65536",
        "Longest line kept, in bytes. The rest of a longer line is cut and counted.",
    ),
    row(
        "recorder.enabled",
        Kind::Flag,
        "true",
        "Record what the engine is told, for `stormglass replay`; in `recorder` in the data folder.",
    ),
    row(
        "recorder.bytes_max",
        Kind::Integer(1 << 20, 1 << 50),
        "2147483648",
        "Bytes the recording may take. The oldest goes first, what an incident needs goes last.",
    ),
    row(
        "engine.series_max",
        Kind::Integer(1, 10_000_000),
        "200000",
        "Most series with a detector. Later ones are counted and named, not judged.",
    ),
    row(
        "engine.alerts_max",
        Kind::Integer(1, 10_000_000),
        "500000",
        "Most alerts held at once.",
    ),
    row(
        "engine.alert_resolve_timeout_s",
        Kind::Integer(1, 86_400),
        "300",
        "An alert whose sender gives no end is taken as resolved this long after its last resend, in seconds.",
    ),
    row(
        "engine.clock_skew_s_max",
        Kind::Integer(1, 604_800),
        "3600",
        "Samples further than this from the clock, in either direction, are refused and counted, in seconds; so are changes, log lines and spans further ahead of it, or older than two days.",
    ),
    row(
        "engine.resolve_after_s",
        Kind::Integer(1, 86_400),
        "300",
        "An incident whose signals are all back to normal is resolved after this long, in seconds.",
    ),
    row(
        "engine.silence_hours_max",
        Kind::Integer(1, 8_760),
        "168",
        "A silence, or a maintenance window opened by hand, may last this long, in hours.",
    ),
    row(
        "engine.silence_warn_s",
        Kind::Integer(0, 86_400),
        "600",
        "People are warned this long before a silence ends that still holds something back, in seconds.",
    ),
    row(
        "engine.wait_for_transients",
        Kind::Flag,
        "true",
        "Give alerts that usually clear by themselves the time to. Never one that is critical or little known; what waits is shown and counted.",
    ),
    row(
        "engine.policy.allow_run",
        Kind::Flag,
        "true",
        "Whether plans may run at all. Off: propose only.",
    ),
    row(
        "engine.policy.approvals_low",
        Kind::Integer(1, 10),
        "1",
        "People who must approve a low-risk plan.",
    ),
    row(
        "engine.policy.approvals_medium",
        Kind::Integer(1, 10),
        "1",
        "People who must approve a medium-risk plan.",
    ),
    row(
        "engine.policy.approvals_high",
        Kind::Integer(1, 10),
        "1",
        "People who must approve a high-risk plan.",
    ),
    row(
        "engine.policy.proposal_expires_s",
        Kind::Integer(10, 86_400),
        "900",
        "A proposal expires after this long, in seconds.",
    ),
    row(
        "engine.policy.concurrent_plans_max",
        Kind::Integer(1, 100),
        "1",
        "Plans that may run at the same time.",
    ),
    row(
        "dependencies[].from",
        Kind::Text,
        "",
        "The dependent: `kind/name`, or a bare service name.",
    ),
    row(
        "dependencies[].to",
        Kind::Text,
        "",
        "What it depends on, written the same way.",
    ),
    row(
        "entities[].name",
        Kind::Text,
        "",
        "An entity of the team's catalogue: `kind/name`, or a bare service name. What is said here goes before what telemetry says.",
    ),
    row(
        "entities[].aliases",
        Kind::TextList,
        "",
        "Other names that telemetry has for it, written the same way: all are one entity.",
    ),
    row(
        "entities[].owner",
        Kind::Text,
        "",
        "Team that owns it, shown wherever it is suspected.",
    ),
    row(
        "entities[].tier",
        Kind::Integer(1, 4),
        "",
        "Business tier, 1 the most important.",
    ),
    row(
        "entities[].links",
        Kind::TextTable,
        "",
        "Pages about it by what they are, such as `{ runbook = \"https://…\" }`.",
    ),
    row(
        "entities[].labels",
        Kind::TextTable,
        "",
        "Labels that its telemetry lacks and runbooks ask for, such as `{ patroni_candidate = \"db2\" }`.",
    ),
    row(
        "slo[].name",
        Kind::Text,
        "",
        "An objective: what it is called.",
    ),
    row(
        "slo[].entity",
        Kind::Text,
        "",
        "What it is about: `kind/name`, or a bare service name.",
    ),
    row(
        "slo[].objective",
        Kind::Text,
        "",
        "Percentage of requests that must succeed over 30 days, such as `\"99.9\"`. Told when 2 % of the budget is gone in an hour, 5 % in 6 hours, 10 % in a day or in 3 days.",
    ),
    row(
        "slo[].failed",
        Kind::Text,
        "",
        "Counter of failed requests; all series of the entity with this name count.",
    ),
    row("slo[].total", Kind::Text, "", "Counter of all requests."),
    row(
        "maintenance[].name",
        Kind::Text,
        "",
        "A maintenance window: alerts that fit are held back while it is open. Its name, shown.",
    ),
    row(
        "maintenance[].matchers",
        Kind::TextList,
        "",
        "Matchers as Alertmanager writes them, such as `[\"service=db\", \"env=~\\\"prod.*\\\"\"]`; all must fit an alert's labels.",
    ),
    row(
        "maintenance[].reason",
        Kind::Text,
        "",
        "Why, shown beside what it holds back.",
    ),
    row(
        "maintenance[].from",
        Kind::Text,
        "",
        "When it opens, once: `2026-11-22T01:00:00+01:00`.",
    ),
    row(
        "maintenance[].until",
        Kind::Text,
        "",
        "When it closes, once.",
    ),
    row(
        "maintenance[].days",
        Kind::TextList,
        "",
        "Days on which it opens every week: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`. Default: every day.",
    ),
    row(
        "maintenance[].at",
        Kind::Text,
        "",
        "Time of day at which it opens, `02:30`. One that the clock is put forward over is an hour later.",
    ),
    row(
        "maintenance[].minutes",
        Kind::Integer(1, 7 * 24 * 60),
        "",
        "How long it is open then.",
    ),
    row(
        "maintenance[].time_zone",
        Kind::Text,
        "\"UTC\"",
        "Where that is the time of day, such as `Europe/Berlin`; its summer time is followed.",
    ),
    row(
        "inhibit[].name",
        Kind::Text,
        "",
        "A rule of inhibition: alerts that fit `target` are held back while one fires that fits `source`. Its name, shown.",
    ),
    row(
        "inhibit[].source",
        Kind::TextList,
        "",
        "Matchers of the alerts that speak for others.",
    ),
    row(
        "inhibit[].target",
        Kind::TextList,
        "",
        "Matchers of the alerts that need not be told besides. An alert that is both does not hold back its own kind.",
    ),
    row(
        "inhibit[].equal",
        Kind::TextList,
        "",
        "Labels in which both must agree; one that both lack agrees.",
    ),
    row(
        "rules[].name",
        Kind::Text,
        "",
        "A rule of correlation: alerts of which you know that they are one incident. Its name, shown.",
    ),
    row(
        "rules[].match",
        Kind::TextList,
        "",
        "Matchers of the alerts it is about; all must fit. May be left out when `same` is given.",
    ),
    row(
        "rules[].same",
        Kind::TextList,
        "",
        "Labels that these alerts must have, and in which they must agree.",
    ),
    row(
        "rules[].within_s",
        Kind::Integer(1, 3_600),
        "300",
        "How far apart the beginnings of two of them may be, in seconds.",
    ),
    row(
        "rules[].at_least",
        Kind::Integer(2, 50),
        "2",
        "On so many different entities they must have begun within that time, those of `after` counted as well; until then the rule does nothing.",
    ),
    row(
        "rules[].after",
        Kind::TextList,
        "",
        "Matchers of alerts that come first: what fits `match` joins the incident of one of these that began before it, within that time.",
    ),
    row(
        "rules[].enabled",
        Kind::Flag,
        "true",
        "Whether it is applied. `stormglass rules try` shows what it would have done.",
    ),
];

/// Settings without which their table makes no sense.
pub(super) const REQUIRED: &[&str] = &[
    "operators[].name",
    "sources.heartbeat[].name",
    "sources.heartbeat[].every_s",
    "notify[].name",
    "alertmanagers[].name",
    "alertmanagers[].url",
    "sources.scrape[].targets",
    "sources.promql[].url",
    "sources.webhook[].name",
    "sources.webhook[].labels",
    "sources.tail[].paths",
    "dependencies[].from",
    "dependencies[].to",
    "entities[].name",
    "slo[].name",
    "slo[].entity",
    "slo[].objective",
    "slo[].failed",
    "slo[].total",
    "maintenance[].name",
    "maintenance[].matchers",
    "inhibit[].name",
    "inhibit[].source",
    "inhibit[].target",
    "rules[].name",
];

const fn row(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Setting {
    Setting {
        path,
        kind,
        default,
        doc,
    }
}

impl Setting {
    /// Its table: everything before the last dot; empty at the top level.
    pub fn section(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }

    /// Its own name.
    pub fn name(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or(self.path, |(_, name)| name)
    }
}
