//! What the server processes cost, as the kernel counts it.

use std::fs;
use std::io;

/// The CPU time and the memory of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// User and system time since the process began.
    pub(super) cpu_seconds: f64,
    /// Memory that it has resident now.
    pub(super) resident_bytes: u64,
}

/// What this process has cost so far.
pub(super) fn cost(pid: u32) -> io::Result<Cost> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let odd = || io::Error::other(format!("/proc/{pid} has another shape than known"));
    Ok(Cost {
        cpu_seconds: cpu_ticks(&stat).ok_or_else(odd)? as f64
            / rustix::param::clock_ticks_per_second() as f64,
        resident_bytes: resident_kib(&status).ok_or_else(odd)? * 1024,
    })
}

/// Fields 14 and 15, counted behind the name, which may itself hold spaces and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse() {
        let stat = "7 (a ) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 120 34 0 0 20 0 1 0 5";
        assert_eq!(cpu_ticks(stat), Some(154));
    }

    #[test]
    fn this_process_has_a_cost() {
        let cost = cost(std::process::id()).unwrap();
        assert!(cost.resident_bytes > 100_000, "{cost:?}");
        assert!(cost.cpu_seconds >= 0.0);
    }
}
