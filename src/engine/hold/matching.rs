//! Which of many lists of matchers fit an alert, without trying each.
//!
//! A list is found by the value of one label it demands; only lists that demand no exact value are
//! tried on every alert. Never says more than "may fit": the caller asks the matchers themselves.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::model::{FilterSign, LabelFilter, Labels};

/// Lists of matchers by the value they demand of one label.
#[derive(Debug, Default)]
pub struct MatchIndex {
    by_label: BTreeMap<Box<str>, FxHashMap<Box<str>, Vec<u64>>>,
    others: Vec<u64>,
}

impl MatchIndex {
    /// Adds a list under a key of the caller's.
    pub fn add(&mut self, key: u64, matchers: &[LabelFilter]) {
        let demanded = matchers
            .iter()
            .find(|matcher| matcher.operator == FilterSign::Is && !matcher.value.is_empty());
        match demanded {
            Some(matcher) => self
                .by_label
                .entry(matcher.name.as_str().into())
                .or_default()
                .entry(matcher.value.as_str().into())
                .or_default()
                .push(key),
            None => self.others.push(key),
        }
    }

    /// Keys of the lists that may fit.
    pub fn candidates<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = u64> + 'a {
        let named = self
            .by_label
            .iter()
            .filter_map(move |(label, by_value)| by_value.get(labels.get(label)?));
        named.flatten().chain(&self.others).copied()
    }
}

/// Whether every matcher fits.
pub fn all_fit(matchers: &[LabelFilter], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.fits(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_that_may_fit_are_named() {
        let mut index = MatchIndex::default();
        for (key, text) in (0..).zip([
            r#"service="cart""#,
            r#"service="cart",env!="prod""#,
            r#"service="pay""#,
            r#"pod=~"cart-.*""#,
            r#"env="",service="cart""#,
        ]) {
            index.add(key, &LabelFilter::parse_all(text).unwrap());
        }
        let named = |pairs: &[(&str, &str)]| {
            let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
            index.candidates(&labels).collect::<Vec<_>>()
        };
        assert_eq!(named(&[("service", "cart")]), [0, 1, 4, 3]);
        assert_eq!(named(&[("service", "pay")]), [2, 3]);
        assert_eq!(named(&[]), [3]);
    }
}
