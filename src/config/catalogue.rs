//! Backstage catalogue files: components and resources become entities and dependencies.
//!
//! It never reads a file; whoever does passes the text and the name to blame. What the config file says
//! of an entity goes before what a catalogue says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use thiserror::Error;

use super::{DeclaredEdge, DeclaredEntity, EngineConfig};
use crate::model::{EntityId, EntityKind};

/// Most documents of one file; a catalogue of thousands is split into files, each beside its code.
const DOCUMENTS_MAX: usize = 1_000;
/// Documents of one file refused, each by name; with more, it is no catalogue.
const REFUSED_MAX: usize = 10;
/// The annotation with other names of an entity, separated by commas.
const ALIASES: &str = "stormglass/aliases";
/// The name that Kubernetes' telemetry has for an entity.
const KUBERNETES_ID: &str = "backstage.io/kubernetes-id";
/// The least important tier.
const TIER_MAX: u8 = 4;

/// What a file gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Documents taken.
    pub taken: usize,
    /// Documents left out, and why. The others count.
    pub refused: Vec<CatalogueError>,
}

/// Why a document, or a whole file, is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CatalogueError {
    /// A document is not the YAML of a catalogue; the text says where.
    #[error("{file}:{line}: this document is left out: {what}")]
    Syntax {
        /// Which file.
        file: String,
        /// The line it begins in.
        line: usize,
        /// What is wrong, and where.
        what: String,
    },
    /// Most of it is no catalogue.
    #[error(
        "{file}: {REFUSED_MAX} documents are none of a catalogue: the rest of the file is left out"
    )]
    NoCatalogue {
        /// Which file.
        file: String,
    },
    /// It has more documents than anybody would write by hand.
    #[error("{file}: more than {DOCUMENTS_MAX} documents: split it")]
    TooLong {
        /// Which file.
        file: String,
    },
}

/// What catalogue files say, gathered before it is joined with the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    entities: Vec<DeclaredEntity>,
    /// Entities by what others refer to them as, `kind:name`.
    named: BTreeMap<String, String>,
    /// Who depends on what: an entity, and a reference that another file may explain.
    depends: Vec<(String, String)>,
    /// Who provides an API, by its name.
    provides: BTreeMap<String, String>,
    /// Who uses an API: user and name of the API.
    consumes: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Debug, Deserialize)]
struct Link {
    url: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "type")]
    kind: String,
    owner: Option<String>,
    depends_on: Vec<String>,
    provides_apis: Vec<String>,
    consumes_apis: Vec<String>,
}

impl Catalogue {
    /// Takes the text of one file, which may hold several documents; `file` is the name used in messages.
    /// Documents that are neither a component nor a resource are left out: people, systems and APIs are
    /// not watched. One that cannot be read costs itself only.
    pub fn add(&mut self, text: &str, file: &str) -> Added {
        let named = || file.to_owned();
        let mut added = Added::default();
        let pieces = documents(text);
        if pieces.len() > DOCUMENTS_MAX {
            added
                .refused
                .push(CatalogueError::TooLong { file: named() });
            return added;
        }
        for (line, piece) in pieces {
            // What is wrong is told by its line in the file.
            let padded = "\n".repeat(line - 1) + piece;
            match serde_saphyr::from_multiple::<Document>(&padded) {
                Ok(read) => added.taken += read.iter().filter(|read| self.take(read)).count(),
                Err(error) => added.refused.push(CatalogueError::Syntax {
                    file: named(),
                    line,
                    what: first_line(&error.to_string()),
                }),
            }
            if added.refused.len() >= REFUSED_MAX {
                added
                    .refused
                    .push(CatalogueError::NoCatalogue { file: named() });
                break;
            }
        }
        added
    }

    fn take(&mut self, document: &Document) -> bool {
        let Some(id) = id_of(&document.kind, &document.spec.kind, &document.metadata.name) else {
            return false;
        };
        let name = id.as_str().to_owned();
        let spec = &document.spec;
        let own = format!("{}:{}", document.kind, document.metadata.name);
        self.named.insert(reference(&own), name.clone());
        let callees = spec.depends_on.iter().cloned();
        self.depends.extend(callees.map(|to| (name.clone(), to)));
        let api = |reference: &String| bare(reference).to_lowercase();
        let provided = spec.provides_apis.iter().map(api);
        self.provides
            .extend(provided.map(|api| (api, name.clone())));
        let consumed = spec.consumes_apis.iter().map(api);
        self.consumes
            .extend(consumed.map(|api| (name.clone(), api)));
        self.entities.push(declared(name, document));
        true
    }

