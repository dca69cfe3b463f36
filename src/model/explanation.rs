//! Why something was told, or was not: how unusual it was, who agreed, and against which baseline.

use serde::{Deserialize, Serialize};

use super::{Band, Count, EntityId, FindingId, Labels, MetricRole, SeriesId, Time, Unit};

/// What stands behind a finding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// How unusual it is, in plain words.
    pub unusual: Box<str>,
    /// Titles of the checks that call it odd.
    pub agreed: Vec<Box<str>>,
    /// Titles of the checks that do not.
    pub disagreed: Vec<Box<str>>,
    /// What it was compared with; `None` where nothing is learned.
    pub baseline: Option<BaselineVersion>,
}

impl Explanation {
    /// Notes what each check says: its title, and whether it calls it odd.
    #[must_use]
    pub fn judged_by(mut self, checks: impl IntoIterator<Item = (&'static str, bool)>) -> Self {
        for (title, is_odd) in checks {
            let told = if is_odd {
                &mut self.agreed
            } else {
                &mut self.disagreed
            };
            told.push(title.into());
        }
        self
    }

    /// Notes what it was compared with.
    #[must_use]
    pub fn against(self, baseline: BaselineVersion) -> Self {
        Self {
            baseline: Some(baseline),
            ..self
        }
    }
}

/// Which baseline judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineVersion {
    /// Version of the checks: another one may judge the same values otherwise.
    pub checks: u32,
    /// Values it learned from; of what is judged in windows these, of durations calls, of a new kind of line lines.
    pub samples: u32,
    /// Since when.
    pub since: Time,
    /// `warming`, `learning` or `mature`.
    pub maturity: Box<str>,
    /// Whether it expects another value at each hour of working days and weekends.
    pub is_seasonal: bool,
}

/// What one check says of a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckOpinion {
    /// Its title.
    pub title: Box<str>,
    /// −log10 of the chance of this on an ordinary day.
    pub score: f32,
    /// From this score on it calls the value odd.
    pub bar: f32,
}

/// Why a series did, or did not, make a finding at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The series.
    pub series: SeriesId,
    /// Its metric, untrusted.
    pub name: Box<str>,
    /// Its labels, untrusted.
    pub labels: Labels,
    /// The entity it is about.
    pub entity: EntityId,
    /// What it says of the entity.
    pub role: MetricRole,
    /// Unit of the values.
    pub unit: Unit,
    /// The time asked about, as far as it is kept: that of the point answered for.
    pub at: Time,
    /// Times before this one are no longer kept here; a recording still has them.
    pub kept_from: Time,
    /// What was seen; `None` when there was no point.
    pub seen: Option<f64>,
    /// What was expected.
    pub expected: Band,
    /// The finding it made, if it made one.
    pub finding: Option<FindingId>,
    /// Evidence of the run the point was part of, −log10 of its chance.
    pub evidence: f32,
    /// Evidence needed to be told, raised bar included.
    pub needed: f32,
    /// By how much people raised the bar.
    pub raised_by: f32,
    /// What each check said; only of the latest point.
    pub checks: Vec<CheckOpinion>,
    /// The baseline that judged.
    pub baseline: BaselineVersion,
    /// The answer, sentence by sentence; untrusted.
    pub because: Vec<Box<str>>,
}

/// Why something that is no series is, or is not, told of now: calls, a kind of log line, a histogram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhyOther {
    /// The entity it is about.
    pub entity: EntityId,
    /// What it is, untrusted.
    pub subject: Box<str>,
    /// The time it is answered for: what is odd about these is kept for now alone.
    pub at: Time,
    /// The findings about it that last.
    pub findings: Vec<FindingId>,
    /// The answer, sentence by sentence; untrusted.
    pub because: Vec<Box<str>>,
}

/// What can be asked of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhySeries {
    /// The entity.
    pub entity: EntityId,
    /// Its metrics in order of name, untrusted, each with how many series it has.
    pub metrics: Vec<Count>,
    /// So many more metrics it has.
    pub more: u64,
}

/// Answer to a question about a series: its story, or the series that could be meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyAnswer {
    /// Exactly one series is meant.
    One(Box<Why>),
    /// Several could be; each with what to ask instead.
    Several(Vec<Box<str>>),
    /// No series is meant but calls, kinds of log lines or histograms.
    Others(Vec<WhyOther>),
    /// An entity is, of which these can be asked; one for each of that name.
    Of(Vec<WhySeries>),
    /// None is, and these names are near.
    Near(Vec<Box<str>>),
    /// None is.
    Unknown,
}
