//! The floors of ARCHITECTURE.md as a table, and the rules for the arrows between them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// Every package under `crates/`, with its floor. A dependency must lie strictly below.
pub(crate) const FLOORS: &[(&str, u8)] = &[
    ("countersign", 5),
    ("countersign-api", 4),
    ("countersign-engine", 4),
    ("countersign-doors", 4),
    ("countersign-doctor", 4),
    ("countersign-proxy", 4),
    ("countersign-store", 3),
    ("countersign-client", 3),
    ("countersign-iam", 2),
    ("countersign-gateway", 2),
    ("countersign-pki", 2),
    ("pam_countersign", 2),
    ("auth_countersign", 2),
    ("countersign-sigv4", 1),
    ("countersign-policy", 1),
    ("countersign-ipc", 1),
    ("countersign-dial", 1),
];

/// Crates without a clock, an environment, I/O or randomness: time and everything else come in as values.
const PURE: &[&str] =
    &["countersign-sigv4", "countersign-policy", "countersign-ipc", "countersign-iam", "countersign-gateway"];

/// What would bring these in, at any depth.
const IMPURE: &[&str] = &[
    "async-std",
    "aws-lc-rs",
    "axum",
    "getrandom",
    "hyper",
    "mio",
    "openssl",
    "rand",
    "redb",
    "reqwest",
    "ring",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "tokio",
];

/// Modules loaded into a foreign process, with all they may depend on.
const MODULES: &[(&str, &[&str])] = &[
    ("pam_countersign", &["countersign-ipc", "countersign-dial", "libc"]),
    ("auth_countersign", &["countersign-ipc", "countersign-dial", "libc", "rustix"]),
];

/// The packages that our crates are built from, by package id.
pub(crate) struct Graph(BTreeMap<String, Package>);

#[derive(Debug)]
struct Package {
    name: String,
    /// Where it lies, if it is one of this repository's.
    place: Option<Place>,
    /// Package ids of normal and build dependencies.
    needs: BTreeSet<String>,
}

#[derive(Debug)]
enum Place {
    /// `crates/`, with the folder.
    Floor(PathBuf),
    /// Tests and tools.
    Beside,
}

impl Graph {
    /// Asks cargo.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let out = Command::new(cargo)
            .current_dir(root)
            .args(["metadata", "--format-version", "1", "--filter-platform"])
            // What we build for: a dependency that only Windows has does not count.
            .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
            .output()
            .context("cannot run `cargo metadata`")?;
        ensure!(out.status.success(), "`cargo metadata`: {}", String::from_utf8_lossy(&out.stderr).trim());
        let metadata = serde_json::from_slice(&out.stdout).context("`cargo metadata` printed no metadata")?;
        Ok(Self::from_metadata(metadata, root))
    }

    fn from_metadata(metadata: Metadata, root: &Path) -> Self {
        let mut needs: BTreeMap<String, BTreeSet<String>> = metadata
            .resolve
            .nodes
            .into_iter()
            .map(|node| {
                let for_use =
                    |dep: &Dependency| dep.dep_kinds.iter().any(|k| k.kind.as_deref() != Some("dev"));
                (node.id, node.deps.into_iter().filter(for_use).map(|dep| dep.pkg).collect())
            })
            .collect();
        let packages = metadata.packages.into_iter().map(|package| {
            let folder = package.manifest_path.parent().unwrap_or(root).to_path_buf();
            let place = if folder.starts_with(root.join("crates")) {
                Some(Place::Floor(folder))
            } else {
                package.source.is_none().then_some(Place::Beside)
            };
            let needs = needs.remove(&package.id).unwrap_or_default();
            (package.id, Package { name: package.name, place, needs })
        });
        Self(packages.collect())
    }

    /// Name and folder of each pure crate.
    pub(crate) fn pure_crates(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.values().filter(|package| PURE.contains(&package.name.as_str())).filter_map(|package| {
            match &package.place {
                Some(Place::Floor(folder)) => Some((package.name.as_str(), folder.as_path())),
                _ => None,
            }
        })
    }

    /// The packages that `package` needs directly.
    fn needs<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = &'a Package> {
        package.needs.iter().filter_map(|id| self.0.get(id))
    }

    /// For each package that `package` needs at any depth, the path to it, itself first.
    fn reached<'a>(&'a self, package: &'a Package) -> BTreeMap<&'a str, Vec<&'a str>> {
        let mut reached = BTreeMap::new();
        let mut open = vec![(package, vec![package.name.as_str()])];
        while let Some((package, path)) = open.pop() {
            for next in self.needs(package) {
                if !reached.contains_key(next.name.as_str()) {
                    let path: Vec<&str> = path.iter().copied().chain([next.name.as_str()]).collect();
                    reached.insert(next.name.as_str(), path.clone());
                    open.push((next, path));
                }
            }
        }
        reached
    }
}

