//! Whose harm is it? Follows what an entity suffers down its dependencies to the causes at work.
//!
//! One unit of harm starts at each entity and is passed on to what it calls, as far as what they suffer
//! can account for it; a cause keeps what reaches it. What that leaves unexplained is passed on to machines
//! that were lost, and to who calls the entity, whose retries are its work. Where two causes share their
//! victims, this says which of them a victim owes its trouble to: how many steps away a cause is says little
//! about that.
//! The idea is that of blame flow in diagnosis, for many victims and few causes at once. Pure
//! arithmetic on the recent past of series; changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::causes::{Evidence, usual};
use crate::engine::diagnose::deviation::base_units;
use crate::engine::entities::EntityIx;
use crate::engine::traces::Flow;
use crate::model::{EntityKind, MetricRole, Time, Unit};

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
/// Traced requests that count for one call each beside those seen.
const REQUESTS_SUPPOSED: f64 = 5.0;
/// Work this much above its usual is more work.
const BUSIER: f64 = 1.1;
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

/// What is known of one entity in trouble.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    harm: Harm,
    /// How many times its usual work it gets, at least 1.
    work: f64,
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
    let scene = Scene {
        troubles: members
            .iter()
            .map(|member| (*member, trouble_of(*member, began, now, evidence)))
            .collect(),
        now,
        evidence,
    };
    let steps = members
        .iter()
        .filter(|member| !roots.contains(member))
        .map(|member| (*member, scene.origins_of(*member)));
    follow(roots, &steps.collect())
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
            for (other, share) in steps {
                for (sum, part) in sum.iter_mut().zip(known.get(other).into_iter().flatten()) {
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

/// Everybody's trouble, and what tells whose it is.
struct Scene<'a> {
    troubles: BTreeMap<EntityIx, Trouble>,
    now: Time,
    evidence: Evidence<'a>,
}

impl Scene<'_> {
    /// Where the harm of an entity comes from, at most 1 together: what its dependencies suffer; what that
    /// leaves over comes of more work, or of less to do it with. Where it is neither, they account for the
    /// rest as well.
    fn origins_of(&self, entity: EntityIx) -> Vec<(EntityIx, f64)> {
        let trouble = self.troubles.get(&entity).copied().unwrap_or_default();
        let mut origins = self.explained_below(entity, trouble.harm);
        let explained: f64 = origins.iter().map(|(_, share)| share).sum();
        let rest = (1.0 - explained).max(0.0);
        let callers = self.callers_of(entity);
        let busier = if trouble.work >= BUSIER && !callers.is_empty() {
            trouble.work.ln()
        } else {
            0.0
        };
        let (lost, fewer) = self.lost_below(entity);
        if lost.is_empty() && busier == 0.0 {
            if explained >= EXPLAINED_MIN {
                for (_, share) in &mut origins {
                    *share /= explained;
                }
            }
            return origins;
        }
        let to_lost = if fewer.is_finite() {
            rest * fewer / (fewer + busier)
        } else {
            rest
        };
        let each = to_lost / lost.len().max(1) as f64;
        origins.extend(lost.into_iter().map(|host| (host, each)));
        let by_work = rest - to_lost;
        origins.extend(
            callers
                .into_iter()
                .map(|(caller, part)| (caller, by_work * part)),
        );
        origins
    }

    /// What of the harm of `entity` each of its dependencies accounts for; at most 1 together.
    fn explained_below(&self, entity: EntityIx, own: Harm) -> Vec<(EntityIx, f64)> {
        let below = self.evidence.below(entity).into_iter();
        let (callees, suffered): (Vec<EntityIx>, Vec<Harm>) = below
            .filter(|callee| !self.evidence.conditions.is_lost(*callee))
            .filter_map(|callee| {
                let calls = calls_per_request(entity, callee, self.evidence);
                Some((callee, self.troubles.get(&callee)?.harm.over(calls)))
            })
            .unzip();
        let shares = own.explained_by(&suffered);
        let shares = callees.into_iter().zip(shares);
        shares.filter(|(_, share)| *share > 0.0).collect()
    }

    /// What it depends on and is lost; and the logarithm of how many times as many there were before of
    /// the machines it runs on, infinite where none of something is left.
    fn lost_below(&self, entity: EntityIx) -> (Vec<EntityIx>, f64) {
        let is_host = |of: &EntityIx| self.evidence.entities.id(*of).kind() == EntityKind::Host;
        let (lost, left): (Vec<EntityIx>, Vec<EntityIx>) = self
            .evidence
            .below(entity)
            .into_iter()
            .partition(|callee| self.evidence.conditions.is_lost(*callee));
        let hosts_left = left.iter().filter(|callee| is_host(callee)).count();
        let hosts_lost = lost.iter().filter(|callee| is_host(callee)).count();
        let fewer = match (lost.len(), hosts_left) {
            (0, _) => 0.0,
            (all, 1..) if all == hosts_lost => {
                ((hosts_lost + hosts_left) as f64 / hosts_left as f64).ln()
            }
            _ => f64::INFINITY,
        };
        (lost, fewer)
    }

    /// Who among those in trouble an entity gets its work from, by the calls traced lately; 1 together.
    fn callers_of(&self, entity: EntityIx) -> Vec<(EntityIx, f64)> {
        let lately = self.now.plus_ms(-LATELY_MS);
        let callers = self.evidence.topology.callers(entity).iter();
        let calls: Vec<(EntityIx, f64)> = callers
            .filter(|caller| self.troubles.contains_key(caller))
            .map(|caller| {
                let windows = self.evidence.traces.windows(Flow::Called(*caller, entity));
                let lately = windows.filter(|(at, _)| *at >= lately);
                let calls: f64 = lately.map(|(_, window)| window.calls).sum();
                (*caller, CALLS_MIN + calls)
            })
            .collect();
        let sum: f64 = calls.iter().map(|(_, calls)| calls).sum();
        let part = |(caller, calls)| (caller, calls / sum);
        calls.into_iter().map(part).collect()
    }
}

