//! Whose harm is it? Follows what an entity suffers down its dependencies to the causes at work.
//!
//! One unit of harm starts at each entity and is passed on to what it calls, as far as what they suffer
//! can account for it; a cause keeps what reaches it. What that leaves unexplained is passed on to who calls
//! the entity, whose retries are its work. Where two causes share their victims, this says
//! which of them a victim owes its trouble to: how many steps away a cause is says little about that.
//! The idea is that of blame flow in diagnosis, for many victims and few causes at once. Pure
//! arithmetic on the recent past of series; changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::causes::{Evidence, usual};
use crate::engine::diagnose::deviation::base_units;
use crate::engine::entities::EntityIx;
use crate::engine::traces::Flow;
use crate::model::{MetricRole, Time, Unit};

/// Harm is passed on at most this many times: a few turns of the longest circle of retries.
const ROUNDS_MAX: usize = 40;
/// … or until no share changes by more than this.
const SETTLED: f64 = 0.000_1;
/// How things are now is read off this long, in milliseconds.
const LATELY_MS: i64 = 60_000;
/// A smaller share of failing requests than this is life.
const FAILING_MIN: f64 = 0.004;
/// A smaller part of the usual time is life.
const SLOWER_MIN: f64 = 0.1;
/// This share of failing requests weighs as much as an answer that takes twice its usual time.
const FAILING_WEIGHT: f64 = 0.05;
/// Callers of what is this much slower begin to give up, in seconds.
const TIMEOUT_S: f64 = 1.0;
/// What slowness explains of failures, and failures of slowness.
const CROSS_SHARE: f64 = 0.5;
/// Of whose harm the dependencies explain less than this, the work it gets is asked for.
const EXPLAINED_MIN: f64 = 0.2;
/// What a caller counts for of whose calls none was traced lately.
const CALLS_MIN: f64 = 0.01;
/// Series of one entity looked at.
const SERIES_MAX: usize = 40;

/// What the requests to one entity suffer beyond what is usual.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Harm {
    /// Share of them that fail.
    failing: f64,
    /// Seconds that they take.
    slower_s: f64,
    /// The same as a part of the usual time.
    slower: f64,
}

/// How much of each entity's harm each cause explains, 0 to 1; in the order of the causes.
pub type Shares = BTreeMap<EntityIx, Vec<f64>>;

/// Follows the harm of `members` to `roots`, as things are at `now`; the trouble began at `began`.
pub fn shares(
    roots: &[EntityIx],
    members: &BTreeSet<EntityIx>,
    began: Time,
    now: Time,
    evidence: Evidence<'_>,
) -> Shares {
    let harm: BTreeMap<EntityIx, Harm> = members
        .iter()
        .map(|member| (*member, harm_of(*member, began, now, evidence)))
        .collect();
    let mut steps: BTreeMap<EntityIx, Vec<(EntityIx, f64)>> = members
        .iter()
        .filter(|member| !roots.contains(member))
        .map(|member| (*member, steps_of(*member, &harm, evidence)))
        .collect();
    let mut shares = follow(roots, &steps);
    for (member, steps) in &mut steps {
        let explained: f64 = steps.iter().map(|(_, share)| share).sum();
        steps.extend(work_of(*member, 1.0 - explained, members, now, evidence));
    }
    for (member, by_work) in follow(roots, &steps) {
        let known = shares.get(&member).into_iter().flatten();
        if known.sum::<f64>() < EXPLAINED_MIN {
            shares.insert(member, by_work);
        }
    }
    shares
}

/// What its dependencies leave unexplained comes with the work an entity gets: `rest` of its harm, by who
/// among `members` called it lately.
fn work_of(
    entity: EntityIx,
    rest: f64,
    members: &BTreeSet<EntityIx>,
    now: Time,
    evidence: Evidence<'_>,
) -> Vec<(EntityIx, f64)> {
    let lately = now.plus_ms(-LATELY_MS);
    let callers = evidence.topology.callers(entity).iter();
    let calls: Vec<(EntityIx, f64)> = callers
        .filter(|caller| members.contains(caller))
        .map(|caller| {
            let windows = evidence.traces.windows(Flow::Called(*caller, entity));
            let lately = windows.filter(|(at, _)| *at >= lately);
            (
                *caller,
                CALLS_MIN + lately.map(|(_, window)| window.calls).sum::<f64>(),
            )
        })
        .collect();
    let sum: f64 = calls.iter().map(|(_, calls)| calls).sum();
    let part = |(caller, calls)| (caller, rest.max(0.0) * calls / sum);
    calls.into_iter().map(part).collect()
}

