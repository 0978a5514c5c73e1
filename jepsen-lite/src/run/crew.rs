//! The workers and resources of a run, and the history that they tell.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::Plan;
use super::caches::{self, Caches, tell_address};
use crate::cluster::Cluster;
use crate::history::{Event, Kind};
use crate::nemesis::Sufferer;
use crate::resource::{Answer, Checking, Request, Resource};
use crate::worker::Spec;
use crate::workload::Workload;
use crate::{clock, nemesis};

/// Worker processes of each workload: one can be stopped while the other goes on.
const WORKERS_EACH: u64 = 2;
/// Hands of each workload, of all its workers together.
pub(crate) const HANDS_EACH: u64 = 6;
/// Events on their way into the file.
const PENDING_MAX: usize = 10_000;

/// How many there are of what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    workloads: u64,
    caches: u64,
}

impl Sizes {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            workloads: plan.workloads.len() as u64,
            caches: match plan.workloads.contains(&Workload::Cache) {
                true => caches::NODES,
                false => 0,
            },
        }
    }

    /// Whoever calls the cluster over links of its own.
    pub(super) const fn callers(self) -> u64 {
        self.workers() + self.caches
    }

    const fn workers(self) -> u64 {
        self.workloads * WORKERS_EACH
    }

    const fn hands(self) -> u64 {
        self.workloads * HANDS_EACH
    }
}

/// All processes that work in a run.
pub(super) struct Crew {
    workers: Vec<(String, Child)>,
    resources: Vec<(Workload, SocketAddr, Child)>,
    caches: Option<Caches>,
    readers: JoinSet<anyhow::Result<()>>,
    writer: JoinHandle<anyhow::Result<Vec<Event>>>,
}

impl Crew {
    pub(super) async fn start(plan: &Plan, cluster: &Cluster, began: u64) -> anyhow::Result<Self> {
        let (tell, events) = mpsc::channel(PENDING_MAX);
        let path = plan.out.join("history.jsonl");
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut crew = Self {
            workers: Vec::new(),
            resources: Vec::new(),
            caches: None,
            readers: JoinSet::new(),
            writer: tokio::spawn(write(events, file)),
        };
        for workload in &plan.workloads {
            if let Some(checking) = workload.resource() {
                let (address, process) = resource(&plan.tool, checking).await?;
                crew.resources.push((*workload, address, process));
            }
        }
        let sizes = Sizes::of(plan);
        if sizes.caches > 0 {
            let first = sizes.workers() + 1;
            crew.caches = Some(Caches::start(plan, cluster, first).await?);
        }
        for (nth, workload) in plan.workloads.iter().enumerate() {
            for worker in 1..=WORKERS_EACH {
                let number = nth as u64 * WORKERS_EACH + worker;
                let resource = crew.resources.iter().find(|(of, _, _)| of == workload);
                let each = HANDS_EACH / WORKERS_EACH;
                let spec = Spec {
                    workload: *workload,
                    worker: number,
                    hands: each,
                    first_process: i64::try_from((number - 1) * each)?,
                    processes: i64::try_from(sizes.hands())?,
                    of_workload: [nth as u64 * HANDS_EACH, HANDS_EACH]
                        .map(|number| i64::try_from(number).unwrap_or(i64::MAX)),
                    seed: plan.seed,
                    endpoints: cluster
                        .ids()
                        .map(|id| cluster.url_for(number, id))
                        .collect(),
                    resource: resource.map(|(_, address, _)| *address),
                    caches: crew
                        .caches
                        .as_ref()
                        .map(Caches::addresses)
                        .unwrap_or_default(),
                    origin: crew.caches.as_ref().map(|caches| caches.origin),
                    ttl_ms: u64::try_from(plan.ttl.as_millis())?,
                    pause_ms: 1_000 * sizes.hands() / plan.rate.max(1),
                    keys: workload.keys(HANDS_EACH),
                    began,
                };
                crew.hire(&plan.tool, &spec, tell.clone())?;
            }
        }
        Ok(crew)
    }

