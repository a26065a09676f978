//! What else the machine was busy with, as far as it tells.

use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// A machine with a higher load than this before the start has something else to do.
const QUIET_LOAD: f64 = 0.5;
/// A guest that lost more of its time than this to its neighbours measures them.
const QUIET_STEAL_PERCENT: f64 = 2.0;

/// The machine before a measurement.
pub(super) struct Machine {
    load: Option<f64>,
    times: Option<Times>,
}

/// The machine over a measurement.
pub(super) struct Verdict {
    processors: usize,
    /// Over the minute before the start.
    load: Option<f64>,
    /// The share of time that the host gave to others.
    steal_percent: Option<f64>,
}

impl Machine {
    pub(super) fn look() -> Self {
        Self { load: load(), times: times() }
    }

    pub(super) fn look_again(self) -> Verdict {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let steal_percent = self.times.zip(times()).map(|(before, after)| {
            (after.steal - before.steal) / (after.all - before.all).max(1.0) * 100.0
        });
        Verdict { processors, load: self.load, steal_percent }
    }
}

impl Verdict {
    /// Whether nothing else seems to have been going on; `None` where the system does not tell.
    fn is_quiet(&self) -> Option<bool> {
        Some(self.load? < QUIET_LOAD && self.steal_percent? < QUIET_STEAL_PERCENT)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "processors": self.processors,
            "load": self.load,
            "steal_percent": self.steal_percent,
            "quiet": self.is_quiet(),
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(load), Some(steal)) = (self.load, self.steal_percent) else {
            return f.write_str("This system does not tell what else it was busy with.");
        };
        let quiet = if self.is_quiet() == Some(true) {
            "was quiet"
        } else {
            "was NOT QUIET, so that only ratios mean anything"
        };
        write!(f, "The machine {quiet}: load {load:.2} before the start, {steal:.1} % stolen.")
    }
}

/// Runnable processes on average over the last minute.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Memory {
    pub(super) now: f64,
    pub(super) peak: f64,
}

/// The memory of the process with this number, where the system tells.
pub(super) fn memory(id: u32) -> Option<Memory> {
    parse_memory(&std::fs::read_to_string(format!("/proc/{id}/status")).ok()?)
}

fn parse_memory(status: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(value.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1024.0)
    };
    Some(Memory { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

/// How long the threads of a process have been running, where the system tells. Ticks would be too
/// coarse for one that rests.
pub(super) fn processor_time(id: u32) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).ok()?;
    // A thread may end between being listed and being asked.
    let times = threads.filter_map(|thread| {
        let told = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        told.split(' ').next()?.parse::<u64>().ok()
    });
    Some(Duration::from_nanos(times.sum()))
}

/// Ticks since the system started.
struct Times {
    all: f64,
    steal: f64,
}

fn times() -> Option<Times> {
    parse(&std::fs::read_to_string("/proc/stat").ok()?)
}

fn parse(stat: &str) -> Option<Times> {
    let words = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<f64> = words.take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(Times { all: ticks.iter().sum(), steal: *ticks.get(7)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_the_eighth_column() {
        let times = parse("cpu  10 0 20 60 1 2 3 4 0 0\ncpu0 1 2\n").unwrap();
        assert_eq!((times.all, times.steal), (100.0, 4.0));
        assert!(parse("cpu  10 0 20\n").is_none());
    }

    #[test]
    fn memory_is_told_in_kilobytes() {
        let memory = parse_memory("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n").unwrap();
        assert_eq!(memory, Memory { now: 1024.0 * 1024.0, peak: 2048.0 * 1024.0 });
        assert!(parse_memory("Name:\tx\n").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_takes_memory_and_time() {
        let own = std::process::id();
        assert!(memory(own).unwrap().peak > 0.0);
        assert!(processor_time(own).unwrap() > Duration::ZERO);
    }

    #[test]
    fn a_machine_with_a_load_is_not_quiet() {
        let verdict =
            |load, steal| Verdict { processors: 2, load, steal_percent: steal }.is_quiet();
        assert_eq!(verdict(Some(0.1), Some(0.0)), Some(true));
        assert_eq!(verdict(Some(3.0), Some(0.0)), Some(false));
        assert_eq!(verdict(Some(0.1), Some(9.0)), Some(false));
        assert_eq!(verdict(None, Some(0.0)), None);
    }
}