/// How often one request to `entity` calls `callee`, by the traces of late; once, where none were seen.
fn calls_per_request(entity: EntityIx, callee: EntityIx, evidence: Evidence<'_>) -> f64 {
    let served = || evidence.traces.windows(Flow::Served(entity));
    let Some((from, _)) = served().next() else {
        return 1.0;
    };
    let requests: f64 = served().map(|(_, window)| window.calls).sum();
    let windows = evidence.traces.windows(Flow::Called(entity, callee));
    let calls: f64 = windows
        .filter(|(at, _)| *at >= from)
        .map(|(_, window)| window.calls)
        .sum();
    (calls + REQUESTS_SUPPOSED) / (requests + REQUESTS_SUPPOSED)
}

impl Harm {
    /// What it does to a request that meets it `calls` times.
    fn over(&self, calls: f64) -> Self {
        Self {
            failing: 1.0 - (1.0 - self.failing).powf(calls),
            slower_s: calls * self.slower_s,
            slower: self.slower,
        }
    }

    /// The part of it that what each callee suffers accounts for, 0 to 1 together. Failures explain
    /// failures, and waiting waiting; what that leaves over, failures may explain of waiting, and the
    /// other way around.
    fn explained_by(&self, callees: &[Self]) -> Vec<f64> {
        let part = |own: f64, least: f64, of: fn(&Self) -> f64, crosswise: fn(&Self) -> f64| {
            if own <= least {
                return vec![0.0; callees.len()];
            }
            let alike = callees.iter().map(|callee| (of(callee) / own).min(1.0));
            let alike = at_most(1.0, alike.collect());
            let rest = 1.0 - alike.iter().sum::<f64>();
            let across = callees.iter().map(|callee| CROSS_SHARE * crosswise(callee));
            let across = at_most(rest, across.collect());
            let both = alike.iter().zip(across);
            both.map(|(alike, across)| alike + across).collect()
        };
        let gave_up = |callee: &Self| (callee.slower_s / TIMEOUT_S).min(1.0);
        let failing = part(self.failing, FAILING_MIN, |harm| harm.failing, gave_up);
        let slower_min = self.slower_s * SLOWER_MIN / self.slower.max(f64::MIN_POSITIVE);
        let slower = part(
            self.slower_s,
            slower_min,
            |harm| harm.slower_s,
            |harm| harm.failing,
        );
        let by_failing = self.failing / FAILING_WEIGHT;
        let weight = (by_failing + self.slower).max(f64::MIN_POSITIVE);
        let both = failing.into_iter().zip(slower);
        both.map(|(failing, slower)| (by_failing * failing + self.slower * slower) / weight)
            .collect()
    }
}

/// Scaled down to this sum, if there is more.
fn at_most(most: f64, mut parts: Vec<f64>) -> Vec<f64> {
    let sum: f64 = parts.iter().sum();
    if sum > most {
        for part in &mut parts {
            *part *= most.max(0.0) / sum;
        }
    }
    parts
}

/// What requests to an entity suffer, by the means of its latencies and the worst of its failures; and the
/// work it gets.
fn trouble_of(entity: EntityIx, began: Time, now: Time, evidence: Evidence<'_>) -> Trouble {
    let mut harm = Harm::default();
    let mut slower = (0.0, 0.0, 0.0);
    let (mut requests, mut work) = (0.0_f64, 1.0_f64);
    for level in lately_of(entity, MetricRole::Traffic, began, now, evidence) {
        requests = requests.max(level.lately);
        if level.usual > 0.0 {
            work = work.max(level.lately / level.usual);
        }
    }
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
    Trouble { harm, work }
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
            let share = own.explained_by(&[callee])[0];
            assert!((share - expected).abs() < 1e-9, "{what}: {share}");
        }
    }

    #[test]
    fn failures_explain_failures_before_waiting_does() {
        let own = Harm {
            failing: 0.2,
            slower_s: 1.0,
            slower: 4.0,
        };
        let fails = Harm {
            failing: 0.2,
            ..Harm::default()
        };
        let is_slow = Harm {
            slower_s: 2.0,
            slower: 9.0,
            ..Harm::default()
        };
        let shares = own.explained_by(&[fails, is_slow]);
        // Failures and waiting weigh alike here, and each is explained by its like alone.
        assert_eq!(shares, [0.5, 0.5]);
    }

    #[test]
    fn a_callee_counts_as_often_as_it_is_called() {
        let callee = Harm {
            failing: 0.5,
            slower_s: 1.0,
            slower: 3.0,
        };
        let seldom = callee.over(0.2);
        assert!((seldom.slower_s - 0.2).abs() < 1e-9 && seldom.failing < 0.14);
        let twice = callee.over(2.0);
        assert!((twice.slower_s - 2.0).abs() < 1e-9 && (twice.failing - 0.75).abs() < 1e-9);
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
