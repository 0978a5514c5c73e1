//! After the last fault: does everything live again, agree, and has it kept quiet?

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::Context;
use lockring_client::wire::route;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Plan;
use crate::api::Api;
use crate::checker::leases::leases;
use crate::checker::{Property, Verdict, told};
use crate::clock::MS;
use crate::cluster::wait_for;
use crate::history::{Event, History};
use crate::nemesis::{Fault, Stage, Status};

/// From the last mending until every node has acknowledged a change.
const LIVE_WITHIN: Duration = Duration::from_secs(10);
/// How long all may take to have applied the same; sessions still end meanwhile, and each end is a
/// revision.
const EQUAL_WITHIN: Duration = Duration::from_secs(60);
/// How long a lock's history may take to be answered.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

fn property(name: &str, promise: &str, looked_at: u64, wrong: Vec<String>) -> Property {
    Property {
        name: name.to_owned(),
        workload: String::new(),
        promise: promise.to_owned(),
        verdict: if wrong.is_empty() {
            Verdict::Valid
        } else {
            Verdict::Invalid
        },
        looked_at,
        found: wrong.join("; "),
        counterexample: Vec::new(),
    }
}

/// That it lives, and how soon each node did.
pub(super) struct Healed {
    pub(super) property: Property,
    pub(super) each_ms: Vec<u64>,
}

/// It did not come back after a fault was mended.
pub(super) fn dead(why: &str) -> Property {
    let promise = "once a fault is mended, every node serves again";
    property("it-lives-again", promise, 1, vec![why.to_owned()])
}

/// Every node takes a change, through the links, within a bound.
pub(super) async fn liveness(stage: &mut Stage) -> anyhow::Result<Healed> {
    stage.cluster.mesh().heal();
    let began = Instant::now();
    let mut each_ms = Vec::new();
    let mut wrong = Vec::new();
    for id in stage.cluster.ids() {
        let api = Api::new(&stage.cluster.url_for(0, id));
        let opened = wait_for("a change is acknowledged", LIVE_WITHIN, async || {
            let body = json!({"ttl_ms": 5_000, "owner": "liveness"});
            let answer = tokio::time::timeout(LIVE_WITHIN, api.post("/v1/sessions", body)).await;
            let answer = answer.ok()?.ok()?;
            (answer.status == 201).then_some(())
        });
        match opened.await {
            Ok(()) => each_ms.push(u64::try_from(began.elapsed().as_millis())?),
            Err(_) => wrong.push(format!(
                "node {id} acknowledges nothing within {LIVE_WITHIN:?}"
            )),
        }
    }
    let promise = format!("within {LIVE_WITHIN:?} after the last fault every node takes changes");
    let looked_at = stage.cluster.ids().count() as u64;
    let mut property = property("it-lives-again", &promise, looked_at, wrong);
    if property.found.is_empty() {
        property
            .promise
            .push_str(&format!("; measured: {each_ms:?} ms"));
    }
    Ok(Healed { property, each_ms })
}

/// What the service itself tells of the locks that were used; nothing from one that does not.
pub(super) async fn histories(stage: &Stage, history: &History) -> Vec<Event> {
    let calls = history.calls();
    let leases = leases(&calls);
    let locks: BTreeSet<&str> = leases.iter().map(|lease| lease.key.as_str()).collect();
    let api = stage.cluster.api(1);
    let mut rows = Vec::new();
    let mut t = stage.now();
    for lock in locks {
        let mut after = 0;
        loop {
            let path = route::history(lock);
            let path = format!("{path}?limit=1000&after={after}");
            let asked = wait_for("a lock's history", TOLD_WITHIN, async || {
                api.get(&path).await.ok()?.expect(200).ok()
            });
            let Ok(page) = asked.await else {
                return rows;
            };
            let listed = |of: &str| page[of].as_array().cloned().unwrap_or_default();
            let gaps = listed("gaps")
                .into_iter()
                .map(|gap| json!({"event": "gap", "of": gap}));
            // A gap is told beside the events, and stands among them where it begins. What is out
            // of order among the events themselves stays so, for that is to be found.
            let mut values = listed("events");
            for gap in gaps {
                let from = &gap["of"]["from"];
                let begins = |value: &Value| value["revision"].as_u64() >= from.as_u64();
                let at = values.iter().position(begins).unwrap_or(values.len());
                values.insert(at, gap);
            }
            for value in values {
                t += 1;
                rows.push(told::row(t, lock, value));
            }
            let Some(next) = page["next"].as_u64() else {
                break;
            };
            after = next;
        }
    }
    rows
}

/// At one revision all nodes have the same digest. What they show is compared, too, if they can be
/// caught at one revision for as long as that takes.
pub(super) async fn equal_states(stage: &Stage) -> Property {
    let deadline = Instant::now() + EQUAL_WITHIN;
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    while Instant::now() < deadline && looked_at < 2 && wrong.is_empty() {
        if looked_at == 0 {
            looked_at += u64::from(compare(stage, digest, &mut wrong).await);
        } else if compare(stage, view, &mut wrong).await {
            looked_at += 1;
        }
    }
    if looked_at == 0 {
        wrong.push(format!(
            "the nodes are not at one revision within {EQUAL_WITHIN:?}"
        ));
    }
    let promise = "after all faults every node has the same digest at the same revision, and shows \
                   the same locks, holders, queues, sessions and rings";
    property("replicas-agree", promise, looked_at, wrong)
}