    /// Joins what the files say with what the config says. An entity that the config declares, under this
    /// name or as an alias, is the config's; so is one that an earlier file declared.
    pub fn join(self, config: &mut EngineConfig) {
        let names = |entity: &DeclaredEntity| -> Vec<EntityId> {
            let all = std::iter::once(&entity.name).chain(&entity.aliases);
            all.map(|name| EntityId::parse(name)).collect()
        };
        let mut known: BTreeSet<EntityId> = config.entities.iter().flat_map(names).collect();
        for mut entity in self.entities {
            if !known.insert(EntityId::parse(&entity.name)) {
                continue;
            }
            entity
                .aliases
                .retain(|alias| known.insert(EntityId::parse(alias)));
            config.entities.push(entity);
        }
        let explained = &self.named;
        let depends = self.depends.into_iter().filter_map(|(from, to)| {
            let known = explained.get(&reference(&to)).cloned();
            let to = known.or_else(|| outside(&to))?;
            Some(DeclaredEdge { from, to })
        });
        let consumes = self.consumes.into_iter().filter_map(|(from, api)| {
            let to = self.provides.get(&api)?.clone();
            Some(DeclaredEdge { from, to })
        });
        let pair = |edge: &DeclaredEdge| (edge.from.clone(), edge.to.clone());
        let mut declared: BTreeSet<(String, String)> =
            config.dependencies.iter().map(pair).collect();
        for edge in depends.chain(consumes) {
            if edge.from != edge.to && declared.insert(pair(&edge)) {
                config.dependencies.push(edge);
            }
        }
    }
}

/// What is wrong and where, without the picture of it.
/// The documents of a file, each with the line it begins in, from 1. A line of `---` begins one (YAML 1.2, 9.1.4); directives
/// and comments before the first stay with it.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let (mut begin, mut begin_line, mut says) = (0, 1, false);
    let mut at = 0;
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let rest = line.strip_prefix("---");
        let begins = rest
            .is_some_and(|rest| rest.trim_end().is_empty() || rest.starts_with([' ', '\t', '\r']));
        if begins && says {
            pieces.push((begin_line, &text[begin..at]));
            (begin, begin_line, says) = (at, i + 1, false);
        }
        let word = line.trim();
        says |= !word.is_empty() && !begins && !word.starts_with(['#', '%']);
        // What follows the sign is a part of the document.
        says |= begins && rest.is_some_and(|rest| !rest.trim().is_empty());
        at += line.len();
    }
    if says {
        pieces.push((begin_line, &text[begin..]));
    }
    pieces
}