/// What reaches each cause of one unit of harm that starts at each entity, given what each step passes on.
fn follow(roots: &[EntityIx], steps: &BTreeMap<EntityIx, Vec<(EntityIx, f64)>>) -> Shares {
    let mut known: Shares = roots
        .iter()
        .enumerate()
        .map(|(at, root)| (*root, unit(at, roots.len())))
        .collect();
    for _ in 0..ROUNDS_MAX {
        let mut next = known.clone();
        let mut moved = 0.0_f64;
        for (member, steps) in steps {
            let mut sum = vec![0.0; roots.len()];
            for (callee, share) in steps {
                for (sum, part) in sum.iter_mut().zip(known.get(callee).into_iter().flatten()) {
                    *sum += share * part;
                }
            }
            let before = known.get(member).into_iter().flatten();
            let changes = sum.iter().zip(before.chain(std::iter::repeat(&0.0)));
            moved = changes.fold(moved, |moved, (now, before)| {
                moved.max((now - before).abs())
            });
            next.insert(*member, sum);
        }
        known = next;
        if moved <= SETTLED {
            break;
        }
    }
    known
}

fn unit(at: usize, count: usize) -> Vec<f64> {
    (0..count).map(|i| f64::from(u8::from(i == at))).collect()
}

/// What of the harm of `entity` each of its dependencies accounts for; at most 1 together.
fn steps_of(
    entity: EntityIx,
    harm: &BTreeMap<EntityIx, Harm>,
    evidence: Evidence<'_>,
) -> Vec<(EntityIx, f64)> {
    let own = harm.get(&entity).copied().unwrap_or_default();
    let (lost, left): (Vec<EntityIx>, Vec<EntityIx>) = evidence
        .below(entity)
        .into_iter()
        .partition(|callee| evidence.conditions.is_lost(*callee));
    let mut steps: Vec<(EntityIx, f64)> = left
        .into_iter()
        .map(|callee| {
            (
                callee,
                harm.get(&callee).map_or(0.0, |harm| own.explained_by(harm)),
            )
        })
        .filter(|(_, share)| *share > 0.0)
        .collect();
    let sum: f64 = steps.iter().map(|(_, share)| share).sum();
    if sum > 1.0 {
        for (_, share) in &mut steps {
            *share /= sum;
        }
    }
    // What was lost hurts nobody by its numbers: it accounts for what nobody else does.
    let rest = (1.0 - sum).max(0.0) / lost.len().max(1) as f64;
    steps.extend(lost.into_iter().map(|callee| (callee, rest)));
    steps
}

impl Harm {
    /// The part of it that what a callee suffers accounts for, 0 to 1.
    fn explained_by(&self, callee: &Self) -> f64 {
        let failing = if self.failing > FAILING_MIN {
            let told = (callee.failing / self.failing).min(1.0);
            let gave_up = CROSS_SHARE * (callee.slower_s / TIMEOUT_S).min(1.0);
            told.max(gave_up)
        } else {
            0.0
        };
        let slower = if self.slower > SLOWER_MIN {
            let waited = (callee.slower_s / self.slower_s).min(1.0);
            let retried = CROSS_SHARE * callee.failing.min(1.0);
            waited.max(retried)
        } else {
            0.0
        };
        let by_failing = self.failing / FAILING_WEIGHT;
        let weight = by_failing + self.slower;
        if weight > 0.0 {
            (by_failing * failing + self.slower * slower) / weight
        } else {
            0.0
        }
    }
}

