//! A holder is stopped past its TTL, and wakes up believing that it holds the lock.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jepsen_lite::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::calls::{Caller, Granted};
use crate::three_nodes;

#[tokio::test]
async fn a_holder_that_slept_past_its_ttl_is_refused_when_it_wakes() {
    let cluster = three_nodes().await;
    let caller = Caller::of(&cluster);
    let files = tempfile::tempdir().unwrap();
    let told = files.path().join("told");
    // A holder with a keep-alive of its own, in a process that can be stopped.
    let script = "echo \"$LOCKRING_SESSION $LOCKRING_FENCE\" > \"$0.new\" && mv \"$0.new\" \"$0\"; \
                  exec sleep 600";
    let mut holder = Command::new(env!("CARGO_BIN_EXE_lockring"))
        .args(["exec", "job", "--ttl", "1500ms", "--endpoints"])
        .arg(cluster.endpoints().join(","))
        .args(["--", "sh", "-c", script])
        .arg(&told)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let within = Duration::from_secs(30);
    let text = wait_for("the holder's word", within, async || {
        std::fs::read_to_string(&told).ok()
    });
    let text = text.await.unwrap();
    let (session, fence) = text.trim().split_once(' ').unwrap();
    let believed = Granted {
        lock: "job".to_owned(),
        session: session.to_owned(),
        fence: fence.parse().unwrap(),
    };
    assert_eq!(caller.held_fence("job").await, Some(believed.fence));

    let pid = Pid::from_raw(holder.id().cast_signed()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let stopped_at = Instant::now();
    let other = caller.open("next", 60_000).await;
    let next = caller.acquire(&other, "job", 30_000).await;
    println!(
        "handed on {:?} after the holder was stopped",
        stopped_at.elapsed()
    );
    assert!(next.fence > believed.fence);

    let released = caller.try_release(&believed).await;
    let refused = (released.status, released.body["code"].as_str());
    assert!(
        matches!(
            refused,
            (412, Some("fence_stale")) | (410, Some("session_gone"))
        ),
        "{}",
        released.body
    );
    let renew = format!("/v1/sessions/{session}/renew");
    let renewed = caller.post(&renew, "late", json!({})).await;
    assert_eq!(renewed.status, 410, "{}", renewed.body);
    assert_eq!(renewed.body["cause"], "expired");
    assert_eq!(caller.held_fence("job").await, Some(next.fence));

    // Awake, it finds out by itself and ends what it ran under the lock.
    kill_process(pid, Signal::CONT).unwrap();
    let ended = wait_for("the end of the holder", within, async || {
        holder.try_wait().transpose()
    });
    let ended = ended.await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(123), "{ended}");
}