/// Whether all nodes could be looked at at one revision; what differs then is wrong.
async fn compare<Look: Future<Output = Option<(u64, Value)>> + Send + 'static>(
    stage: &Stage,
    look: impl Fn(Api) -> Look,
    wrong: &mut Vec<String>,
) -> bool {
    let mut looking = JoinSet::new();
    for id in stage.cluster.ids() {
        let look = look(stage.cluster.api(id));
        looking.spawn(async move { look.await.map(|(revision, seen)| (id, revision, seen)) });
    }
    let seen = looking.join_all().await;
    let Some(seen) = seen.into_iter().collect::<Option<Vec<_>>>() else {
        return false;
    };
    let (first, revision, of_first) = &seen[0];
    if seen.iter().any(|(_, other, _)| other != revision) {
        return false;
    }
    for (id, _, of_other) in seen.iter().filter(|(_, _, other)| other != of_first) {
        wrong.push(format!(
            "at revision {revision} nodes {first} and {id} differ: {of_first} and {of_other}"
        ));
    }
    true
}

/// One number for all that a node has applied, and at which revision.
async fn digest(api: Api) -> Option<(u64, Value)> {
    let answer = api.get(route::CLUSTER_DIGEST).await.ok()?;
    let revision = answer.header("lockring-revision")?.parse::<u64>().ok()?;
    Some((revision, answer.expect(200).ok()?))
}

/// What one node shows without asking any other, and at which revision; nothing if that changed
/// meanwhile.
async fn view(api: Api) -> Option<(u64, Value)> {
    let mut revisions = Vec::new();
    let mut pages = Vec::new();
    for (list, page) in [
        ("locks", "&limit=1000"),
        ("sessions", "&limit=1000"),
        ("rings", ""),
    ] {
        let mut after = String::new();
        loop {
            let path = format!("/v1/{list}?consistency=stale{page}{after}");
            let answer = api.get(&path).await.ok()?;
            revisions.push(answer.header("lockring-revision")?.parse::<u64>().ok()?);
            let body = answer.expect(200).ok()?;
            pages.push(timeless(&body[list]));
            let Some(next) = body["next"].as_str() else {
                break;
            };
            after = format!("&after={}", route::segment(next));
        }
    }
    let first = *revisions.first()?;
    let stood = revisions.iter().all(|revision| *revision == first);
    stood.then_some((first, Value::Array(pages)))
}

/// Without what depends on the moment of the question.
fn timeless(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(timeless).collect()),
        Value::Object(map) => {
            let kept = map.iter().filter(|(name, _)| {
                !["held_ms", "expires_in_ms", "waited_ms", "ends_in_ms"].contains(&name.as_str())
            });
            Value::Object(
                kept.map(|(name, value)| (name.clone(), timeless(value)))
                    .collect(),
            )
        }
        plain => plain.clone(),
    }
}

/// No panic, and no word of ERROR but where a fault asks for one.
pub(super) fn quiet_logs(stage: &Stage, plan: &Plan) -> anyhow::Result<Property> {
    use crate::nemesis::Nemesis::{Corrupt, Disk, Fd};
    let loud = plan
        .nemeses
        .iter()
        .any(|nemesis| matches!(nemesis, Corrupt | Disk | Fd));
    let mut wrong = Vec::new();
    let mut lines = 0;
    for id in stage.cluster.ids() {
        let path = stage.cluster.dir().join(format!("node-{id}.log"));
        let log = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for line in String::from_utf8_lossy(&log).lines() {
            lines += 1;
            let panicked = line.contains("panicked at");
            if panicked || (line.contains(" ERROR ") && !loud) {
                wrong.push(format!("node {id}: {line}"));
            }
        }
    }
    wrong.truncate(5);
    let promise = "no node panics, and none logs at ERROR but for a broken disk";
    Ok(property("logs-are-quiet", promise, lines, wrong))
}

/// Threads and descriptors of a node after everything; far below what a leak would make.
pub(super) fn no_leaks(stage: &Stage) -> anyhow::Result<Property> {
    const THREADS_MAX: usize = 64;
    const DESCRIPTORS_MAX: usize = 512;
    let mut wrong = Vec::new();
    for id in stage.cluster.ids() {
        let pid = stage.cluster.pid(id)?;
        let count = |what: &str| -> anyhow::Result<usize> {
            Ok(fs::read_dir(format!("/proc/{pid}/{what}"))?.count())
        };
        for (what, found, most) in [
            ("threads", count("task")?, THREADS_MAX),
            ("descriptors", count("fd")?, DESCRIPTORS_MAX),
        ] {
            if found > most {
                wrong.push(format!("node {id} has {found} {what}"));
            }
        }
    }
    let promise = format!(
        "after all faults a node has at most {THREADS_MAX} threads and {DESCRIPTORS_MAX} \
         descriptors"
    );
    Ok(property(
        "nothing-leaks",
        &promise,
        stage.cluster.ids().count() as u64,
        wrong,
    ))
}

/// How long nothing was acknowledged after each fault that can take a leader away.
pub(super) fn failovers(history: &History, faults: &[Fault]) -> Vec<u64> {
    let calls = history.calls();
    let kinds = ["leader", "restart-all"];
    let of_leaders = faults
        .iter()
        .filter(|fault| fault.status == Status::Installed && kinds.contains(&fault.kind.as_str()));
    let gaps = of_leaders.filter_map(|fault| {
        let changes = calls.iter().filter(|call| {
            let change = ["open", "acquire", "release"].contains(&call.f.as_str());
            change && call.is_ok() && call.start >= fault.from
        });
        Some((changes.map(|call| call.stop).min()? - fault.from) / MS)
    });
    gaps.collect()
}
