//! Every shipped runbook fits telemetry as real exporters send it, and acts on what that telemetry names.

use std::sync::Arc;

use super::tests::{NOW, change_of, deploy_of, incident, labels, suspect};
use super::*;
use crate::config::{DeclaredEntity, EngineConfig, shipped_runbooks};
use crate::engine::Engine;
use crate::model::{
    Band, Batch, Check, Direction, Finding, FindingId, Input, MetricRole, Runbook, Sample, Series,
    SeriesKind, Signal, SourceId, Stamped, SuspectKind, Unit,
};

type Pairs = &'static [(&'static str, &'static str)];

/// The trouble a runbook is for.
struct Case {
    runbook: &'static str,
    /// The metric that is odd, and its labels as its exporter names them.
    metric: &'static str,
    labels: Pairs,
    /// What the team declares, because no exporter knows it.
    declared: Pairs,
    cause: SuspectKind,
    target: &'static str,
    /// The first step, in words.
    first: &'static str,
}

fn resource(metric: &str) -> SuspectKind {
    SuspectKind::Resource {
        metric: Box::from(metric),
    }
}

fn series(case: &Case) -> Series {
    Series::new(
        case.metric,
        labels(case.labels),
        SeriesKind::Gauge,
        Unit::None,
    )
}

/// An engine that has seen one sample of the case's series.
fn engine(case: &Case, runbooks: Vec<Runbook>) -> Engine {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let declared = DeclaredEntity {
        name: case.target.to_owned(),
        labels: case.declared.iter().map(owned).collect(),
        ..DeclaredEntity::default()
    };
    let config = EngineConfig {
        entities: vec![declared],
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(config, runbooks);
    let sample = Signal::Sample(Sample {
        series: Arc::new(series(case)),
        at: NOW,
        value: 1.0,
    });
    let input = Input::Signals(Batch {
        source: SourceId(Arc::from("prometheus")),
        signals: vec![sample],
    });
    let stamped = Stamped {
        seq: 1,
        at: NOW,
        input,
    };
    engine.step(&stamped, &mut Vec::new());
    engine
}

/// An incident about the case's target, whose finding is in the case's series.
fn trouble(case: &Case) -> Incident {
    let mut trouble = incident(vec![suspect(case.target, case.cause.clone(), 0.8)]);
    trouble.findings.push(Finding {
        id: FindingId(1),
        entity: EntityId::parse(case.target),
        callee: None,
        check: Check::LevelShift,
        series: Some(series(case).id),
        subject: Box::from(case.metric),
        role: MetricRole::Saturation,
        unit: Unit::None,
        since: NOW,
        last_seen: NOW,
        ended: None,
        expected: Band {
            low: 0.0,
            high: 1.0,
        },
        seen: 9.0,
        direction: Direction::Up,
        score: 9.0,
        pages: true,
        text: Box::from("9, expected 0 to 1"),
        explain: None,
        accepted: None,
    });
    trouble
}

const KUBE_STATE: (&str, &str) = ("job", "kube-state-metrics");

#[expect(clippy::too_many_lines, reason = "a flat table")]
fn cases() -> Vec<Case> {
    let ready = "kube_node_status_condition";
    let case = |runbook, (metric, labels), cause, target, first| Case {
        runbook,
        metric,
        labels,
        declared: &[],
        cause,
        target,
        first,
    };
    let declaring = |declared: Pairs, case: Case| Case { declared, ..case };
    vec![
        case(
            "cancel-long-postgres-queries",
            (
                "pg_stat_activity_count",
                &[
                    ("job", "postgres"),
                    ("datname", "shop"),
                    ("state", "active"),
                ],
            ),
            resource("pg_stat_activity_count"),
            "service/postgres",
            "psql --no-password --dbname=shop --set=ON_ERROR_STOP=1 --command=SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND datname = current_database() AND pid <> pg_backend_pid() AND now() - query_start > interval '5 minutes'",
        ),
        case(
            "clean-package-cache",
            (
                "node_filesystem_avail_bytes",
                &[
                    ("job", "node"),
                    ("instance", "web1:9100"),
                    ("mountpoint", "/"),
                ],
            ),
            resource("node_filesystem_avail_bytes"),
            "host/web1",
            "apt-get clean",
        ),
        case(
            "drain-kubernetes-node",
            (
                ready,
                &[
                    KUBE_STATE,
                    ("node", "n1"),
                    ("condition", "Ready"),
                    ("status", "true"),
                ],
            ),
            SuspectKind::InstanceLoss,
            "host/n1",
            "kubectl cordon n1",
        ),
        declaring(
            &[
                ("timer", "backup.timer"),
                ("unit", "backup.service"),
                ("host", "web1"),
            ],
            case(
                "pause-systemd-timer",
                (
                    "process_cpu_utilization",
                    &[("service.name", "backup"), ("host.name", "web1")],
                ),
                resource("process_cpu_utilization"),
                "service/backup",
                "systemctl stop backup.timer",
            ),
        ),
        case(
            "raise-pgbouncer-pool",
            (
                "pgbouncer_pools_client_waiting_connections",
                &[
                    ("job", "pgbouncer"),
                    ("database", "shop"),
                    ("instance", "pgb1:9127"),
                ],
            ),
            resource("pgbouncer_pools_client_waiting_connections"),
            "service/pgbouncer",
            "psql --no-psqlrc --no-password --host=pgbouncer --port=6432 --dbname=pgbouncer --command=SET default_pool_size = 40",
        ),
        case(
            "raise-redis-memory",
            (
                "redis_evicted_keys_total",
                &[("job", "redis"), ("instance", "redis://cache:6379")],
            ),
            resource("redis_evicted_keys_total"),
            "service/redis",
            "redis-cli -h redis -e CONFIG SET maxmemory 3gb",
        ),
        case(
            "replace-kubernetes-pod",
            (
                "kube_pod_container_status_restarts_total",
                &[
                    KUBE_STATE,
                    ("namespace", "shop"),
                    ("pod", "cart-1"),
                    ("container", "cart"),
                ],
            ),
            resource("kube_pod_container_status_restarts_total"),
            "service/cart",
            "kubectl --namespace=shop delete pod --wait=true --timeout=120s cart-1",
        ),
        case(
            "restart-container",
            (
                "container.memory.usage.total",
                &[("container.name", "cart"), ("host.name", "web1")],
            ),
            resource("container.memory.usage.total"),
            "host/web1",
            "docker container restart --time=10 cart",
        ),
        case(
            "restart-kubernetes-deployment",
            (
                "jvm_memory_used_bytes",
                &[
                    ("k8s.deployment.name", "cart"),
                    ("k8s.namespace.name", "shop"),
                ],
            ),
            resource("jvm_memory_used_bytes"),
            "service/cart",
            "kubectl --namespace=shop rollout restart deployment/cart",
        ),
        case(
            "restart-systemd-unit",
            (
                "process_open_fds",
                &[("systemd.unit", "nginx.service"), ("host.name", "web1")],
            ),
            resource("process_open_fds"),
            "service/nginx.service",
            "systemctl restart nginx.service",
        ),
        case(
            "rollback-kubernetes-deployment",
            (
                "http_server_errors",
                &[("deployment", "cart"), ("namespace", "shop")],
            ),
            deploy_of("cart"),
            "service/cart",
            "kubectl --namespace=shop rollout undo deployment/cart",
        ),
        case(
            "scale-kubernetes-deployment",
            (
                "http_requests_total",
                &[("deployment", "cart"), ("namespace", "shop")],
            ),
            SuspectKind::Traffic,
            "service/cart",
            "kubectl --namespace=shop scale deployment/cart --current-replicas=3 --replicas=6",
        ),
        declaring(
            &[
                ("patroni_cluster", "main"),
                ("patroni_leader", "db1"),
                ("patroni_candidate", "db2"),
            ],
            case(
                "switch-postgres-leader",
                ("pg_up", &[("datname", "shop")]),
                SuspectKind::InstanceLoss,
                "database/shop",
                "patronictl switchover --force --leader=db1 --candidate=db2 main",
            ),
        ),
        case(
            "vacuum-journal",
            (
                "node_filesystem_avail_bytes",
                &[
                    ("job", "node"),
                    ("instance", "web1:9100"),
                    ("mountpoint", "/"),
                ],
            ),
            resource("node_filesystem_avail_bytes"),
            "host/web1",
            "journalctl --rotate",
        ),
    ]
}

#[test]
fn every_shipped_runbook_fits_real_telemetry() {
    let shipped = shipped_runbooks();
    let cases = cases();
    let tried: Vec<&str> = cases.iter().map(|case| case.runbook).collect();
    let names: Vec<&str> = shipped.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(tried, names, "every shipped runbook has its case");
    for (case, runbook) in cases.iter().zip(&shipped) {
        let mut engine = engine(case, shipped.clone());
        let incident = trouble(case);
        let first = engine.with_plans(|_, world| {
            let around = Surroundings {
                labels: world.labels,
                change: &change_of,
                record: &|_, _| (0, 0),
            };
            let only = std::slice::from_ref(runbook);
            let found = candidates(only, &incident, around);
            let fits = found.first()?;
            let policy = PolicyConfig::default();
            let plan = plan(PlanId(1), NOW, &policy, &incident, fits, around);
            Some(plan.map(|plan| plan.steps[0].argv.join(" ")))
        });
        assert_eq!(first, Some(Ok(case.first.to_owned())), "{}", case.runbook);
    }
}
