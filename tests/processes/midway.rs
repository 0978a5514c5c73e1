//! The leader dies in the middle of something that has begun and is not over: nothing of it is
//! lost, nothing happens twice, and whoever waited keeps its place.

use std::collections::HashSet;
use std::time::Duration;

use jepsen_lite::Cluster;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::calls::{Caller, Granted, fresh_key};
use crate::three_nodes;

const TTL_MS: u64 = 60_000;
const WAIT_MS: u64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// What has happened to a lock, of one kind, in order; it has to be told without a gap.
async fn history(caller: &Caller, lock: &str, kind: &str) -> Vec<Value> {
    let path = format!("/v1/locks/{lock}/history?limit=1000");
    let page = caller.get(&path).await;
    assert_eq!(page["gaps"], json!([]), "{page}");
    assert!(page.get("next").is_none(), "{page}");
    let events = page["events"].as_array().unwrap().iter();
    let of_kind = events.filter(|event| event["event"] == kind);
    of_kind.cloned().collect()
}

fn fences(events: &[Value]) -> Vec<u64> {
    let fences = events.iter().map(|event| event["fence"].as_u64().unwrap());
    fences.collect()
}

/// The places in a lock's queue, from the first on.
async fn tickets(caller: &Caller, lock: &str) -> Vec<u64> {
    let seen = caller.lock(lock).await;
    let queue = seen["queue"].as_array().unwrap().iter();
    queue.map(|row| row["ticket"].as_u64().unwrap()).collect()
}

/// Kills the leader, and waits until another leads.
async fn kill_leader(cluster: &mut Cluster) -> u64 {
    let leader = cluster.leader().await.unwrap();
    cluster.kill(leader).unwrap();
    cluster.leader_among(&cluster.others(leader)).await.unwrap();
    leader
}

#[tokio::test]
async fn a_queue_of_fifty_is_served_in_its_order_each_once() {
    const WAITERS: usize = 50;
    let mut cluster = three_nodes().await;
    let caller = Caller::of(&cluster);
    let holder = caller.open("holder", TTL_MS).await;
    let held = caller.acquire(&holder, "db", 0).await;
    let (tell, mut told) = mpsc::channel(WAITERS);
    let mut waiting = JoinSet::new();
    for nth in 0..WAITERS {
        let (waiter, tell) = (caller.clone(), tell.clone());
        let session = caller.open(&format!("waiter {nth}"), TTL_MS).await;
        waiting.spawn(async move {
            let lease = waiter.acquire(&session, "db", WAIT_MS).await;
            tell.send((nth, lease.fence)).await.unwrap();
            waiter.release(&lease).await;
        });
        caller.wait_queued("db", nth + 1).await;
    }
    drop(tell);
    let before = tickets(&caller, "db").await;
    assert!(before.len() == WAITERS && before.is_sorted(), "{before:?}");

    // It dies while the lock goes from hand to hand.
    caller.release(&held).await;
    let mut served = Vec::new();
    while served.len() < WAITERS / 3 {
        served.push(told.recv().await.unwrap());
    }
    kill_leader(&mut cluster).await;
    while let Some(next) = told.recv().await {
        served.push(next);
    }
    while let Some(done) = waiting.join_next().await {
        done.unwrap();
    }

    let order: Vec<_> = served.iter().map(|(nth, _)| *nth).collect();
    assert_eq!(order, (0..WAITERS).collect::<Vec<_>>());
    let mut granted = vec![held.fence];
    granted.extend(served.iter().map(|(_, fence)| *fence));
    assert!(granted.is_sorted_by(|one, next| one < next), "{granted:?}");
    let recorded = history(&caller, "db", "granted").await;
    assert_eq!(fences(&recorded), granted, "granted once each");
    let released = history(&caller, "db", "released").await;
    assert_eq!(fences(&released), granted, "released once each");
    assert_eq!(caller.lock("db").await["state"], "free");
}

/// Acquires three locks in one step, and answers their fences.
async fn acquire_three(caller: Caller, session: String) -> Vec<u64> {
    let locks = json!([{"lock": "m1"}, {"lock": "m2"}, {"lock": "m3", "mode": "shared"}]);
    let ask = json!({"session": session, "locks": locks, "wait_ms": WAIT_MS});
    let answer = caller.post("/v1/acquire", &fresh_key(), ask).await;
    let granted = answer.expect(200).unwrap();
    fences(granted["leases"].as_array().unwrap())
}