/// What requests to an entity suffer, by the means of its latencies and the worst of its failures.
fn harm_of(entity: EntityIx, began: Time, now: Time, evidence: Evidence<'_>) -> Harm {
    let mut harm = Harm::default();
    let mut slower = (0.0, 0.0, 0.0);
    let requests = lately_of(entity, MetricRole::Traffic, began, now, evidence)
        .into_iter()
        .map(|level| level.lately)
        .fold(0.0, f64::max);
    for level in lately_of(entity, MetricRole::Errors, began, now, evidence) {
        let worse = (level.lately - level.usual).max(0.0);
        let share = match level.unit {
            Unit::None | Unit::PerSecond if requests > 0.0 => worse / requests,
            Unit::None | Unit::PerSecond => 0.0,
            unit => worse * base_units(unit),
        };
        harm.failing = f64::max(harm.failing, share.min(1.0));
    }
    for level in lately_of(entity, MetricRole::Latency, began, now, evidence) {
        let worse = (level.lately - level.usual).max(0.0);
        slower.0 += worse * base_units(level.unit);
        slower.1 += worse / level.usual.max(f64::MIN_POSITIVE);
        slower.2 += 1.0;
    }
    if slower.2 > 0.0 {
        harm.slower_s = slower.0 / slower.2;
        harm.slower = slower.1 / slower.2;
    }
    harm
}

/// A series before the trouble, and of late.
struct Level {
    unit: Unit,
    usual: f64,
    lately: f64,
}

fn lately_of(
    entity: EntityIx,
    role: MetricRole,
    began: Time,
    now: Time,
    evidence: Evidence<'_>,
) -> Vec<Level> {
    evidence
        .intake
        .of_entity(entity)
        .iter()
        .take(SERIES_MAX)
        .map(|ix| evidence.intake.row(*ix))
        .filter(|row| row.role == role && row.is_judged())
        .filter_map(|row| {
            let points = evidence.intake.points(row);
            let from = now.plus_ms(-LATELY_MS).max(began);
            let (sum, count) = points
                .iter()
                .filter(|point| point.at >= from)
                .fold((0.0, 0.0), |(sum, count), point| {
                    (sum + f64::from(point.value), count + 1.0)
                });
            let usual = match usual(&points, began) {
                Some(usual) => usual,
                // Nothing fails, usually; how long things take is never nothing.
                None if role == MetricRole::Latency => return None,
                None => 0.0,
            };
            (count > 0.0).then(|| Level {
                unit: row.unit,
                usual,
                lately: sum / count,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harm_is_explained_by_what_a_callee_suffers() {
        let harm = |failing, slower_s, slower| Harm {
            failing,
            slower_s,
            slower,
        };
        let cases = [
            (
                "nothing hurts",
                harm(0.0, 0.0, 0.0),
                harm(0.5, 1.0, 9.0),
                0.0,
            ),
            (
                "half as much fails",
                harm(0.2, 0.0, 0.0),
                harm(0.1, 0.0, 0.0),
                0.5,
            ),
            (
                "more fails below",
                harm(0.1, 0.0, 0.0),
                harm(0.4, 0.0, 0.0),
                1.0,
            ),
            ("as slow", harm(0.0, 0.3, 2.0), harm(0.0, 0.3, 5.0), 1.0),
            (
                "callers gave up",
                harm(0.2, 0.0, 0.0),
                harm(0.0, 2.0, 9.0),
                0.5,
            ),
            (
                "another harm",
                harm(0.2, 0.0, 0.0),
                harm(0.0, 0.0, 0.0),
                0.0,
            ),
            // Twice the usual time weighs as much as one in twenty failing.
            (
                "one of two",
                harm(0.05, 0.1, 1.0),
                harm(0.05, 0.0, 0.0),
                0.5125,
            ),
        ];
        for (what, own, callee, expected) in cases {
            let share = own.explained_by(&callee);
            assert!((share - expected).abs() < 1e-9, "{what}: {share}");
        }
    }

    #[test]
    fn harm_flows_to_the_causes_through_who_has_none() {
        let [front, cart, search, base, index] = [0, 1, 2, 3, 4].map(EntityIx);
        let steps = BTreeMap::from([
            (front, vec![(cart, 0.75), (search, 0.25)]),
            (cart, vec![(base, 1.0)]),
            // A circle fades.
            (search, vec![(index, 0.5), (front, 0.5)]),
        ]);
        let shares = follow(&[base, index], &steps);
        let of = |entity: EntityIx| -> Vec<i64> {
            shares[&entity]
                .iter()
                .map(|share| (share * 1_000.0).round() as i64)
                .collect()
        };
        assert_eq!(of(base), [1_000, 0]);
        assert_eq!(of(cart), [1_000, 0]);
        assert_eq!(of(front), [857, 143]);
        assert_eq!(of(search), [429, 571]);
    }
}
