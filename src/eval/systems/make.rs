//! Simulated systems with one fault of known root: services calling each other, minute by minute.
//!
//! Seeded. Knows nothing of the engine; `observe` turns what happened here into what an engine would see.

use crate::sim::Noise;

/// Rows of quiet history.
pub const QUIET_ROWS: usize = 300;
/// External services at the end of the list: they call nobody.
const EXTERNALS: usize = 4;
/// A service calls others at most this far down the list.
const CALL_REACH: usize = 14;
/// Requests per row at the entry.
const ENTRY_REQUESTS: f64 = 600.0;

/// A call from one service to another.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The callee.
    pub to: usize,
    /// Calls per request of the caller.
    pub per_request: f64,
    /// Share of the callee's failures that fail the caller.
    pub passes_failure: f64,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its own time per request, in seconds.
    pub own_s: f64,
    /// Spread of that time's logarithm.
    pub sigma: f64,
    /// Its own share of failures.
    pub own_errors: f64,
    /// Whom it calls.
    pub calls: Vec<Call>,
    /// Whether it is somebody else's.
    pub external: bool,
}

/// What was broken, where.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The root.
    pub root: usize,
    /// Seconds added to its own time.
    pub slow_s: f64,
    /// Share of failures added.
    pub errors: f64,
    /// First row of the window it is active in.
    pub from_row: usize,
    /// Row after the last one.
    pub to_row: usize,
}

/// A system and what happened to it: one value per service and row, history first.
#[derive(Clone, Debug)]
pub struct World {
    /// The services.
    pub services: Vec<Service>,
    /// The fault.
    pub fault: Fault,
    /// Rows of the incident's window.
    pub window: usize,
    /// Seconds per request.
    pub latency_s: Vec<Vec<f64>>,
    /// Failed share.
    pub errors: Vec<Vec<f64>>,
    /// Requests.
    pub requests: Vec<Vec<f64>>,
    /// Own seconds per request.
    pub own_s: Vec<Vec<f64>>,
    /// Own failed share.
    pub own_errors: Vec<Vec<f64>>,
}

impl World {
    /// Makes a system of `count` services and plays it.
    pub fn make(count: usize, noise: &mut Noise) -> Self {
        let services = services(count, noise);
        let window = 5 + noise.below(8);
        let fault = fault(&services, window, noise);
        let rows = QUIET_ROWS + window;
        let blank = || vec![vec![0.0; rows]; count];
        let mut world = Self {
            services,
            fault,
            window,
            latency_s: blank(),
            errors: blank(),
            requests: blank(),
            own_s: blank(),
            own_errors: blank(),
        };
        // Today differs a little from the days the baseline was learned on, and one service is odd by chance.
        let drift: Vec<f64> = (0..count).map(|_| 1.0 + 0.06 * noise.normal()).collect();
        let odd = noise.below(count);
        for row in 0..rows {
            world.route(row, noise);
            world.serve(row, &drift, odd, noise);
        }
        world
    }

    /// Whether the fault is active in a row.
    pub fn is_faulty(&self, row: usize) -> bool {
        row >= QUIET_ROWS + self.fault.from_row && row < QUIET_ROWS + self.fault.to_row
    }

    /// Services from which the root can be reached, the root included.
    pub fn upstream(&self) -> Vec<bool> {
        let mut reaches = vec![false; self.services.len()];
        reaches[self.fault.root] = true;
        // Callees stand later in the list than their callers.
        for at in (0..self.services.len()).rev() {
            if self.services[at].calls.iter().any(|call| reaches[call.to]) {
                reaches[at] = true;
            }
        }
        reaches
    }

    /// Sends a row's requests down the calls; callers retry what fails.
    fn route(&mut self, row: usize, noise: &mut Noise) {
        let season = 1.0 + 0.4 * (row as f64 * std::f64::consts::TAU / 288.0).sin();
        self.requests[0][row] = (ENTRY_REQUESTS * season * (1.0 + 0.03 * noise.normal())).max(10.0);
        for at in 0..self.services.len() {
            let arrived = self.requests[at][row];
            for call in self.services[at].calls.clone() {
                let failing = if self.is_faulty(row) && call.to == self.fault.root {
                    self.fault.errors
                } else {
                    0.0
                };
                let sent =
                    arrived * call.per_request * (1.0 + 0.02 * noise.normal()) * (1.0 + failing);
                self.requests[call.to][row] += sent.max(0.0);
            }
        }
    }