#[tokio::test]
async fn a_wait_for_many_locks_keeps_its_place_in_every_queue() {
    let mut cluster = three_nodes().await;
    let caller = Caller::of(&cluster);
    let mut sessions = Vec::new();
    for owner in ["holder", "many", "behind"] {
        sessions.push(caller.open(owner, TTL_MS).await);
    }
    let held = caller.acquire(&sessions[0], "m2", 0).await;
    let many = tokio::spawn(acquire_three(caller.clone(), sessions[1].clone()));
    caller.wait_queued("m1", 1).await;
    // Though m1 is free, whoever comes later stands behind the place that it has there.
    let (behind, session) = (caller.clone(), sessions[2].clone());
    let behind = tokio::spawn(async move { behind.acquire(&session, "m1", WAIT_MS).await });
    caller.wait_queued("m1", 2).await;
    let before = tickets(&caller, "m1").await;

    kill_leader(&mut cluster).await;
    assert_eq!(tickets(&caller, "m1").await, before);
    assert_eq!(tickets(&caller, "m2").await.len(), 1);
    assert_eq!(caller.lock("m1").await["state"], "free", "it holds nothing");
    assert_eq!(caller.held_fence("m2").await, Some(held.fence));

    caller.release(&held).await;
    let all = many.await.unwrap();
    assert_eq!(all.len(), 3);
    let first = Granted {
        lock: "m1".to_owned(),
        session: sessions[1].clone(),
        fence: all[0],
    };
    caller.release(&first).await;
    let next = behind.await.unwrap();
    for (lock, granted) in [
        ("m1", vec![all[0], next.fence]),
        ("m2", vec![held.fence, all[1]]),
        ("m3", vec![all[2]]),
    ] {
        let recorded = history(&caller, lock, "granted").await;
        assert_eq!(fences(&recorded), granted, "{lock}");
    }
}

/// Acquires a lock in a mode, and answers the fence.
async fn acquire_as(caller: &Caller, session: &str, mode: &str, wait_ms: u64) -> u64 {
    let ask = json!({"session": session, "mode": mode, "wait_ms": wait_ms});
    let answer = caller.post("/v1/locks/u/acquire", &fresh_key(), ask).await;
    answer.expect(200).unwrap()["fence"].as_u64().unwrap()
}

#[tokio::test]
async fn an_upgrade_that_waits_keeps_its_lease_and_goes_before_the_queue() {
    let mut cluster = three_nodes().await;
    let caller = Caller::of(&cluster);
    let mut sessions = Vec::new();
    for owner in ["upgrader", "reader", "writer"] {
        sessions.push(caller.open(owner, TTL_MS).await);
    }
    let shared = acquire_as(&caller, &sessions[0], "shared", 0).await;
    let read = acquire_as(&caller, &sessions[1], "shared", 0).await;
    let wait = |nth: usize| {
        let (caller, session) = (caller.clone(), sessions[nth].clone());
        tokio::spawn(async move { acquire_as(&caller, &session, "exclusive", WAIT_MS).await })
    };
    let writer = wait(2);
    caller.wait_queued("u", 1).await;
    let upgrade = wait(0);
    caller.wait_queued("u", 2).await;
    let before = caller.lock("u").await;

    kill_leader(&mut cluster).await;
    let after = caller.lock("u").await;
    assert_eq!(tickets(&caller, "u").await, {
        let queue = before["queue"].as_array().unwrap().iter();
        queue
            .map(|row| row["ticket"].as_u64().unwrap())
            .collect::<Vec<_>>()
    });
    let holders = after["holders"].as_array().unwrap();
    assert_eq!(fences(holders), [shared, read], "both still share it");
    assert_eq!(after["queue"][0]["owner"], "upgrader");

    let release = |nth: usize, fence| Granted {
        lock: "u".to_owned(),
        session: sessions[nth].clone(),
        fence,
    };
    caller.release(&release(1, read)).await;
    let upgraded = upgrade.await.unwrap();
    assert_eq!(caller.held_fence("u").await, Some(upgraded));
    caller.release(&release(0, upgraded)).await;
    let written = writer.await.unwrap();
    let recorded = history(&caller, "u", "granted").await;
    assert_eq!(fences(&recorded), [shared, read, upgraded, written]);
    let changed = history(&caller, "u", "changed").await;
    assert_eq!(fences(&changed), [shared], "upgraded once");
}

