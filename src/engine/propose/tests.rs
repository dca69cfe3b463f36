//! What runbooks are proposed, and how they are rendered.

use std::collections::BTreeMap;

use super::*;
use crate::model::{
    ChangeKind, Diagnosis, EntityKind, Evidence, IncidentId, MatchRule, Risk, RunbookParameter,
    RunbookStep, Severity, VerifyRule,
};

pub(in crate::engine) const NOW: Time = Time::from_secs(10_000);

/// A runbook that rolls back a deploy of a service.
pub(in crate::engine) fn runbook(name: &str, rule: MatchRule) -> Runbook {
    let parameter = |from: &str| RunbookParameter {
        from: Some(from.to_owned()),
        default: None,
    };
    Runbook {
        name: name.to_owned(),
        title: "Roll {entity} back to {previous}".to_owned(),
        description: "Takes the latest deploy back.".to_owned(),
        risk: Risk::Medium,
        approvals: None,
        rules: vec![rule],
        parameters: BTreeMap::from([
            ("previous".to_owned(), parameter("change.previous_version")),
            (
                "namespace".to_owned(),
                parameter("namespace|k8s.namespace.name"),
            ),
        ]),
        preconditions: Vec::new(),
        steps: vec![RunbookStep {
            title: "Roll back".to_owned(),
            executor: ExecutorKind::Command,
            argv: [
                "roll",
                "--to={previous}",
                "-n",
                "{namespace}",
                "deploy/{entity}",
            ]
            .map(str::to_owned)
            .to_vec(),
            timeout_s: 30,
            rollback: Some(vec!["roll".to_owned(), "forward".to_owned()]),
        }],
        verify: VerifyRule {
            recover_within_s: 120,
            argv: None,
        },
    }
}

pub(in crate::engine) fn suspect(name: &str, cause: SuspectKind, confidence: f32) -> Hypothesis {
    Hypothesis {
        suspect: EntityId::parse(name),
        cause,
        role: SuspectRole::Trigger,
        confidence,
        limit: 0.97,
        evidence_for: vec![Evidence {
            text: Box::from("deploy v2 one minute before onset"),
            weight: 0.8,
            method: None,
        }],
        evidence_against: Vec::new(),
    }
}

pub(in crate::engine) fn deploy_of(name: &str) -> SuspectKind {
    SuspectKind::Change {
        id: Box::from(format!("deploy-{name}")),
        title: Box::from("v2"),
        at: NOW.plus_ms(-60_000),
    }
}

pub(in crate::engine) fn incident(hypotheses: Vec<Hypothesis>) -> Incident {
    Incident {
        severity: Severity::Error,
        title: Box::from("gateway errors"),
        diagnosis: Diagnosis {
            hypotheses,
            ..Diagnosis::default()
        },
        ..Incident::opened(IncidentId(4), EntityId::parse("gateway"), NOW, NOW)
    }
}

pub(in crate::engine) fn change_of(entity: &EntityId, id: Option<&str>) -> Option<Change> {
    // Nobody deploys databases here, so that a plan for one has no version to go back to.
    (entity.kind() == EntityKind::Service).then(|| Change {
        id: Box::from(id.unwrap_or("latest")),
        at: NOW.plus_ms(-60_000),
        kind: ChangeKind::Deploy,
        entity: entity.clone(),
        title: Box::from("v2"),
        version: Some(Box::from("v2")),
        previous_version: Some(Box::from("v1")),
        by: None,
        labels: Labels::empty(),
    })
}

pub(in crate::engine) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

/// Renders the first candidate for `checkout` with the given labels.
fn render(runbook: &Runbook, of_entity: &[(&str, &str)]) -> Result<Plan, RenderError> {
    let labels = |_: &Incident, _: &EntityId| labels(of_entity);
    let around = Surroundings {
        labels: &labels,
        change: &change_of,
        record: &|_, _| (4, 3),
    };
    let incident = incident(vec![suspect("checkout", deploy_of("checkout"), 0.8)]);
    let runbooks = [runbook.clone()];
    let found = candidates(&runbooks, &incident, around);
    plan(
        PlanId(9),
        NOW,
        &PolicyConfig::default(),
        &incident,
        &found[0],
        around,
    )
}

/// A plan for `target`, verified by the gateway.
pub(in crate::engine) fn planned(target: &str) -> Plan {
    let rule = MatchRule::default();
    let plan = render(&runbook("back", rule), &[("k8s.namespace.name", "shop")]);
    Plan {
        target: EntityId::parse(target),
        state: PlanState::Verifying { until: NOW },
        ..plan.expect("it renders")
    }
}

