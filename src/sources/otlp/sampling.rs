//! How many spans like it were made for each that was sent, as samplers say.
//!
//! In the trace state: `ot=th:…`, the threshold of `OpenTelemetry`'s consistent probability sampling, or
//! `ot=p:…` as it was drafted before. In attributes: `SampleRate` (Honeycomb), `sampler.param` of a
//! probabilistic sampler (Jaeger), and `sampling.priority` of 2 or more, which somebody forced: such a
//! span stands for itself alone. What cannot be right says nothing.

use std::borrow::Cow;

use crate::model::Span;

/// Digits of a threshold: 56 bits.
const THRESHOLD_DIGITS: usize = 14;
/// All traces, as thresholds count.
const THRESHOLD_MAX: f64 = (1_u64 << 56) as f64;
/// The power of two that stands for a probability of nought.
const POWER_NEVER: u32 = 63;
/// A priority from which on a person wanted the trace.
const PRIORITY_FORCED: f64 = 2.0;

/// What the attributes of a span say of its sampling.
#[derive(Default)]
pub(super) struct Sampling<'a> {
    rate: Option<Cow<'a, str>>,
    sampler: Option<Cow<'a, str>>,
    param: Option<Cow<'a, str>>,
    priority: Option<Cow<'a, str>>,
}

impl<'a> Sampling<'a> {
    /// Where an attribute is kept that says something of sampling.
    pub(super) fn place(&mut self, key: &str) -> Option<&mut Option<Cow<'a, str>>> {
        match key {
            "SampleRate" => Some(&mut self.rate),
            "sampler.type" => Some(&mut self.sampler),
            "sampler.param" => Some(&mut self.param),
            "sampling.priority" => Some(&mut self.priority),
            _ => None,
        }
    }

    /// How many spans this one stands for, by its trace state first.
    pub(super) fn weight(&self, trace_state: &str) -> Option<f32> {
        let number = |text: &Option<Cow<'_, str>>| text.as_deref()?.parse::<f64>().ok();
        let forced = number(&self.priority).filter(|priority| *priority >= PRIORITY_FORCED);
        let is_share = matches!(self.sampler.as_deref(), Some("probabilistic"));
        let share = number(&self.param).filter(|_| is_share);
        let told = of_trace_state(trace_state)
            .or(forced.map(|_| 1.0))
            .or(number(&self.rate))
            .or(share.map(|share| 1.0 / share));
        Span::weight_of(told?)
    }
}

/// The weight that a W3C trace state tells: one over the probability with which the trace was kept.
fn of_trace_state(trace_state: &str) -> Option<f64> {
    let mut members = trace_state.split(',');
    let ours = members.find_map(|member| member.trim().strip_prefix("ot="))?;
    let field = |name: &str| {
        let mut fields = ours.split(';');
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix(':'))
    };
    if let Some(threshold) = field("th") {
        let is_one = (1..=THRESHOLD_DIGITS).contains(&threshold.len())
            && threshold.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = u64::from_str_radix(threshold, 16).ok().filter(|_| is_one)?;
        // Zeros at its end are left out.
        let rejected = digits << (4 * (THRESHOLD_DIGITS - threshold.len()));
        return Some(THRESHOLD_MAX / (THRESHOLD_MAX - rejected as f64));
    }
    let power: u32 = field("p")?.parse().ok()?;
    (power < POWER_NEVER).then(|| f64::from(power).exp2())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attribute.
    type Pair = (&'static str, &'static str);

    #[test]
    fn weights_are_read_as_samplers_tell_them() {
        let cases: [(&str, &[Pair], Option<f32>); 18] = [
            ("", &[], None),
            // Half, a quarter, all; one in a hundred, whose digits have no end.
            ("ot=th:8", &[], Some(2.0)),
            ("ot=th:c", &[], Some(4.0)),
            ("ot=th:0", &[], Some(1.0)),
            ("ot=th:fd70a3d70a3d71", &[], Some(100.0)),
            ("vendor=x, ot=rv:6e6d1a75832a2f;th:8,b=1", &[], Some(2.0)),
            ("ot=th:fffffffffffffff", &[], None),
            ("ot=th:-8", &[], None),
            ("ot=p:3;r:5", &[], Some(8.0)),
            ("ot=p:63", &[], None),
            ("ot=p:62", &[], None),
            ("other=th:8", &[], None),
            ("", &[("SampleRate", "20")], Some(20.0)),
            ("", &[("SampleRate", "-1")], None),
            (
                "",
                &[("sampler.type", "probabilistic"), ("sampler.param", "0.05")],
                Some(20.0),
            ),
            (
                "",
                &[("sampler.type", "ratelimiting"), ("sampler.param", "2")],
                None,
            ),
            (
                "",
                &[("sampling.priority", "2"), ("SampleRate", "20")],
                Some(1.0),
            ),
            (
                "ot=th:8",
                &[("sampling.priority", "1"), ("SampleRate", "20")],
                Some(2.0),
            ),
        ];
        for (trace_state, attributes, expected) in cases {
            let mut sampling = Sampling::default();
            for (key, value) in attributes {
                *sampling.place(key).unwrap() = Some(Cow::Borrowed(*value));
            }
            let weight = sampling.weight(trace_state);
            assert_eq!(weight, expected, "{trace_state} {attributes:?}");
        }
        assert!(Sampling::default().place("http.route").is_none());
    }
}
