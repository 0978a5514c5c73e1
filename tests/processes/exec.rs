//! `lockring exec`: a command that lives no longer than its lease.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use jepsen_lite::{Cluster, wait_for};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::calls::Caller;
use crate::three_nodes;

const SOON: Duration = Duration::from_secs(30);

/// `lockring exec job --ttl 1500ms ARGUMENTS -- sh -c SCRIPT FILE`
fn exec(cluster: &Cluster, arguments: &[&str], script: &str, file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockring"));
    command
        .args(["exec", "job", "--ttl", "1500ms", "--endpoints"])
        .arg(cluster.endpoints().join(","))
        .args(arguments)
        .args(["--", "sh", "-c", script])
        .arg(file)
        .stdin(Stdio::null());
    command
}

async fn run(mut command: Command) -> ExitStatus {
    let mut process = command.spawn().unwrap();
    let ended = wait_for("the end of exec", SOON, async || {
        process.try_wait().transpose()
    });
    ended.await.unwrap().unwrap()
}

/// What the command has written to the file, as soon as it has.
async fn written(file: &Path) -> String {
    let read = async || {
        std::fs::read_to_string(file)
            .ok()
            .filter(|text| text.ends_with('\n'))
    };
    wait_for("a word of the command", SOON, read).await.unwrap()
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

async fn wait_dead(process: Pid) {
    let dead = async || test_kill_process(process).is_err().then_some(());
    wait_for("the death of the command", SOON, dead)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_command_knows_its_lease_and_its_exit_code_is_passed_on() {
    let cluster = three_nodes().await;
    let caller = Caller::of(&cluster);
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("told");
    let script = "echo \"$LOCKRING_LOCK $LOCKRING_FENCE $LOCKRING_SESSION\" > \"$0\"; exit 7";
    assert_eq!(
        run(exec(&cluster, &[], script, &file)).await.code(),
        Some(7)
    );
    let told = written(&file).await;
    let words: Vec<_> = told.split_whitespace().collect();
    assert_eq!(words[..2], ["job", "1"]);
    assert_eq!(words[2].len(), 32);
    assert_eq!(caller.lock("job").await["state"], "free");

    let by_signal = run(exec(&cluster, &[], "kill -9 $$", &file)).await;
    assert_eq!(by_signal.code(), Some(128 + 9));
    let missing = run({
        let mut command = exec(&cluster, &[], "", &file);
        command.arg("ignored");
        command.env("PATH", "/nowhere");
        command
    });
    assert_eq!(missing.await.code(), Some(127));
}

#[tokio::test]
async fn its_own_failures_have_codes_that_no_command_has() {
    let cluster = three_nodes().await;
    let caller = Caller::of(&cluster);
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("told");
    let session = caller.open("holder", 60_000).await;
    let held = caller.acquire(&session, "job", 0).await;
    let script = "echo ran > \"$0\"";
    assert_eq!(
        run(exec(&cluster, &[], script, &file)).await.code(),
        Some(121)
    );
    let waited = exec(&cluster, &["--wait", "300ms"], script, &file);
    assert_eq!(run(waited).await.code(), Some(121));
    let misspelt = exec(&cluster, &["--tll", "1s"], script, &file);
    assert_eq!(run(misspelt).await.code(), Some(120));
    assert!(!file.exists(), "the command ran without the lock");
    caller.release(&held).await;
    let waited = exec(&cluster, &["--wait", "10s"], script, &file);
    assert_eq!(run(waited).await.code(), Some(0));
}

#[tokio::test]
async fn signals_are_passed_on_to_the_command() {
    let cluster = three_nodes().await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("told");
    let script = "trap 'exit 33' TERM; echo ready > \"$0\"; while :; do sleep 0.05; done";
    let mut process = exec(&cluster, &[], script, &file).spawn().unwrap();
    written(&file).await;
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    let ended = wait_for("the end of exec", SOON, async || {
        process.try_wait().transpose()
    });
    assert_eq!(ended.await.unwrap().unwrap().code(), Some(33));
}

#[tokio::test]
async fn the_command_dies_with_exec_even_if_that_is_killed() {
    let cluster = three_nodes().await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("told");
    let script = "echo $$ > \"$0\"; exec sleep 600";
    let mut process = exec(&cluster, &[], script, &file).spawn().unwrap();
    let command = pid(&written(&file).await);
    process.kill().unwrap();
    process.wait().unwrap();
    wait_dead(command).await;
}

#[tokio::test]
async fn the_command_is_dead_before_the_lease_ends_when_no_node_answers() {
    let mut cluster = three_nodes().await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("told");
    // It is warned, and does not listen.
    let script = "trap '' TERM; echo $$ > \"$0\"; while :; do sleep 0.05; done";
    let mut process = exec(&cluster, &[], script, &file).spawn().unwrap();
    let command = pid(&written(&file).await);
    for id in cluster.ids() {
        cluster.kill(id).unwrap();
    }
    let ended = wait_for("the end of exec", SOON, async || {
        process.try_wait().transpose()
    });
    assert_eq!(ended.await.unwrap().unwrap().code(), Some(123));
    wait_dead(command).await;
    // Cluster time stood still meanwhile, so the lease is still there, and nobody had the lock.
    for id in cluster.ids() {
        cluster.restart(id).unwrap();
    }
    cluster.wait_all_ready().await.unwrap();
    let caller = Caller::of(&cluster);
    let session = caller.open("next", 60_000).await;
    let next = caller.acquire(&session, "job", 30_000).await;
    assert_eq!(next.fence, 2);
}