#[tokio::test]
async fn a_transfer_that_is_under_way_happens_once() {
    let mut cluster = three_nodes().await;
    let everybody = Caller::of(&cluster);
    let mut sessions = Vec::new();
    for owner in ["one", "two"] {
        sessions.push(everybody.open(owner, 600_000).await);
    }
    let mut fence = everybody.acquire(&sessions[0], "t", 0).await.fence;
    let mut given = Vec::new();
    // The death comes before, during and after its way through the log.
    for (round, pause_ms) in [0, 2, 5, 9].into_iter().enumerate() {
        let (from, to) = (&sessions[round % 2], &sessions[(round + 1) % 2]);
        let leader = cluster.leader().await.unwrap();
        let ids = [leader].into_iter().chain(cluster.others(leader));
        let caller = Caller::of_nodes(&cluster, ids);
        let body = json!({"session": from, "fence": fence, "to": to});
        let key = fresh_key();
        let sent = {
            let (caller, body, key) = (caller.clone(), body.clone(), key.clone());
            tokio::spawn(async move { caller.post("/v1/locks/t/transfer", &key, body).await })
        };
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        cluster.kill(leader).unwrap();
        let answer = sent.await.unwrap().expect(200).unwrap();
        given.push(fence);
        fence = answer["fence"].as_u64().unwrap();

        // Asked again under its key, it tells the same and does nothing.
        let again = caller.post("/v1/locks/t/transfer", &key, body).await;
        let again = again.expect(200).unwrap();
        assert_eq!(
            (&again["fence"], &again["replayed"]),
            (&fence.into(), &true.into())
        );
        let seen = caller.lock("t").await;
        let holders = seen["holders"].as_array().unwrap();
        assert_eq!(fences(holders), [fence]);
        assert_eq!(holders[0]["session"], to[..8]);
        cluster.restart(leader).unwrap();
        cluster.wait_ready(leader).await.unwrap();
    }
    let recorded = history(&everybody, "t", "transferred").await;
    assert_eq!(fences(&recorded), given, "each once");
}

/// Reads an event stream as any reader of server-sent events does, which knows nothing of
/// lockring: it remembers the last id that it was told, and comes back with it elsewhere.
async fn read_events(
    urls: Vec<String>,
    path: String,
    until: String,
) -> (usize, Vec<(String, Value)>) {
    let (mut connected, mut told) = (0, Vec::<(String, Value)>::new());
    for address in urls.iter().cycle() {
        let last = told.last().map(|(id, _)| id.clone());
        let Ok(mut lines) = subscribe(address, &path, last.as_deref()).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        connected += 1;
        let mut id = None;
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data: Value = serde_json::from_str(data).unwrap();
                let id = id.take().unwrap_or_else(|| panic!("a gap: {data}"));
                let ends = data["lock"] == *until && data["event"] == "released";
                told.push((id, data));
                if ends {
                    return (connected, told);
                }
            }
        }
    }
    unreachable!("a cycle does not end")
}

type Lines = tokio::io::Lines<tokio::io::BufReader<tokio::net::TcpStream>>;

/// The lines of a stream, once its head says that it is one. The sizes of its chunks are lines of
/// their own, which the reader passes over with whatever else is no field.
async fn subscribe(address: &str, path: &str, last: Option<&str>) -> std::io::Result<Lines> {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let mut connection = tokio::net::TcpStream::connect(address).await?;
    let resume = last.map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{resume}\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut lines = BufReader::new(connection).lines();
    let status = lines.next_line().await?.unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        return Err(std::io::Error::other(status));
    }
    Ok(lines)
}

#[tokio::test]
async fn a_stream_of_events_is_resumed_behind_its_last_id() {
    const ROUNDS: usize = 30;
    let mut cluster = three_nodes().await;
    let caller = Caller::of(&cluster);
    let session = caller.open("worker", TTL_MS).await;
    let first = caller.acquire(&session, "ev-first", 0).await;
    caller.release(&first).await;
    let started = history(&caller, "ev-first", "granted").await;
    let from = started[0]["revision"].as_u64().unwrap();

    // The reader hangs on the node that is going to die.
    let leader = cluster.leader().await.unwrap();
    let ids = [leader].into_iter().chain(cluster.others(leader));
    let urls: Vec<_> = ids.map(|id| cluster.api(id).address().to_owned()).collect();
    let path = format!("/v1/events?prefix=ev-&after={from}");
    let reader = tokio::spawn(read_events(urls, path, "ev-last".to_owned()));
    let mut wanted = Vec::new();
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            cluster.kill(leader).unwrap();
        }
        let name = match round + 1 {
            ROUNDS => "ev-last".to_owned(),
            _ => format!("ev-{round}"),
        };
        let lease = caller.acquire(&session, &name, 0).await;
        wanted.push(("granted", lease.fence));
        caller.release(&lease).await;
        wanted.push(("released", lease.fence));
    }
    let (connected, told) = tokio::time::timeout(PATIENCE, reader)
        .await
        .unwrap()
        .unwrap();
    assert!(connected >= 2, "it was never cut off");
    let ids: HashSet<_> = told.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), told.len(), "an id was told twice");
    // Behind the first grant is its release.
    wanted.insert(0, ("released", first.fence));
    let told: Vec<_> = told
        .iter()
        .map(|(_, event)| {
            (
                event["event"].as_str().unwrap(),
                event["fence"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, wanted);
}
