//! `jepsen-lite host -- CMD…`: your program against a faulty lock service.
//!
//! Copies of the program run while the cluster is taken apart, reached through the proxies at
//! `LOCKRING_ENDPOINTS`. The program writes JSON lines to its standard output, one for each thing
//! that it did: `{"enter": {"lock", "fence"}}` when it took a lock, `{"effect": {"resource",
//! "fence", "id"}}` for each effect that the world outside *accepted* from it, `{"exit": {"lock",
//! "fence"}}` when it gave the lock back. Copies are stopped past their TTL while they are inside,
//! so a program whose resource does not check fences is seen to have effects with stale ones.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{binary_beside, duration, say};
use crate::cluster::Cluster;
use crate::nemesis::{Nemesis, Stage, Sufferer};
use crate::options::{Options, Wiring};
use crate::seed::Dice;

#[derive(clap::Args, Clone, Debug)]
#[group(id = "host")]
pub(super) struct Args {
    /// How many copies
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    copies: u64,
    /// For how long
    #[arg(long, default_value = "60s", value_parser = duration)]
    time: Duration,
    /// The TTL that the program opens its sessions with
    #[arg(long, default_value = "10s", value_parser = duration)]
    ttl: Duration,
    /// What is done to cluster and program
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "holder,kill,partition,leader"
    )]
    nemesis: Vec<Nemesis>,
    /// What decides
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The lockring binary; beside this one if not said
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// What a program says.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Enter {
        lock: String,
        fence: u64,
    },
    Effect {
        resource: String,
        fence: u64,
        id: String,
    },
    Exit {
        lock: String,
        fence: u64,
    },
}

/// What was seen of all copies, in the order in which it was told.
#[derive(Default)]
struct Seen {
    entered: u64,
    effects: u64,
    stale: Vec<String>,
    unknown: u64,
    /// The locks that each copy says it has, by their fences.
    inside: HashMap<(u64, u64), String>,
    highest: HashMap<String, u64>,
}

