//! The files in `cluster/` are what they say they are.

use std::path::Path;

use lockring::config::{Config, Draft};

fn draft(text: &str) -> Draft {
    Draft::parse(Path::new("test"), text).unwrap()
}

fn read(name: &str) -> (String, Config) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("cluster")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let config = draft(&text).resolve().unwrap();
    (text, config)
}

/// `node.toml` without every key that has a default means the same.
#[test]
fn node_toml_claims_the_defaults_that_are_in_force() {
    let (text, config) = read("node.toml");
    let required = ["id", "members", "data_dir", "{", "]", "["];
    let kept = text.lines().filter(|line| {
        let line = line.trim_start();
        required.iter().any(|start| line.starts_with(start))
    });
    let kept = kept.collect::<Vec<_>>().join("\n");
    assert!(kept.lines().count() * 2 < text.lines().count());
    assert_eq!(draft(&kept).resolve().unwrap(), config);
}

/// What is commented out there as an example is of the right shape too.
#[test]
fn the_examples_in_node_toml_parse() {
    let (text, _) = read("node.toml");
    let is_key = |line: &str| {
        let named = line.split([' ', '=']).next().unwrap_or_default();
        let sections = line.starts_with('[');
        let keys = [
            "certificate",
            "key",
            "authority",
            "name",
            "sha256",
            "permissions",
        ];
        sections || (keys.contains(&named) && line.contains(" = "))
    };
    let uncommented = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(example) if is_key(example) => example,
        _ => line,
    });
    let config = draft(&uncommented.collect::<Vec<_>>().join("\n"))
        .resolve()
        .unwrap();
    assert!(config.node.tls.is_some());
    assert_eq!(config.node.tokens[0].name, "billing");
}

#[test]
fn dev_toml_is_a_node_of_the_cluster_that_dev_starts() {
    let (_, config) = read("dev.toml");
    assert_eq!(config.cluster.members.len(), 3);
    assert_eq!(config.node.api_listen.to_string(), "127.0.0.1:7420");
}