fn first_line(message: &str) -> String {
    let line = message.trim().lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

fn declared(name: String, document: &Document) -> DeclaredEntity {
    let Metadata {
        labels,
        annotations,
        links,
        ..
    } = &document.metadata;
    let written = annotations.get(ALIASES).into_iter();
    let aliases = written
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .chain(annotations.get(KUBERNETES_ID).map(String::as_str));
    let mut known = BTreeSet::from([EntityId::parse(&name)]);
    let is_news = |alias: &&str| !alias.is_empty() && known.insert(EntityId::parse(alias));
    let aliases = aliases.filter(is_news).map(str::to_owned).collect();
    let link = |link: &Link| {
        let what = link.kind.as_ref().or(link.title.as_ref());
        (
            what.map_or("page", String::as_str).to_lowercase(),
            link.url.clone(),
        )
    };
    DeclaredEntity {
        aliases,
        owner: document.spec.owner.as_deref().map(bare).map(str::to_owned),
        tier: labels.get("tier").and_then(|tier| tier_of(tier)),
        links: links.iter().map(link).collect(),
        labels: labels.clone(),
        name,
    }
}

/// The entity that a document of this kind and type describes; `None` for what is not watched.
fn id_of(kind: &str, of_type: &str, name: &str) -> Option<EntityId> {
    let kind = match kind.to_ascii_lowercase().as_str() {
        "component" => EntityKind::Service,
        "resource" => match of_type {
            "database" | "db" => EntityKind::Database,
            "queue" | "topic" | "kafka-topic" | "message-queue" => EntityKind::Queue,
            "host" | "server" | "vm" | "virtual-machine" => EntityKind::Host,
            _ => EntityKind::External,
        },
        _ => return None,
    };
    Some(EntityId::new(kind, name))
}

/// A reference as others write it, whatever its namespace: `kind:name` in lower case.
fn reference(text: &str) -> String {
    let kind = text.split_once(':').map_or("component", |(kind, _)| kind);
    format!("{kind}:{}", bare(text)).to_lowercase()
}

/// The entity of a reference that no file explains; `None` for what is not watched.
fn outside(reference: &str) -> Option<String> {
    let kind = reference
        .split_once(':')
        .map_or("component", |(kind, _)| kind);
    Some(id_of(kind, "", bare(reference))?.as_str().to_owned())
}

/// The name of a reference without kind and namespace: `group:default/money` is `money`.
fn bare(reference: &str) -> &str {
    let name = reference.rsplit_once(':').map_or(reference, |(_, n)| n);
    name.rsplit_once('/').map_or(name, |(_, n)| n)
}

/// `1`, `tier-1` and `tier1` are 1.
fn tier_of(text: &str) -> Option<u8> {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let tier = digits.parse().ok()?;
    (1..=TIER_MAX).contains(&tier).then_some(tier)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHOP: &str = "\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: checkout
  labels: { tier: tier-1 }
  annotations:
    backstage.io/kubernetes-id: checkout-svc
    stormglass/aliases: co, host/checkout-1, checkout
  links:
    - { url: https://wiki.example/checkout, title: Runbook }
    - { url: https://grafana.example/d/1, type: dashboard }
spec:
  type: service
  lifecycle: production
  owner: group:default/shop
  dependsOn: [resource:default/orders-db, component:payments, system:shop]
  consumesApis: [pay-api]
---
apiVersion: backstage.io/v1alpha1
kind: Resource
metadata: { name: orders-db }
spec: { type: database, owner: dba }
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: { name: shop }
spec: { type: team, children: [] }
";
    const PAY: &str = "\
kind: Component
metadata: { name: payments }
spec: { type: service, owner: money, providesApis: [api:default/Pay-API], dependsOn: [Ledger] }
";

    fn edge(from: &str, to: &str) -> DeclaredEdge {
        DeclaredEdge {
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    #[test]
    fn components_and_resources_become_entities_and_dependencies() {
        let mut catalogue = Catalogue::default();
        let taken = |taken| Added {
            taken,
            refused: Vec::new(),
        };
        assert_eq!(catalogue.add(SHOP, "shop.yaml"), taken(2));
        assert_eq!(catalogue.add(PAY, "pay.yaml"), taken(1));
        let mut config = EngineConfig::default();
        catalogue.join(&mut config);
        let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
            pairs.iter().map(owned).collect()
        };
        assert_eq!(
            config.entities[0],
            DeclaredEntity {
                name: "service/checkout".to_owned(),
                aliases: ["co", "host/checkout-1", "checkout-svc"]
                    .map(str::to_owned)
                    .to_vec(),
                owner: Some("shop".to_owned()),
                tier: Some(1),
                links: texts(&[
                    ("dashboard", "https://grafana.example/d/1"),
                    ("runbook", "https://wiki.example/checkout"),
                ]),
                labels: texts(&[("tier", "tier-1")]),
            }
        );
        let others: Vec<_> = config.entities[1..]
            .iter()
            .map(|e| (&*e.name, e.owner.as_deref()))
            .collect();
        assert_eq!(
            others,
            [
                ("database/orders-db", Some("dba")),
                ("service/payments", Some("money"))
            ]
        );
        // The API of payments is one more way to say the same.
        assert_eq!(
            config.dependencies,
            [
                edge("service/checkout", "database/orders-db"),
                edge("service/checkout", "service/payments"),
                edge("service/payments", "service/Ledger"),
            ]
        );
    }

    #[test]
    fn the_config_goes_before_the_catalogue() {
        let own = DeclaredEntity {
            name: "checkout".to_owned(),
            aliases: vec!["pay".to_owned()],
            owner: Some("us".to_owned()),
            ..DeclaredEntity::default()
        };
        let mut config = EngineConfig {
            entities: vec![own.clone()],
            ..EngineConfig::default()
        };
        let mut catalogue = Catalogue::default();
        catalogue.add(SHOP, "shop.yaml");
        let twice =
            "kind: Component\nmetadata: { name: cart, annotations: { stormglass/aliases: pay } }";
        catalogue.add(twice, "cart.yaml");
        catalogue.join(&mut config);
        let seen: Vec<_> = config
            .entities
            .iter()
            .map(|e| (&*e.name, e.aliases.len()))
            .collect();
        assert_eq!(
            seen,
            [
                ("checkout", 1),
                ("database/orders-db", 0),
                ("service/cart", 0)
            ]
        );
        assert_eq!(config.entities[0], own);
    }

    #[test]
    fn what_is_no_catalogue_is_refused_with_its_place() {
        let cases = [
            ("kind: [", "it.yaml:1: this document is left out: "),
            ("kind: Component\nspec: {}\n", "it.yaml:1: "),
            ("kind: Component\nmetadata: { name: [1] }\n", "it.yaml:1: "),
            (
                "---\nkind: User\nmetadata: { name: mia }\n--- # next\nkind: [\n",
                "it.yaml:4: ",
            ),
        ];
        for (text, begins) in cases {
            let added = Catalogue::default().add(text, "it.yaml");
            let errors: Vec<String> = added.refused.iter().map(ToString::to_string).collect();
            let [error] = &errors[..] else {
                panic!("{text:?}: {errors:?}");
            };
            assert!(
                error.starts_with(begins) && error.contains("line"),
                "{text:?}: {error}"
            );
        }
        // Ten names that each stand for ten of the one before would be ten thousand million.
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..10 {
            let names = vec![format!("*a{}", level - 1); 10].join(",");
            bomb += &[
                "a",
                &level.to_string(),
                ": &a",
                &level.to_string(),
                " [",
                &names,
                "]\n",
            ]
            .concat();
        }
        bomb += "kind: *a9\nmetadata: { name: x }\n";
        assert_eq!(Catalogue::default().add(&bomb, "it.yaml").refused.len(), 1);
    }

    #[test]
    fn a_document_that_is_refused_costs_itself_only() {
        let text = format!(
            "# ours\n%YAML 1.2\n---\n{SHOP}---\nkind: Component\nmetadata: {{ name: [] }}\n---\n{PAY}"
        );
        let mut catalogue = Catalogue::default();
        let added = catalogue.add(&text, "all.yaml");
        assert_eq!((added.taken, added.refused.len()), (3, 1), "{added:?}");
        let line = 1 + text
            .lines()
            .position(|line| line == "metadata: { name: [] }")
            .unwrap();
        let told = added.refused[0].to_string();
        assert!(
            told.contains(&format!("line {line} ")) || told.contains(&format!("line {line},")),
            "{told}"
        );
        let nothing = "---\nkind: [\n".repeat(40);
        let added = Catalogue::default().add(&nothing, "none.yaml");
        assert_eq!((added.taken, added.refused.len()), (0, REFUSED_MAX + 1));
    }

    #[test]
    fn documents_begin_with_their_sign() {
        let cases: [(&str, &[(usize, &str)]); 7] = [
            ("", &[]),
            ("# nothing\n---\n", &[]),
            ("a: 1", &[(1, "a: 1")]),
            (
                "---\na: 1\n---\nb: 2\n",
                &[(1, "---\na: 1\n"), (3, "---\nb: 2\n")],
            ),
            ("a: 1\n--- {b: 2}\n", &[(1, "a: 1\n"), (2, "--- {b: 2}\n")]),
            ("a: |\n  ---\n----\n", &[(1, "a: |\n  ---\n----\n")]),
            (
                "a: 1\r\n---\r\nb: 2\r\n",
                &[(1, "a: 1\r\n"), (2, "---\r\nb: 2\r\n")],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(documents(text), expected, "{text:?}");
        }
    }

    #[test]
    fn references_lose_kind_and_namespace() {
        let cases = [
            ("cart", "component:cart"),
            ("component:cart", "component:cart"),
            ("Component:default/Cart", "component:cart"),
            ("resource:eu/orders-db", "resource:orders-db"),
        ];
        for (text, expected) in cases {
            assert_eq!(reference(text), expected, "{text}");
        }
        let tiers = [
            ("1", Some(1)),
            ("tier-2", Some(2)),
            ("Tier4", Some(4)),
            ("9", None),
            ("gold", None),
        ];
        for (text, expected) in tiers {
            assert_eq!(tier_of(text), expected, "{text}");
        }
    }

    proptest! {
        // A file that expands to the reader's bound takes a tenth of a second.
        #![proptest_config(ProptestConfig {
            cases: std::env::var("PROPTEST_CASES").map_or(16, |text| text.parse().unwrap_or(16)),
            ..ProptestConfig::default()
        })]

        /// Whatever a file holds, cut short, bent, or with anchors that name each other: it is taken or refused,
        /// and its entities are no more than its bytes.
        #[test]
        fn any_file_is_read_or_refused(
            text in r#"[a-z:\[\]{}&*!|>'"\n -]{0,200}"#,
            cut in 0..2_000_usize,
            at in 0..2_000_usize,
            with in any::<char>(),
            depth in 0..40_usize,
        ) {
            let cut = SHOP.floor_char_boundary(cut.min(SHOP.len()));
            let at = SHOP.floor_char_boundary(at.min(SHOP.len()));
            let bent = format!("{}{with}{}", &SHOP[..at], &SHOP[at..]);
            let mut laughs = "kind: Component\nmetadata: { name: x }\na0: &a0 lol\n".to_owned();
            for n in 1..=depth {
                let before = n - 1;
                let line = format!("a{n}: &a{n} [*a{before}, *a{before}, *a{before}, *a{before}]\n");
                laughs.push_str(&line);
            }
            let deep = "[".repeat(depth * 500);
            for text in [text.as_str(), &SHOP[..cut], &bent, &laughs, &deep] {
                let mut catalogue = Catalogue::default();
                let added = catalogue.add(text, "x.yaml");
                prop_assert!(added.taken <= text.len());
                prop_assert!(added.refused.len() <= REFUSED_MAX + 1);
                catalogue.join(&mut EngineConfig::default());
            }
        }
    }
}
