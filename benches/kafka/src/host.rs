//! What is asked of the machine about other processes.

use std::time::Duration;

use rustix::process::{Pid, Signal};
use tidegate_bench_common::Failure;

/// Processor time that a process has used, its threads' together.
///
/// # Errors
/// If there is no such process.
pub fn cpu(pid: u32) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks(&stat)
        .map(|ticks| {
            Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
        })
        .ok_or_else(|| format!("/proc/{pid}/stat tells no processor time").into())
}

/// User and system time of a line of `/proc/PID/stat`, the 14th and 15th field. The second one is
/// the name in brackets, and may have blanks and brackets of its own.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Memory of a process that is in use, in megabytes.
///
/// # Errors
/// If there is no such process.
pub fn resident(pid: u32) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    let kibibytes: f64 = kibibytes.ok_or("/proc tells no VmRSS")?.parse()?;
    Ok(kibibytes * 1_024.0 / 1e6)
}

/// Ends a process.
///
/// # Errors
/// If there is no such process.
pub fn signal(pid: u32, signal: Signal) -> Result<(), Failure> {
    let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("no process is number 0")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// Whether a process is there and not a dead child that nobody has waited for.
#[must_use]
pub fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        !matches!(state, None | Some('Z' | 'X'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 321 45 0 0 20 0 4 0 100 1000 10";
        assert_eq!(ticks(stat), Some(366));
        assert_eq!(ticks("7 (a) S 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn this_process_uses_time_and_memory_and_lives() {
        let me = std::process::id();
        assert!(cpu(me).is_ok());
        assert!(resident(me).unwrap() > 0.1);
        assert!(lives(me));
        assert!(!lives(u32::MAX));
    }
}