    fn hire(&mut self, tool: &Path, spec: &Spec, tell: mpsc::Sender<Event>) -> anyhow::Result<()> {
        let mut process = Command::new(tool)
            .arg("worker")
            .arg(serde_json::to_string(spec)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", tool.display()))?;
        let lines = process.stdout.take().context("stdout is a pipe")?;
        self.readers.spawn(async move {
            let mut lines = BufReader::new(lines).lines();
            while let Some(line) = lines.next_line().await? {
                let event = serde_json::from_str(&line).context("a worker wrote no event")?;
                if tell.send(event).await.is_err() {
                    bail!("the history cannot be written any more");
                }
            }
            Ok(())
        });
        self.workers.push((
            format!("worker {} ({})", spec.worker, spec.workload),
            process,
        ));
        Ok(())
    }

    /// The workers, to be stopped and woken.
    pub(super) fn sufferers(&self) -> Vec<nemesis::Sufferer> {
        let workers = self.workers.iter();
        let running = workers.filter_map(|(name, process)| {
            Some(Sufferer {
                name: name.clone(),
                pid: process.id()?,
            })
        });
        let caches = self.caches.iter().flat_map(Caches::sufferers);
        running.chain(caches).collect()
    }

    /// That all work and the history is written.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        for (name, process) in &mut self.workers {
            if let Some(how) = process.try_wait()? {
                bail!("{name} ended by itself: {how}");
            }
        }
        if let Some(caches) = &mut self.caches {
            caches.check()?;
        }
        if self.writer.is_finished() {
            bail!("the history cannot be written any more");
        }
        Ok(())
    }

    /// Tells the workers to stop, and waits for their last words.
    pub(super) async fn wind_up(&mut self) -> anyhow::Result<()> {
        for (_, process) in &mut self.workers {
            // Its end is the word.
            drop(process.stdin.take());
        }
        for (name, process) in &mut self.workers {
            let ended = timeout(WOUND_UP_WITHIN, process.wait()).await;
            let how = ended.with_context(|| format!("{name} does not end"))??;
            anyhow::ensure!(how.success(), "{name} ended with {how}");
        }
        while let Some(read) = self.readers.join_next().await {
            read.context("a reader of a worker's words panicked")??;
        }
        Ok(())
    }

    /// Ends the cache nodes, and answers what they noted.
    pub(super) async fn end_caches(&mut self, began: u64) -> anyhow::Result<Vec<Event>> {
        match self.caches.take() {
            Some(caches) => caches.end(clock::now().saturating_sub(began)).await,
            None => Ok(Vec::new()),
        }
    }

    /// What the resources hold in the end.
    pub(super) async fn final_reads(&self, plan: &Plan, began: u64) -> anyhow::Result<Vec<Event>> {
        let now = || clock::now().saturating_sub(began);
        let mut events = Vec::new();
        let process = i64::try_from(Sizes::of(plan).hands() * 1_000_000)?;
        for (workload, address, _) in &self.resources {
            let mut resource = Resource::connect(*address).await?;
            for nth in 0..workload.keys(HANDS_EACH) {
                let key = format!("{workload}/{nth}");
                let draft = Event {
                    process,
                    f: if *workload == Workload::Register {
                        "read"
                    } else {
                        "final"
                    }
                    .to_owned(),
                    workload: workload.name().to_owned(),
                    key: Some(key.clone()),
                    ..Event::default()
                };
                events.push(Event {
                    t: now(),
                    kind: Kind::Invoke,
                    ..draft.clone()
                });
                let Answer::Done { value } = resource.ask(&Request::Look { key }).await? else {
                    bail!("the resource refuses to be looked at");
                };
                let value = match (workload, value) {
                    (Workload::Register, value) => value,
                    (_, Value::Null) => Value::Array(Vec::new()),
                    (_, value) => value,
                };
                events.push(Event {
                    t: now(),
                    kind: Kind::Ok,
                    value: Some(value),
                    ..draft
                });
            }
        }
        Ok(events)
    }

    /// Everything that was recorded.
    pub(super) async fn into_events(self) -> anyhow::Result<Vec<Event>> {
        drop(self.readers);
        self.writer
            .await
            .context("the writer of the history panicked")?
    }
}

/// Longer than a worker may take.
const WOUND_UP_WITHIN: Duration = Duration::from_secs(30);

/// Writes what comes as it comes, so that a run that is cut off leaves its history.
async fn write(mut events: mpsc::Receiver<Event>, file: File) -> anyhow::Result<Vec<Event>> {
    let mut out = BufWriter::new(file);
    let mut all = Vec::new();
    while let Some(event) = events.recv().await {
        serde_json::to_writer(&mut out, &event)?;
        out.write_all(b"\n")?;
        all.push(event);
        if events.is_empty() {
            out.flush()?;
        }
    }
    out.flush()?;
    Ok(all)
}

/// Starts an outside resource, and learns where it is.
async fn resource(tool: &Path, checking: Checking) -> anyhow::Result<(SocketAddr, Child)> {
    let mut command = Command::new(tool);
    command.arg("resource");
    if checking == Checking::Nothing {
        command.arg("--no-fences");
    }
    tell_address(&mut command).await
}