#[test]
fn fills_one_argument_at_a_time() {
    let rule = MatchRule {
        cause: Some("change".to_owned()),
        change: Some("deploy".to_owned()),
        entity: Some(EntityKind::Service),
        ..MatchRule::default()
    };
    let plan = render(&runbook("back", rule), &[("k8s.namespace.name", "shop")]).unwrap();
    assert_eq!(
        *plan.steps[0].argv,
        ["roll", "--to=v1", "-n", "shop", "deploy/checkout"].map(Box::from)
    );
    assert_eq!(&*plan.title, "Roll checkout back to v1");
    assert_eq!(plan.verify.watch, EntityId::parse("gateway"));
    assert_eq!(
        plan.because,
        [
            "service/checkout is suspected (80 %): a change, v2",
            "deploy v2 one minute before onset",
            "it fits: the cause is a change, the change is a deploy, it is a service",
            "helped 3 of 4 times on service/checkout",
        ]
        .map(Box::from)
    );
}

#[test]
fn hostile_values_are_refused() {
    let any = || runbook("back", MatchRule::default());
    let cases = [
        ("-oProxyCommand=x", "looks like an option"),
        ("a b", "has characters that names do not have"),
        ("a\nb", "has characters that names do not have"),
        ("a,b!=c", "has characters that names do not have"),
        ("$(reboot)", "has characters that names do not have"),
        ("\u{202e}x", "has characters that names do not have"),
        ("a/../../etc", "is a path upwards"),
    ];
    for (value, reason) in cases {
        match render(&any(), &[("namespace", value)]) {
            Err(RenderError::Unsafe { why, .. }) => assert_eq!(why, reason, "{value:?}"),
            other => panic!("{value:?} gave {other:?}"),
        }
    }
    let long = "x".repeat(VALUE_TOO_LONG);
    let refused = render(&any(), &[("namespace", &long)]);
    assert!(matches!(
        refused,
        Err(RenderError::Unsafe {
            why: "is too long",
            ..
        })
    ));
    assert!(matches!(
        render(&any(), &[]),
        Err(RenderError::NoValue { .. })
    ));
}

const VALUE_TOO_LONG: usize = render::VALUE_BYTES_MAX + 1;

#[test]
fn a_value_cannot_bring_in_a_placeholder() {
    // Braces are refused in telemetry, and a default is not looked at again.
    let mut own = runbook("back", MatchRule::default());
    let namespace = own.parameters.get_mut("namespace").unwrap();
    namespace.from = None;
    namespace.default = Some("{previous}".to_owned());
    let plan = render(&own, &[]).unwrap();
    assert_eq!(&*plan.steps[0].argv[3], "{previous}");
}

#[test]
fn a_value_that_is_only_the_runbooks_is_said_to_be() {
    let mut own = runbook("back", MatchRule::default());
    let namespace = own.parameters.get_mut("namespace").unwrap();
    namespace.default = Some("default".to_owned());
    let plan = render(&own, &[]).unwrap();
    let said = "not measured: namespace = default is written in the runbook, for namespace or \
                k8s.namespace.name is not known of service/checkout";
    assert_eq!(plan.assumed().collect::<Vec<_>>(), [said]);
    assert!(plan.reasons().all(|reason| reason != said));
    let plan = render(&own, &[("namespace", "shop")]).unwrap();
    assert_eq!(plan.assumed().count(), 0, "{:?}", plan.because);
}

#[test]
fn every_condition_of_a_rule_must_hold() {
    let rule = |edit: &dyn Fn(&mut MatchRule)| {
        let mut rule = MatchRule::default();
        edit(&mut rule);
        runbook("r", rule)
    };
    let cases: [(Runbook, bool); 9] = [
        (rule(&|_| {}), true),
        (rule(&|r| r.cause = Some("change".to_owned())), true),
        (rule(&|r| r.cause = Some("resource".to_owned())), false),
        (rule(&|r| r.change = Some("config".to_owned())), false),
        (rule(&|r| r.subject = vec!["pool".to_owned()]), false),
        (rule(&|r| r.entity = Some(EntityKind::Host)), false),
        (
            rule(&|r| r.role = Some(crate::model::MetricRole::Errors)),
            false,
        ),
        (
            rule(&|r| r.labels = BTreeMap::from([("a".to_owned(), "*".to_owned())])),
            true,
        ),
        (
            rule(&|r| r.labels = BTreeMap::from([("a".to_owned(), "c".to_owned())])),
            false,
        ),
    ];
    let incident = incident(vec![suspect("checkout", deploy_of("checkout"), 0.8)]);
    let of_entity = |_: &Incident, _: &EntityId| labels(&[("a", "b")]);
    let around = Surroundings {
        labels: &of_entity,
        change: &change_of,
        record: &|_, _| (0, 0),
    };
    for (runbook, fits) in cases {
        let runbooks = [runbook];
        let found = candidates(&runbooks, &incident, around);
        assert_eq!(!found.is_empty(), fits, "{:?}", runbooks[0].rules);
    }
}