    /// Answers a row's requests, callees first.
    fn serve(&mut self, row: usize, drift: &[f64], odd: usize, noise: &mut Noise) {
        for at in (0..self.services.len()).rev() {
            let service = &self.services[at];
            let today = row >= QUIET_ROWS;
            let mut own_s =
                service.own_s * noise.factor(service.sigma) * if today { drift[at] } else { 1.0 };
            let mut own_errors = service.own_errors * noise.between(0.0, 2.0);
            if noise.chance(0.01) {
                own_s *= noise.between(1.5, 4.0);
            }
            if noise.chance(0.01) {
                own_errors += noise.between(0.0, 0.01);
            }
            if today && at == odd && at != self.fault.root {
                own_s *= 1.6;
            }
            if at == self.fault.root && self.is_faulty(row) {
                own_s += self.fault.slow_s * (1.0 + 0.2 * noise.normal()).max(0.3);
                own_errors += self.fault.errors * (1.0 + 0.2 * noise.normal()).max(0.2);
            }
            let mut latency_s = own_s;
            let mut works = 1.0 - own_errors.min(0.95);
            for call in &service.calls {
                latency_s += call.per_request * self.latency_s[call.to][row];
                works *= 1.0
                    - self.errors[call.to][row] * call.passes_failure * call.per_request.min(1.0);
            }
            self.own_s[at][row] = own_s;
            self.own_errors[at][row] = own_errors;
            self.latency_s[at][row] = latency_s;
            self.errors[at][row] = counted(1.0 - works, self.requests[at][row], noise);
        }
    }
}

/// A share as it is seen in a finite number of requests.
pub fn counted(share: f64, requests: f64, noise: &mut Noise) -> f64 {
    let spread = (share * (1.0 - share) / requests.max(1.0)).max(0.0).sqrt();
    (share + spread * noise.normal()).clamp(0.0, 1.0)
}

fn services(count: usize, noise: &mut Noise) -> Vec<Service> {
    let mut services: Vec<Service> = (0..count)
        .map(|at| Service {
            own_s: noise.between(0.002_f64.ln(), 0.08_f64.ln()).exp(),
            sigma: noise.between(0.03, 0.2),
            own_errors: if noise.chance(0.5) {
                0.0
            } else {
                noise.between(0.0, 0.003)
            },
            calls: Vec::new(),
            external: at + EXTERNALS >= count,
        })
        .collect();
    for at in 0..count.saturating_sub(EXTERNALS) {
        let calls = if at == 0 {
            4
        } else {
            noise.below(4) + usize::from(at < count / 2)
        };
        for _ in 0..calls {
            let to = at + 1 + noise.below((count - at - 1).min(CALL_REACH));
            connect(&mut services, at, to, noise);
        }
    }
    // Nobody is left without a caller.
    for to in 1..count {
        if !services
            .iter()
            .any(|service| service.calls.iter().any(|call| call.to == to))
        {
            let low = to.saturating_sub(CALL_REACH);
            let from = low + noise.below(to - low);
            let from = if services[from].external { 0 } else { from };
            connect(&mut services, from, to, noise);
        }
    }
    services
}

fn connect(services: &mut [Service], from: usize, to: usize, noise: &mut Noise) {
    let per_request = noise.between(0.3, 2.0);
    let passes_failure = if noise.chance(0.7) {
        noise.between(0.5, 1.0)
    } else {
        noise.between(0.0, 0.3)
    };
    if services[from].calls.iter().all(|call| call.to != to) {
        services[from].calls.push(Call {
            to,
            per_request,
            passes_failure,
        });
    }
}

fn fault(services: &[Service], window: usize, noise: &mut Noise) -> Fault {
    let root = noise.below(services.len());
    let kind = noise.below(3);
    let slow_s = services[root].own_s * noise.between(1.0, 12.0) + noise.between(0.01, 0.3);
    let errors = noise.between(0.02, 0.4);
    Fault {
        root,
        slow_s: if kind == 1 { 0.0 } else { slow_s },
        errors: if kind == 0 { 0.0 } else { errors },
        from_row: 1 + noise.below(3),
        to_row: window - noise.below(2),
    }
}