impl Seen {
    fn hear(&mut self, copy: u64, line: &str) {
        match serde_json::from_str(line) {
            Ok(Word::Enter { lock, fence }) => {
                self.entered += 1;
                self.inside.insert((copy, fence), lock);
            }
            Ok(Word::Effect {
                resource,
                fence,
                id,
            }) => {
                self.effects += 1;
                let highest = self.highest.entry(resource.clone()).or_default();
                if fence < *highest {
                    self.stale.push(format!(
                        "copy {copy} did {id} to {resource} under fence {fence}, after {highest}"
                    ));
                }
                *highest = fence.max(*highest);
                if !self.inside.contains_key(&(copy, fence)) {
                    self.stale.push(format!(
                        "copy {copy} did {id} to {resource} outside of its lock"
                    ));
                }
            }
            Ok(Word::Exit { lock, fence }) => {
                if self.inside.remove(&(copy, fence)) != Some(lock) {
                    self.unknown += 1;
                }
            }
            // A program may say other things too.
            Err(_) => self.unknown += 1,
        }
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<u8> {
    let binary = args.binary.clone().unwrap_or_else(binary_beside);
    anyhow::ensure!(binary.exists(), "there is no binary {}", binary.display());
    let cluster = Cluster::start(Options {
        wiring: Wiring::Proxied {
            workers: args.copies,
            spares: u64::from(args.nemesis.contains(&Nemesis::Member)),
        },
        ..Options::new(&binary)
    })
    .await?;
    let (tell, mut told) = mpsc::channel(10_000);
    let mut copies = Vec::new();
    for nth in 1..=args.copies {
        copies.push(start(&args, &cluster, nth, tell.clone())?);
    }
    drop(tell);
    let holders = copies.iter().map(|(name, child)| {
        let pid = child.id().context("a copy ended at once")?;
        anyhow::Ok(Sufferer {
            name: name.clone(),
            pid,
        })
    });
    let holders = holders.collect::<Result<Vec<_>, _>>()?;
    let dice = Dice::new(args.seed, "nemesis");
    let mut stage = Stage::new(cluster, holders, args.ttl, dice, crate::clock::now());
    let listening = tokio::spawn(async move {
        let mut seen = Seen::default();
        while let Some((copy, line)) = told.recv().await {
            seen.hear(copy, &line);
        }
        seen
    });
    let until = Instant::now() + args.time;
    // Each kind comes once before any comes twice.
    let mut order: Vec<Nemesis> = Vec::new();
    while Instant::now() < until {
        if order.is_empty() {
            order.clone_from(&args.nemesis);
            stage.dice.shuffle(&mut order);
        }
        let nemesis = order.pop().context("there is a nemesis")?;
        let hold = Duration::from_millis(stage.dice.between(1_500, 4_000));
        let fault = nemesis.strike(&mut stage, hold).await?;
        say(&format!(
            "{}: {} {}",
            fault.kind,
            fault.what,
            fault.status.why().unwrap_or_default()
        ));
        stage.hold(Duration::from_secs(1)).await;
    }
    for (name, child) in &mut copies {
        if let Some(how) = child.try_wait()? {
            say(&format!("{name} ended by itself: {how}"));
        }
        child.kill().await?;
    }
    let seen = listening.await?;
    Ok(judge(&seen))
}

fn start(
    args: &Args,
    cluster: &Cluster,
    nth: u64,
    tell: mpsc::Sender<(u64, String)>,
) -> anyhow::Result<(String, Child)> {
    let endpoints: Vec<_> = cluster.ids().map(|id| cluster.url_for(nth, id)).collect();
    let (program, rest) = args.command.split_first().context("there is a program")?;
    let mut child = Command::new(program)
        .args(rest)
        .env("LOCKRING_ENDPOINTS", endpoints.join(","))
        .env("LOCKRING_COPY", nth.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let lines = child.stdout.take().context("stdout is a pipe")?;
    // It ends with its copy, whose last words it waits for.
    tokio::spawn(async move {
        let mut lines = BufReader::new(lines).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if tell.send((nth, line)).await.is_err() {
                return;
            }
        }
    });
    Ok((format!("copy {nth}"), child))
}

fn judge(seen: &Seen) -> u8 {
    let (entered, effects, stale) = (seen.entered, seen.effects, seen.stale.len());
    for what in seen.stale.iter().take(10) {
        say(what);
    }
    say(&format!(
        "your job took {entered} locks and had {effects} effects"
    ));
    match (effects, stale) {
        (0, _) => {
            say("UNKNOWN: it told of no effect, so nothing can be said");
            2
        }
        (_, 0) => {
            say("no effect with a stale fence was seen");
            0
        }
        (_, stale) => {
            say(&format!(
                "VIOLATED: your job did {stale} effects with a stale fence: your resource does \
                 not check"
            ));
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_stale_once_a_higher_fence_had_one() {
        let mut seen = Seen::default();
        for line in [
            r#"{"enter": {"lock": "l", "fence": 3}}"#,
            r#"{"enter": {"lock": "l", "fence": 5}}"#,
            r#"{"effect": {"resource": "r", "fence": 3, "id": "a"}}"#,
            r#"{"effect": {"resource": "r", "fence": 5, "id": "b"}}"#,
            r#"{"effect": {"resource": "other", "fence": 3, "id": "c"}}"#,
            "something else",
            r#"{"exit": {"lock": "l", "fence": 3}}"#,
        ] {
            seen.hear(1, line);
        }
        assert_eq!((seen.entered, seen.effects, seen.unknown), (2, 3, 1));
        assert_eq!(judge(&seen), 0);
        seen.hear(2, r#"{"effect": {"resource": "r", "fence": 3, "id": "d"}}"#);
        let outside = "copy 2 did d to r outside of its lock";
        assert_eq!(
            seen.stale,
            ["copy 2 did d to r under fence 3, after 5", outside]
        );
        assert_eq!(judge(&seen), 1);
        assert_eq!(judge(&Seen::default()), 2);
    }
}
