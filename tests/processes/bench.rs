//! `lockring bench`: each workload runs, and reports what it says it reports.

use std::process::Command;

use jepsen_lite::Cluster;
use serde_json::Value;

use crate::three_nodes;

fn bench(cluster: &Cluster, arguments: &[&str]) -> Value {
    let pids: Vec<_> = cluster
        .ids()
        .map(|id| cluster.pid(id).unwrap().to_string())
        .collect();
    let ran = Command::new(env!("CARGO_BIN_EXE_lockring"))
        .args(["bench", "--json", "--seconds", "1", "--endpoints"])
        .arg(cluster.endpoints().join(","))
        .args(["--pids", &pids.join(",")])
        .args(arguments)
        .output()
        .unwrap();
    let (out, notes) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{notes}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["errors"], 0, "{report}");
    for field in [
        "workers",
        "seconds",
        "operations",
        "ops_per_s",
        "cpu_s_per_1000_ops",
    ] {
        assert!(report[field].as_f64().unwrap() > 0.0, "{field}: {report}");
    }
    for percentile in ["p50", "p99", "p999"] {
        assert!(
            report["acquire_us"][percentile].as_u64().unwrap() > 0,
            "{report}"
        );
    }
    report
}

#[tokio::test]
async fn every_workload_reports_its_figures_and_leaves_nothing_behind() {
    let cluster = three_nodes().await;
    for workload in ["distinct", "read"] {
        let report = bench(&cluster, &["--workload", workload, "--workers", "4"]);
        assert_eq!(report["workload"], workload);
        assert_eq!(report["workers"], 4);
    }
    let hot = bench(
        &cluster,
        &["--workload", "hot", "--workers", "4", "--hold-ms", "1"],
    );
    assert!(hot["hand_overs_per_s"].as_f64().unwrap() > 0.0, "{hot}");

    let many = ["--workload", "hold", "--locks", "500", "--sessions", "5"];
    let held = bench(&cluster, &many);
    assert_eq!(held["leases"], 500);
    assert_eq!(held["bytes_per_lease"].as_array().unwrap().len(), 3);

    let once = ["--workload", "fresh", "--locks", "500", "--workers", "5"];
    let used = bench(&cluster, &once);
    assert_eq!(used["operations"], 1000);
    assert_eq!(used["resident_bytes_before"].as_array().unwrap().len(), 3);

    let gone = [
        "--workload",
        "storm",
        "--locks",
        "200",
        "--sessions",
        "5",
        "--workers",
        "4",
    ];
    let storm = &bench(&cluster, &gone)["storm"];
    assert_eq!(
        (&storm["leases"], &storm["sessions"]),
        (&200.into(), &5.into())
    );
    for when in ["acquire_us_before", "acquire_us_during"] {
        assert!(storm[when]["p99"].as_u64().unwrap() > 0, "{storm}");
    }

    for path in ["/v1/locks", "/v1/sessions"] {
        let left = cluster.api(1).get(path).await.unwrap().expect(200).unwrap();
        let rows = left.as_object().unwrap().values().next().unwrap();
        assert_eq!(rows.as_array().map(Vec::len), Some(0), "{left}");
    }
}
