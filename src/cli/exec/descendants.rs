//! All that the command started, wherever it went.
//!
//! A signal to a process group misses whoever has left it: `setsid` is enough, and a daemon does
//! that first of all. But this process is a *subreaper*: a descendant whose parent dies becomes
//! its child. So killing all children, and then those that have become children by that, reaches
//! everything, in as many rounds as the tree is deep. Only what runs as another user cannot be
//! killed: it is left alone, for nobody can do better.

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};

/// Between two rounds, in which the killed die.
const ROUND: Duration = Duration::from_millis(2);

/// From now on descendants of this process whose parents die become its children.
pub(super) fn adopt() -> std::io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(getpid()))?)
}

/// Kills all descendants and waits until they are dead; tells `reaped` how each child ended.
pub(super) fn kill_all(mut reaped: impl FnMut(Pid, WaitStatus)) {
    loop {
        // Nobody but us reaps our children, so none of these numbers can mean another process.
        let killed = children()
            .into_iter()
            .filter(|child| kill_process(*child, Signal::KILL).is_ok());
        let killed = killed.count();
        let some_are_left = reap(WaitOptions::NOHANG, &mut reaped);
        if !some_are_left || killed == 0 {
            return;
        }
        std::thread::sleep(ROUND);
    }
}

/// Takes note of the children that have ended, or with `UNTRACED` stopped; whether any are left.
pub(super) fn reap(options: WaitOptions, mut reaped: impl FnMut(Pid, WaitStatus)) -> bool {
    loop {
        match wait(options | WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => reaped(pid, status),
            Ok(None) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// The children of all threads of this process.
fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let lists = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let pids = lists.flat_map(|list| {
        let pids = list.split_whitespace().map(str::parse);
        pids.filter_map(|pid| Pid::from_raw(pid.ok()?))
            .collect::<Vec<_>>()
    });
    pids.collect()
}