#[test]
fn a_person_may_choose_what_is_for_that_kind_of_entity() {
    let of_host = MatchRule {
        entity: Some(EntityKind::Host),
        ..MatchRule::default()
    };
    let no_rules = Runbook {
        rules: Vec::new(),
        ..runbook("by-hand", MatchRule::default())
    };
    let incident = incident(Vec::new());
    let cases = [
        (runbook("any", MatchRule::default()), None),
        (no_rules, None),
        (runbook("hosts", of_host), Some("it is not for a service")),
    ];
    let target = EntityId::parse("checkout");
    for (runbook, refused) in cases {
        let answer = chosen(&runbook, &incident, &target);
        assert_eq!(answer.err().as_deref(), refused, "{}", runbook.name);
    }
}

#[test]
fn confidence_fit_and_record_order_the_candidates() {
    let close = MatchRule {
        cause: Some("change".to_owned()),
        ..MatchRule::default()
    };
    let runbooks = [
        runbook("failed-often", close.clone()),
        runbook("loose", MatchRule::default()),
        runbook("close", close),
    ];
    let incident = incident(vec![
        suspect("checkout", deploy_of("checkout"), 0.6),
        suspect("cart", SuspectKind::Unknown, 0.3),
        suspect("noise", SuspectKind::Unknown, 0.05),
    ]);
    let none = |_: &Incident, _: &EntityId| Labels::empty();
    let record = |runbook: &str, _: &EntityId| match runbook {
        "failed-often" => (5, 0),
        _ => (0, 0),
    };
    let around = Surroundings {
        labels: &none,
        change: &change_of,
        record: &record,
    };
    let order: Vec<(&str, &str)> = candidates(&runbooks, &incident, around)
        .iter()
        .map(|c| (c.runbook.name.as_str(), c.target.name()))
        .collect();
    assert_eq!(
        order,
        [
            ("close", "checkout"),
            ("loose", "checkout"),
            ("failed-often", "checkout"),
            ("loose", "cart"),
        ]
    );
}

#[test]
fn the_digest_binds_everything_shown() {
    let plan = render(
        &runbook("back", MatchRule::default()),
        &[("namespace", "shop")],
    )
    .unwrap();
    assert_eq!(*plan.digest, *digest(&plan));
    let edits: [&dyn Fn(&mut Plan); 12] = [
        &|p| p.id = PlanId(10),
        &|p| p.incident = IncidentId(5),
        &|p| p.runbook = Box::from("other"),
        &|p| p.title = Box::from("other"),
        &|p| p.target = EntityId::parse("cart"),
        &|p| p.risk = Risk::Low,
        &|p| p.because[0] = Box::from("other"),
        &|p| p.steps[0].argv[1] = Box::from("--to=v0"),
        &|p| p.steps[0].argv.push(Box::from("x")),
        &|p| p.rollback[0] = None,
        &|p| p.verify.watch = EntityId::parse("cart"),
        &|p| p.steps[0].timeout_ms += 1,
    ];
    for (n, edit) in edits.iter().enumerate() {
        let mut edited = plan.clone();
        edit(&mut edited);
        assert_ne!(digest(&edited), *plan.digest, "edit {n} is not bound");
    }
    // Moving text between arguments changes the digest although the joined text is the same.
    let mut moved = plan.clone();
    moved.steps[0].argv = vec![Box::from("ro"), Box::from("ll")];
    let mut joined = plan;
    joined.steps[0].argv = vec![Box::from("rol"), Box::from("l")];
    assert_ne!(digest(&moved), digest(&joined));
}

#[test]
fn every_shipped_runbook_renders() {
    use crate::config::{demo_runbooks, shipped_runbooks};
    let mut names = std::collections::BTreeSet::new();
    let runbooks: Vec<Runbook> = shipped_runbooks()
        .into_iter()
        .chain(demo_runbooks())
        .collect();
    for parameter in runbooks
        .iter()
        .flat_map(|runbook| runbook.parameters.values())
    {
        names.extend(parameter.from.iter().flat_map(|from| from.split('|')));
    }
    let pairs: Vec<(&str, &str)> = names.iter().map(|name| (*name, "x1")).collect();
    let of_entity = |_: &Incident, _: &EntityId| labels(&pairs);
    let around = Surroundings {
        labels: &of_entity,
        change: &change_of,
        record: &|_, _| (0, 0),
    };
    let incident = incident(Vec::new());
    let policy = PolicyConfig::default();
    for runbook in &runbooks {
        let kind = runbook.rules.iter().find_map(|rule| rule.entity);
        let target = EntityId::new(kind.unwrap_or(EntityKind::Service), "x1");
        let candidate = chosen(runbook, &incident, &target).unwrap();
        let plan = plan(PlanId(1), NOW, &policy, &incident, &candidate, around).unwrap();
        let undo = plan.rollback.iter().flatten();
        let mut actions = plan.preconditions.iter().chain(&plan.steps).chain(undo);
        let left = |argument: &str| crate::model::next_placeholder(argument).is_some();
        assert!(
            !actions.any(|action| action.argv.iter().any(|argument| left(argument))),
            "{plan:?}"
        );
        assert_eq!(plan.steps.len(), plan.rollback.len());
    }
}
