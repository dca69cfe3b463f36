//! The nouns of Stormglass: what every other layer speaks of.
//!
//! Nothing here does I/O, reads a clock, starts a thread or draws a random number. Types are plain
//! data; behaviour is limited to what keeps a value valid.

mod alert;
mod argv;
mod bond;
mod change;
mod command;
mod coordination;
mod delta;
mod effect;
mod entity;
mod explanation;
mod feedback;
mod finding;
mod heaviest;
mod hypothesis;
mod incident;
mod input;
mod label_filter;
mod labels;
mod lags;
mod ledger;
pub mod logjoin;
pub mod mask;
mod panel;
mod past;
mod pauses;
mod plan;
mod record;
mod recorded;
mod runbook;
mod safe_text;
mod signal;
mod silence;
mod stats;
mod time;
mod told;
mod topology;
pub mod turn;
mod wide_id;
mod words;

pub use alert::{Alert, Fingerprint};
pub use argv::{ARGV_SHOWN_CHARS_MAX, ArgvShown, shown_argv};
pub use bond::{Bond, Learned, Regrouped};
pub use change::{Change, ChangeKind, ChangeOf, ChangeState};
pub use command::{ALLOWS_AUTOMATION, Actor, Command, PERSON_TEXT_BYTES_MAX, Refusal, Role};
pub use coordination::{
    Coordinate, Coordination, Duty, STATUS_EVERY_MS, StatusUpdate, TASKS_MAX, Task, length_ms,
};
pub use delta::{
    Counts, Delta, EntityHealth, Health, IncidentRow, LastOf, LastRefusal, Mode, ROW_MEMBERS_MAX,
    SourceHealth, SourceRow,
};
pub use effect::{Effect, Notification, NotifyEvent};
pub use entity::{Entity, EntityId, EntityKind};
pub use explanation::{
    BaselineVersion, CheckOpinion, Explanation, Why, WhyAnswer, WhyOther, WhySeries,
};
pub use feedback::{Bar, Feedback, Label, Opinion};
pub use finding::{Band, Check, Direction, Finding, FindingId, Severity};
pub use heaviest::Heaviest;
pub use hypothesis::{DOWN, Diagnosis, Evidence, Hypothesis, Method, SuspectKind, SuspectRole};
pub use incident::{
    ALERT_AGAIN, ALERT_NOT_CLEAR, ALERT_STILL_FIRES, ALERT_UNHEARD, ASSIGNED_TO, Impact, Incident,
    IncidentId, Lane, PathEdge, PathNode, Phase, Reopened, TAKEN_BY, TIMELINE_ENTRIES_MAX,
    TimelineEntry,
};
pub use input::{
    FiringAlert, Input, Outcome, Process, Recalled, RunId, RunPhase, Silenced, Stamped, StepEvent,
    StepEventKind,
};
pub use label_filter::{FilterSign, LabelFilter};
pub use labels::{
    LABEL_NAME_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_BYTES_MAX, LabelError, Labels,
    LabelsBuilder,
};
pub use lags::{Lags, freshest, median};
pub use ledger::{
    Count, ENTITIES_FULL, EntityLedger, LEDGER_ENTITIES_MAX, LEDGER_ENTITIES_OF_ONE_MAX,
    LEDGER_METRICS_MAX, Ledger, Lost, Pace, RefusedOf, SourceLedger,
};
pub use panel::{AlertPlace, AlertRow, Chart, ChartMark, LogGroup, SpanRow, TraceView, Unheard};
pub use past::{Done, HitRate, MethodRate, Similar, TrueCause, Weights};
pub use pauses::{Pauses, Quiet, Spoke};
pub use plan::{
    Action, Approval, CHOSEN_BY_A_PERSON, ExecutorKind, NOT_MEASURED, PastRun, Plan, PlanId,
    PlanState, Risk, Suspicion, Verification,
};
pub use record::{Dated, Record};
pub use recorded::{Heat, HeatBand, RawLine, RawLines, Recorded, RecordedLine, RecordedPart};
pub use runbook::{
    MatchRule, Precondition, Runbook, RunbookError, RunbookParameter, RunbookStep, VerifyRule,
    next_placeholder,
};
pub use safe_text::SafeText;
pub use signal::{
    Batch, LogLevel, LogLine, MetricRole, Sample, Series, SeriesId, SeriesKind, Signal, SourceId,
    Span, SpanId, SpanKind, TraceId, Unit,
};
pub use silence::{
    HeldBack, HoldStage, MaintenanceRow, SILENCE_MATCHERS_MAX, Silence, SilenceId, SilenceKind,
    SilencePreview, SilenceSpec, SilenceState, SilenceTwin, StageRow,
};
pub use stats::{QueueStats, ReceiverReach, ReceiverStats, RecorderStats, Stats, TickStats};
pub use time::Time;
pub use told::{Told, told};
pub use topology::{Beside, Dependence, Edge, Provenance, Reach, Reached};
pub use words::{command_line, counted, middle, spelled, with_article};