/// One line for each arrow that must not be.
pub(crate) fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for package in graph.0.values().filter(|package| matches!(package.place, Some(Place::Floor(_)))) {
        let name = package.name.as_str();
        let Some(floor) = floor_of(name) else {
            found.push(format!("`{name}` has no floor: add it to FLOORS in xtask/src/layers.rs"));
            continue;
        };
        for needed in graph.needs(package) {
            let needed_name = needed.name.as_str();
            match (&needed.place, floor_of(needed_name)) {
                (Some(Place::Beside), _) => {
                    found.push(format!("`{name}` depends on `{needed_name}`, which is beside the floors"));
                }
                (Some(Place::Floor(_)), Some(below)) if below >= floor => found.push(format!(
                    "`{name}` (floor {floor}) depends on `{needed_name}` (floor {below}): arrows only point down"
                )),
                _ => {}
            }
            if let Some((_, allowed)) = MODULES.iter().find(|(module, _)| *module == name)
                && !allowed.contains(&needed_name)
            {
                found.push(format!(
                    "`{name}` depends on `{needed_name}`: a module inside a foreign process may only need {}",
                    allowed.join(", ")
                ));
            }
        }
        if PURE.contains(&name) {
            let reached = graph.reached(package);
            let impure = IMPURE.iter().filter_map(|impure| reached.get(impure));
            found.extend(impure.map(|path| format!("`{name}` must stay pure: {}", path.join(" -> "))));
        }
    }
    let exists = |name: &str| {
        graph.0.values().any(|package| package.name == name && matches!(package.place, Some(Place::Floor(_))))
    };
    let stale = FLOORS.iter().filter(|(name, _)| !exists(name));
    found.extend(
        stale.map(|(name, _)| format!("`{name}` has a floor but no crate: remove it in xtask/src/layers.rs")),
    );
    found
}

fn floor_of(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct MetadataPackage {
    id: String,
    name: String,
    manifest_path: PathBuf,
    /// Absent for packages by path.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// Absent for normal dependencies, else `build` or `dev`.
    kind: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Every crate of the table, the given arrows (`from`, `to`, kind), and whatever else these name.
    fn graph(arrows: &[(&str, &str, Option<&str>)]) -> Graph {
        let floors = || FLOORS.iter().map(|(name, _)| *name);
        let mut names: BTreeSet<&str> = floors().collect();
        names.extend(arrows.iter().flat_map(|(from, to, _)| [*from, *to]));
        let packages: Vec<_> = names
            .iter()
            .map(|name| match *name {
                "xtask" => json!({"id": name, "name": name, "manifest_path": "/r/xtask/Cargo.toml"}),
                name if floors().any(|floor| floor == name) || name.starts_with("countersign-") => {
                    json!({"id": name, "name": name, "manifest_path": format!("/r/crates/{name}/Cargo.toml")})
                }
                name => {
                    json!({"id": name, "name": name, "manifest_path": "/registry/Cargo.toml", "source": "r"})
                }
            })
            .collect();
        let nodes: Vec<_> = names
            .iter()
            .map(|name| {
                let deps: Vec<_> = arrows
                    .iter()
                    .filter(|(from, ..)| from == name)
                    .map(|(_, to, kind)| json!({"pkg": to, "dep_kinds": [{"kind": kind}]}))
                    .collect();
                json!({"id": name, "deps": deps})
            })
            .collect();
        let metadata = json!({"packages": packages, "resolve": {"nodes": nodes}});
        Graph::from_metadata(serde_json::from_value(metadata).unwrap(), Path::new("/r"))
    }

    fn only_violation(arrows: &[(&str, &str, Option<&str>)]) -> String {
        let found = violations(&graph(arrows));
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    }

    #[test]
    fn arrows_that_point_down_are_fine() {
        let found = violations(&graph(&[
            ("countersign", "countersign-api", None),
            ("countersign-api", "countersign-store", None),
            ("countersign-api", "tokio", None),
            ("countersign-iam", "countersign-sigv4", None),
            ("countersign-sigv4", "sha2", None),
            ("countersign-sigv4", "tokio", Some("dev")),
            ("countersign-ipc", "countersign-doors", Some("dev")),
            ("pam_countersign", "countersign-ipc", None),
            ("pam_countersign", "countersign-dial", None),
            ("auth_countersign", "countersign-dial", None),
            ("auth_countersign", "rustix", None),
            ("countersign-dial", "rustix", None),
            ("pam_countersign", "libc", None),
        ]));
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn arrows_up_and_sideways_are_not() {
        assert_eq!(
            only_violation(&[("countersign-store", "countersign-api", None)]),
            "`countersign-store` (floor 3) depends on `countersign-api` (floor 4): arrows only point down"
        );
        assert!(only_violation(&[("countersign-doors", "countersign-engine", None)]).contains("(floor 4)"));
        assert!(only_violation(&[("countersign-store", "countersign", Some("build"))]).contains("(floor 5)"));
        assert!(only_violation(&[("countersign-api", "xtask", None)]).contains("beside the floors"));
    }

    #[test]
    fn a_module_needs_next_to_nothing() {
        let found = only_violation(&[("pam_countersign", "thiserror", None)]);
        assert_eq!(
            found,
            "`pam_countersign` depends on `thiserror`: a module inside a foreign process may only need countersign-ipc, countersign-dial, libc"
        );
    }

    #[test]
    fn purity_is_judged_at_any_depth() {
        let found = only_violation(&[
            ("countersign-iam", "uuid", None),
            ("uuid", "getrandom", None),
            ("getrandom", "libc", None),
        ]);
        assert_eq!(found, "`countersign-iam` must stay pure: countersign-iam -> uuid -> getrandom");
    }

    #[test]
    fn every_crate_has_a_floor_and_every_floor_a_crate() {
        let new = only_violation(&[("countersign-new", "serde", None)]);
        assert!(new.starts_with("`countersign-new` has no floor"), "{new}");

        let mut without = graph(&[]);
        without.0.remove("countersign-pki");
        assert!(violations(&without)[0].starts_with("`countersign-pki` has a floor but no crate"));
    }
}
