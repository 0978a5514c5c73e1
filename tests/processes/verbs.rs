//! The verbs of the command line that make calls, as people and scripts use them.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use jepsen_lite::{Cluster, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::calls::Caller;
use crate::three_nodes;

const WITHIN: Duration = Duration::from_secs(60);

/// `lockring` with these words, split at spaces, for a cluster.
fn lockring(cluster: &Cluster, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockring"));
    command
        .args(words.split(' '))
        .env("LOCKRING_ENDPOINTS", cluster.endpoints().join(","))
        .stdin(Stdio::null());
    command
}

/// What a verb says and its exit code.
async fn run(cluster: &Cluster, words: &str) -> (String, i32) {
    let mut command = lockring(cluster, words);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
    let ran = ran.await.unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    (said, ran.status.code().unwrap())
}

/// The JSON of a verb that is sure to succeed.
async fn told(cluster: &Cluster, words: &str) -> Value {
    let (said, code) = run(cluster, &format!("{words} --json")).await;
    assert_eq!(code, 0, "{words}");
    serde_json::from_str(&said).unwrap()
}

async fn session(cluster: &Cluster) -> String {
    let opened = told(cluster, "session open --ttl 5m --owner someone").await;
    opened["session"].as_str().unwrap().to_owned()
}

/// A verb that goes on until it is ended, and the lines that it says.
struct Running {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Running {
    fn start(cluster: &Cluster, words: &str) -> Self {
        Self::of(lockring(cluster, words))
    }

