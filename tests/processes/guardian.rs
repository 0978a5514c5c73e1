//! `lockring exec` when somebody is stopped or killed: nothing of the command is alive when the
//! next one gets the lock.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use jepsen_lite::{Cluster, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::calls::{Caller, Granted};
use crate::three_nodes;

const WITHIN: Duration = Duration::from_secs(60);

/// A command that does not listen to SIGTERM, with a child in its group and a daemon out of it.
const STUBBORN: &str = "trap '' TERM; cd \"$0\"; \
    sh -c 'echo $$ > near.new; mv near.new near; exec sleep 600' & \
    setsid sh -c 'echo $$ > far.new; mv far.new far; exec sleep 600' & \
    echo $$ > itself.new; mv itself.new itself; while :; do sleep 0.05; done";

/// `lockring exec` as it runs, and where its command writes.
struct Exec {
    process: Child,
    dir: TempDir,
}

impl Drop for Exec {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Exec {
    fn start(cluster: &Cluster, ttl: &str, script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_lockring"))
            .args(["exec", "job", "--ttl", ttl, "--endpoints"])
            .arg(cluster.endpoints().join(","))
            .args(["--", "sh", "-c", script])
            .arg(dir.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    async fn guardian(&self) -> Pid {
        let pid = self.pid();
        let children = format!("/proc/{pid}/task/{pid}/children");
        pid_in(Path::new(&children)).await
    }

    /// The three processes of [`STUBBORN`], once all of them run.
    async fn all(&self) -> [Pid; 3] {
        let [itself, near, far] = ["itself", "near", "far"].map(|name| self.file(name));
        [
            pid_in(&itself).await,
            pid_in(&near).await,
            pid_in(&far).await,
        ]
    }

    async fn ended(&mut self) -> ExitStatus {
        let ended = wait_for("the end of exec", WITHIN, async || {
            self.process.try_wait().transpose()
        });
        ended.await.unwrap().unwrap()
    }
}

async fn pid_in(file: &Path) -> Pid {
    let read = async || Pid::from_raw(std::fs::read_to_string(file).ok()?.trim().parse().ok()?);
    wait_for("a process", WITHIN, read).await.unwrap()
}

/// The letter of a process's state; nothing if there is no such process any more.
fn state(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // It follows the name, which is in brackets and may have any in it.
    stat.rsplit_once(") ")?.1.chars().next()
}

fn is_alive(pid: Pid) -> bool {
    state(pid).is_some_and(|state| !['Z', 'X'].contains(&state))
}

async fn wait_state(pid: Pid, wanted: fn(Option<char>) -> bool) {
    let reached = async || wanted(state(pid)).then_some(());
    wait_for("a state of a process", WITHIN, reached)
        .await
        .unwrap();
}

/// Takes the lock as the next one, and looks at once who of them is alive.
async fn next_finds_dead(caller: &Caller, pids: &[Pid]) -> Granted {
    let session = caller.open("next", 60_000).await;
    let next = caller.acquire(&session, "job", 30_000).await;
    let alive: Vec<_> = pids.iter().map(|pid| is_alive(*pid)).collect();
    assert!(!alive.contains(&true), "alive at the next grant: {alive:?}");
    next
}

#[tokio::test]
async fn a_stopped_exec_does_not_keep_its_command_alive() {
    let cluster = three_nodes().await;
    let mut exec = Exec::start(&cluster, "5s", STUBBORN);
    let all = exec.all().await;
    kill_process(exec.pid(), Signal::STOP).unwrap();
    let next = next_finds_dead(&Caller::of(&cluster), &all).await;
    assert_eq!(next.fence, 2);
    kill_process(exec.pid(), Signal::CONT).unwrap();
    assert_eq!(exec.ended().await.code(), Some(123));
}

#[tokio::test]
async fn a_killed_exec_leaves_time_to_clean_up_and_no_command() {
    let cluster = three_nodes().await;
    let script = "cd \"$0\"; trap 'echo > cleaned; exit' TERM; \
                  echo $$ > itself.new; mv itself.new itself; while :; do sleep 0.05; done";
    let mut polite = Exec::start(&cluster, "5s", script);
    let itself = pid_in(&polite.file("itself")).await;
    polite.process.kill().unwrap();
    next_finds_dead(&Caller::of(&cluster), &[itself]).await;
    assert!(polite.file("cleaned").exists());

    let cluster = three_nodes().await;
    let mut stubborn = Exec::start(&cluster, "5s", STUBBORN);
    let all = stubborn.all().await;
    stubborn.process.kill().unwrap();
    next_finds_dead(&Caller::of(&cluster), &all).await;
}

#[tokio::test]
async fn a_command_cut_off_from_the_cluster_is_dead_before_the_next_grant() {
    let mut cluster = three_nodes().await;
    let mut exec = Exec::start(&cluster, "5s", STUBBORN);
    let all = exec.all().await;
    for id in cluster.ids() {
        cluster.pause(id).unwrap();
    }
    assert_eq!(exec.ended().await.code(), Some(123));
    assert!(!all.map(is_alive).contains(&true));
    for id in cluster.ids() {
        cluster.resume(id).unwrap();
    }
    next_finds_dead(&Caller::of(&cluster), &all).await;
}

#[tokio::test]
async fn a_command_outlives_the_leader() {
    let mut cluster = three_nodes().await;
    let mut exec = Exec::start(&cluster, "10s", "echo > \"$0/begun\"; sleep 12; exit 7");
    let begun = exec.file("begun");
    let begun = async || begun.exists().then_some(());
    wait_for("the command", WITHIN, begun).await.unwrap();
    let leader = cluster.leader().await.unwrap();
    cluster.pause(leader).unwrap();
    assert_eq!(exec.ended().await.code(), Some(7));
}

#[tokio::test]
async fn nothing_is_left_when_the_guardian_is_killed() {
    let cluster = three_nodes().await;
    let mut exec = Exec::start(&cluster, "10s", STUBBORN);
    let all = exec.all().await;
    kill_process(exec.guardian().await, Signal::KILL).unwrap();
    assert_eq!(exec.ended().await.code(), Some(124));
    assert!(!all.map(is_alive).contains(&true));
    let caller = Caller::of(&cluster);
    assert_eq!(caller.lock("job").await["state"], "free");
}

#[tokio::test]
async fn a_stopped_guardian_is_replaced_in_time() {
    let mut cluster = three_nodes().await;
    let mut exec = Exec::start(&cluster, "5s", STUBBORN);
    let all = exec.all().await;
    kill_process(exec.guardian().await, Signal::STOP).unwrap();
    for id in cluster.ids() {
        cluster.pause(id).unwrap();
    }
    assert_eq!(exec.ended().await.code(), Some(123));
    assert!(!all.map(is_alive).contains(&true));
    for id in cluster.ids() {
        cluster.resume(id).unwrap();
    }
    next_finds_dead(&Caller::of(&cluster), &all).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_dead_before_the_release() {
    let cluster = three_nodes().await;
    let script = "cd \"$0\"; \
        sh -c 'echo $$ > near.new; mv near.new near; exec sleep 600' & \
        setsid sh -c 'echo $$ > far.new; mv far.new far; exec sleep 600' & \
        while ! [ -e near ] || ! [ -e far ]; do sleep 0.05; done; exit 7";
    let mut exec = Exec::start(&cluster, "10s", script);
    let left = [
        pid_in(&exec.file("near")).await,
        pid_in(&exec.file("far")).await,
    ];
    next_finds_dead(&Caller::of(&cluster), &left).await;
    assert_eq!(exec.ended().await.code(), Some(7));
}

#[tokio::test]
async fn a_terminal_s_stop_stops_both_and_both_go_on() {
    let cluster = three_nodes().await;
    // One that forks could be stopped in the middle of that, and then shows another state.
    let script = "cd \"$0\"; echo $$ > itself.new; mv itself.new itself; exec sleep 5";
    let mut exec = Exec::start(&cluster, "60s", script);
    let itself = pid_in(&exec.file("itself")).await;
    kill_process(exec.pid(), Signal::TSTP).unwrap();
    wait_state(exec.pid(), |state| state == Some('T')).await;
    wait_state(itself, |state| state == Some('T')).await;
    kill_process(exec.pid(), Signal::CONT).unwrap();
    assert_eq!(exec.ended().await.code(), Some(0));
}

#[tokio::test]
async fn every_signal_but_those_that_cannot_be_caught_is_passed_on() {
    let cluster = three_nodes().await;
    let script = "cd \"$0\"; \
        for s in HUP INT QUIT USR1 USR2; do trap \"echo $s >> told\" $s; done; \
        trap 'exit 33' TERM; echo $$ > itself.new; mv itself.new itself; \
        while :; do sleep 0.05; done";
    let mut exec = Exec::start(&cluster, "30s", script);
    pid_in(&exec.file("itself")).await;
    for (signal, name) in [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        kill_process(exec.pid(), signal).unwrap();
        let file = exec.file("told");
        let told = async || {
            let told = std::fs::read_to_string(&file).unwrap_or_default();
            told.lines().any(|line| line == name).then_some(())
        };
        wait_for(name, WITHIN, told).await.unwrap();
    }
    kill_process(exec.pid(), Signal::TERM).unwrap();
    assert_eq!(exec.ended().await.code(), Some(33));
}
