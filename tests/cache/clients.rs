//! Clients that know nothing of lockring, each as its users use it.

use std::collections::BTreeSet;
use std::path::Path;

use redis::AsyncTypedCommands;
use redis::cluster::ClusterClient;

use crate::dev::Dev;
use crate::{installed, run};

async fn redis_cli(arguments: &[&str]) -> String {
    run(Path::new("redis-cli"), arguments)
        .await
        .trim()
        .to_owned()
}

#[tokio::test]
async fn redis_cli_follows_the_cluster_and_needs_not_behind_a_proxy() {
    let dev = Dev::start();
    let ports: Vec<_> = (0..3).map(|nth| dev.port(nth, "resp")).collect();
    let mut owners = BTreeSet::new();
    for n in 0..20 {
        let key = format!("cli:{n}");
        assert_eq!(
            redis_cli(&["-c", "-p", &ports[0], "set", &key, "v"]).await,
            "OK"
        );
        assert_eq!(
            redis_cli(&["-c", "-p", &ports[n % 3], "get", &key]).await,
            "v"
        );
        let slot = redis_cli(&["-p", &ports[0], "cluster", "keyslot", &key]).await;
        for (nth, port) in ports.iter().enumerate() {
            if redis_cli(&["-p", port, "cluster", "countkeysinslot", &slot]).await != "0" {
                owners.insert(nth);
            }
        }
    }
    assert_eq!(owners.len(), 3, "all of them own some");
    let proxy = dev.port(1, "proxy");
    assert_eq!(
        redis_cli(&["-p", &proxy, "mget", "cli:0", "cli:1", "cli:x"]).await,
        "v\nv"
    );
    let scanned = redis_cli(&["-p", &proxy, "--scan", "--pattern", "cli:*"]).await;
    assert_eq!(scanned.lines().collect::<BTreeSet<_>>().len(), 20);
    assert!(
        redis_cli(&["-p", &proxy, "info", "server"])
            .await
            .contains("server_name:lockring")
    );
}

#[tokio::test]
async fn redis_py_speaks_to_the_cluster_and_to_a_proxy() {
    let dev = Dev::start();
    let python = installed("python/bin/python");
    let cluster = run(
        &python,
        &["tests/cache/clients/cluster.py", &dev.port(0, "resp")],
    )
    .await;
    assert_eq!(cluster, "ok\n");
    let plain = run(
        &python,
        &["tests/cache/clients/plain.py", &dev.port(2, "proxy")],
    )
    .await;
    assert_eq!(plain, "ok\n");
}

#[tokio::test]
async fn ioredis_speaks_to_the_cluster_and_to_a_proxy() {
    let dev = Dev::start();
    installed("node_modules/ioredis");
    let ports = [dev.port(1, "resp"), dev.port(0, "proxy")];
    let arguments = ["tests/cache/clients/cluster.js", &ports[0], &ports[1]];
    assert_eq!(run(Path::new("node"), &arguments).await, "ok\n");
}

#[tokio::test]
async fn redis_rs_speaks_to_the_cluster() {
    let dev = Dev::start();
    let nodes = vec![format!("redis://127.0.0.1:{}", dev.port(2, "resp"))];
    let client = ClusterClient::new(nodes).unwrap();
    let mut connection = client.get_async_connection().await.unwrap();
    for n in 0..200 {
        connection.set(format!("rs:{n}"), n).await.unwrap();
    }
    for n in 0..200 {
        let value = connection.get(format!("rs:{n}")).await.unwrap();
        assert_eq!(value, Some(n.to_string()));
    }
    let keys: Vec<_> = (0..200).map(|n| format!("rs:{n}")).collect();
    assert_eq!(connection.del(&keys).await.unwrap(), 200);
    assert_eq!(connection.incr("{rs}n", 5).await.unwrap(), 5);
}

#[tokio::test]
async fn redis_benchmark_runs_over_the_cluster() {
    let dev = Dev::start();
    let port = dev.port(0, "resp");
    let arguments = [
        "--cluster",
        "-p",
        &port,
        "-t",
        "set,get,incr,mset",
        "-n",
        "3000",
        "-r",
        "1000",
        "-P",
        "16",
        "-q",
    ];
    let said = run(Path::new("redis-benchmark"), &arguments).await;
    for name in ["SET: ", "GET: ", "INCR: "] {
        let measured = said
            .lines()
            .any(|line| line.contains(name) && line.contains("requests per second"));
        assert!(measured, "{name}{said}");
    }
}