    fn of(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// The next line. A test that waits in vain is ended by the time limit of the tests.
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    async fn code(&mut self) -> Option<i32> {
        let ended = wait_for("the end of a verb", WITHIN, async || {
            self.process.try_wait().transpose()
        });
        ended.await.unwrap().unwrap().code()
    }
}

#[tokio::test]
async fn locks_are_taken_in_each_mode_and_several_at_once() {
    let cluster = three_nodes().await;
    let (one, two) = (session(&cluster).await, session(&cluster).await);
    for session in [&one, &two] {
        let granted = told(
            &cluster,
            &format!("acquire cat --session {session} --shared"),
        )
        .await;
        assert_eq!(granted["mode"], "shared");
    }
    let (_, code) = run(&cluster, "acquire cat").await;
    assert_eq!(code, 3, "it is held shared");

    let permits = format!("acquire seats --session {one} --permits 2/3 --value {{x}}");
    let granted = told(&cluster, &permits).await;
    assert_eq!(granted["mode"], json!({"permits": 2, "of": 3}));
    let (_, code) = run(&cluster, "acquire seats --permits 2/3").await;
    assert_eq!(code, 3, "one is left");
    let (_, code) = run(&cluster, "acquire seats --permits 1/4").await;
    assert_eq!(code, 4, "others say three");

    let granted = told(&cluster, &format!("acquire a b c --session {two}")).await;
    assert_eq!(granted["leases"].as_array().unwrap().len(), 3);
    let (_, code) = run(&cluster, &format!("acquire x b --session {one}")).await;
    assert_eq!(code, 3, "all or none");
    let (_, code) = run(&cluster, "acquire x y").await;
    assert_eq!(code, 2, "nobody could hold both");

    let (table, _) = run(&cluster, "locks").await;
    for wanted in ["shared +1", "2/3", "exclusive"] {
        assert!(table.contains(wanted), "no {wanted} in\n{table}");
    }
    let (shown, _) = run(&cluster, "locks show seats").await;
    assert!(shown.contains("{x}"), "{shown}");
    assert!(!table.contains("\nx "), "{table}");
}

#[tokio::test]
async fn a_broken_lease_is_in_the_history_and_in_the_watch() {
    let cluster = three_nodes().await;
    // From the beginning on, however long it takes to start.
    let mut watch = Running::start(&cluster, "watch db/ --json --after 0");
    let session = session(&cluster).await;
    for _ in 0..2 {
        let granted = told(&cluster, &format!("acquire db/beacon --session {session}")).await;
        let fence = granted["fence"].as_u64().unwrap();
        let words = format!("release db/beacon --session {session} --fence {fence}");
        assert_eq!(run(&cluster, &words).await.1, 0);
        assert_eq!(watch.line()["event"], "granted");
        assert_eq!(watch.line()["event"], "released");
    }

    let granted = told(&cluster, &format!("acquire db/primary --session {session}")).await;
    let broken = told(&cluster, "break db/primary --reason node-7-hangs").await;
    assert_eq!(broken["leases"], 1);
    let (said, code) = run(&cluster, "break db/primary --reason again").await;
    assert_eq!((said.trim(), code), ("db/primary was free", 0));
    let (_, code) = run(&cluster, "break db/primary").await;
    assert_eq!(code, 2, "without a reason");

    let next = watch.line();
    assert_eq!(
        (&next["event"], &next["lock"]),
        (&json!("granted"), &json!("db/primary"))
    );
    let next = watch.line();
    assert_eq!(
        (&next["event"], &next["reason"]),
        (&json!("broken"), &json!("node-7-hangs"))
    );
    assert_eq!(next["fence"], granted["fence"]);
    let later = next["revision"].as_u64().unwrap() - 1;
    let mut resumed = Running::start(&cluster, &format!("watch db/ --json --after {later}"));
    assert_eq!(resumed.line(), next);

    let history = told(&cluster, "history db/primary").await;
    let kinds: Vec<_> = history["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["event"])
        .collect();
    assert_eq!(kinds, ["granted", "broken"]);
    let (table, _) = run(&cluster, "history db/primary").await;
    assert!(
        table.contains("an operator broke it, \"node-7-hangs\""),
        "{table}"
    );
    let limited = told(&cluster, "history db/beacon --limit 2").await;
    assert_eq!(limited["events"].as_array().unwrap().len(), 2);
    assert!(limited["next"].is_u64());
}

#[tokio::test]
async fn a_lease_is_transferred() {
    let cluster = three_nodes().await;
    let (one, two) = (session(&cluster).await, session(&cluster).await);
    let granted = told(&cluster, &format!("acquire job --session {one}")).await;
    let fence = granted["fence"].as_u64().unwrap();
    let digits = &two[..8];
    let words = format!("transfer job --session {one} --fence {fence} --to {digits}");
    let given = told(&cluster, &words).await;
    assert_eq!(given["fence"], fence + 1);
    let lock = told(&cluster, "locks show job").await;
    assert_eq!(lock["holders"][0]["session"], digits);
    assert_eq!(
        run(&cluster, &words).await.1,
        4,
        "it is no longer the first one's"
    );
}

#[tokio::test]
async fn a_command_is_ended_when_its_lock_is_asked_back() {
    let cluster = three_nodes().await;
    let files = tempfile::tempdir().unwrap();
    let exec = |file: &str, script: &str| {
        let mut command = lockring(&cluster, "exec job --ttl 30s -- sh -c");
        command.arg(script).arg(files.path().join(file));
        Running::of(command)
    };
    let pid = async |file: &str| {
        let file = files.path().join(file);
        let read =
            async || Pid::from_raw(std::fs::read_to_string(&file).ok()?.trim().parse().ok()?);
        wait_for("the command", WITHIN, read).await.unwrap()
    };
    let caller = Caller::of(&cluster);
    let next = caller.open("next", 60_000).await;

    let polite = "trap 'exit 0' TERM; echo $$ > \"$0\"; while :; do sleep 0.05; done";
    let mut process = exec("polite", polite);
    pid("polite").await;
    told(&cluster, "revoke job --reason drain --within 60s").await;
    let granted = caller.acquire(&next, "job", 50_000).await;
    assert_eq!(process.code().await, Some(123));
    caller.release(&granted).await;

    let stubborn = "trap '' TERM; echo $$ > \"$0\"; while :; do sleep 0.05; done";
    let mut process = exec("stubborn", stubborn);
    let command = pid("stubborn").await;
    told(&cluster, "revoke job --reason drain --within 8s").await;
    caller.acquire(&next, "job", 50_000).await;
    let is_dead = !std::path::Path::new(&format!("/proc/{command}")).exists();
    assert!(is_dead, "it ran when the next one had the lock");
    assert_eq!(process.code().await, Some(123));
}

#[tokio::test]
async fn an_election_has_a_leader_that_resigns_when_asked() {
    let cluster = three_nodes().await;
    assert_eq!(told(&cluster, "election show scheduler").await, Value::Null);
    let mut observer = Running::start(&cluster, "election observe scheduler --json");
    assert_eq!(observer.line(), Value::Null);

    let mut first = Running::start(&cluster, "election campaign scheduler --json --value one");
    assert_eq!(first.line()["state"], "leads");
    assert_eq!(observer.line()["value"], "one");
    let (_, code) = run(&cluster, "election campaign scheduler --wait 100ms").await;
    assert_eq!(code, 3);
    let mut second = Running::start(&cluster, "election campaign scheduler --json --value two");
    Caller::of(&cluster).wait_queued("scheduler", 1).await;

    told(
        &cluster,
        "election resign scheduler --reason drain --within 60s",
    )
    .await;
    assert_eq!(first.line()["state"], "resigns");
    assert_eq!(first.code().await, Some(0));
    assert_eq!(second.line()["state"], "leads");
    let shown = told(&cluster, "election show scheduler").await;
    assert_eq!(shown["value"], "two");

    second.signal(Signal::TERM);
    assert_eq!(second.line()["state"], "resigns");
    assert_eq!(second.code().await, Some(0));
    let mut told_last = observer.line();
    while !told_last.is_null() {
        told_last = observer.line();
    }

    let mut third = Running::start(&cluster, "election campaign scheduler --json");
    assert_eq!(third.line()["state"], "leads");
    told(&cluster, "break scheduler --reason now").await;
    assert_eq!(third.code().await, Some(4));
}

#[tokio::test]
async fn an_operator_ends_somebody_s_session() {
    let cluster = three_nodes().await;
    let session = session(&cluster).await;
    told(&cluster, &format!("acquire job --session {session}")).await;
    let words = format!("session end {} --reason stolen", &session[..8]);
    let closed = told(&cluster, &words).await;
    assert_eq!(closed["released"][0]["lock"], "job");
    let (_, code) = run(&cluster, &format!("session renew {session}")).await;
    assert_eq!(code, 4);
}
