//! How much memory this process may still take.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use sysinfo::System;

use super::process::kib_field;

/// What sets a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemorySource {
    /// The machine's free and reclaimable memory.
    Machine,
    /// The limit of a control group: a container or a job of a scheduler.
    Cgroup,
    /// The memory of the device that computes.
    Device,
}

impl fmt::Display for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "this machine",
            Self::Cgroup => "this container (its cgroup's limit)",
            Self::Device => "the device",
        })
    }
}

/// The memory that can still be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Bytes.
    pub bytes: u64,
    /// What sets it.
    pub source: MemorySource,
}

/// Weights that do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the weights take {} and {source_of_limit} has {} to give; take a smaller model or a larger machine", super::human(*needed), super::human(*available))]
pub struct WeightsError {
    needed: u64,
    available: u64,
    source_of_limit: MemorySource,
}

/// Checks that `bytes` of new weights fit beside what runs already.
///
/// # Errors
///
/// [`WeightsError`] with the numbers.
pub fn check_weights(bytes: u64) -> Result<(), WeightsError> {
    let limit = available_memory();
    if bytes <= limit.bytes {
        return Ok(());
    }
    Err(WeightsError {
        needed: bytes,
        available: limit.bytes,
        source_of_limit: limit.source,
    })
}

/// The smaller of what the machine has available and what the process's control groups (v1 or
/// v2, every level) leave of their limits.
///
/// Available is `MemAvailable` on Linux, and what sysinfo reports elsewhere. Cached files count as
/// available in both, as the kernel gives them up when memory is short.
pub fn available_memory() -> MemoryLimit {
    limit_under(Path::new("/")).unwrap_or_else(|| {
        let mut system = System::new();
        system.refresh_memory();
        MemoryLimit {
            bytes: system.available_memory(),
            source: MemorySource::Machine,
        }
    })
}

/// [`available_memory`] from the files of `/proc` and `/sys` under `root`; `None` without them.
fn limit_under(root: &Path) -> Option<MemoryLimit> {
    let meminfo = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let machine = MemoryLimit {
        bytes: kib_field(&meminfo, "MemAvailable")?,
        source: MemorySource::Machine,
    };
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let of_groups = groups
        .lines()
        .filter_map(|line| left_of_group(root, line))
        .min()
        .map(|bytes| MemoryLimit {
            bytes,
            source: MemorySource::Cgroup,
        });
    // The machine's goes first: it is named where both are the same.
    [Some(machine), of_groups]
        .into_iter()
        .flatten()
        .min_by_key(|limit| limit.bytes)
}

/// The files of one version of control groups.
struct Version {
    mount: PathBuf,
    limit: &'static str,
    usage: &'static str,
    /// Fields of `memory.stat` that hold cached files.
    cache: [&'static str; 2],
}

/// What is left to the group of a line of `/proc/self/cgroup`, `ID:CONTROLLERS:PATH`, and to the
/// groups around it; `None` where none of them has a limit.
fn left_of_group(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let version = if controllers.is_empty() {
        Version {
            mount: root.join("sys/fs/cgroup"),
            limit: "memory.max",
            usage: "memory.current",
            cache: ["inactive_file", "active_file"],
        }
    } else if controllers.split(',').any(|name| name == "memory") {
        Version {
            mount: root.join("sys/fs/cgroup/memory"),
            limit: "memory.limit_in_bytes",
            usage: "memory.usage_in_bytes",
            cache: ["total_inactive_file", "total_active_file"],
        }
    } else {
        return None;
    };
    // Inside a container the path may be the host's, and only the mount itself is there.
    Path::new(path.trim_start_matches('/'))
        .ancestors()
        .filter_map(|group| version.left(&version.mount.join(group)))
        .min()
}

impl Version {
    fn left(&self, group: &Path) -> Option<u64> {
        let number = |name: &str| -> Option<u64> {
            let text = fs::read_to_string(group.join(name)).ok()?;
            text.trim().parse().ok()
        };
        // v2 writes `max` for no limit, which is no number.
        let limit = number(self.limit)?;
        let usage = number(self.usage)?;
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let cached: u64 = stat
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(name, _)| self.cache.contains(name))
            .filter_map(|(_, value)| value.trim().parse::<u64>().ok())
            .fold(0, u64::saturating_add);
        Some(limit.saturating_sub(usage.saturating_sub(cached)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:  2000 kB\nMemFree: 10 kB\nMemAvailable:   1000 kB\n",
    );

    #[track_caller]
    fn assert_limit(files: &[(&str, &str)], bytes: u64, source: MemorySource) {
        let limit = limit_under(root(files).path());
        assert_eq!(limit, Some(MemoryLimit { bytes, source }));
    }

    #[test]
    fn without_groups_the_machine_is_the_limit() {
        assert_limit(&[MEMINFO], 1_024_000, MemorySource::Machine);
        let unlimited = [
            MEMINFO,
            ("proc/self/cgroup", "0::/job\n"),
            ("sys/fs/cgroup/job/memory.max", "max\n"),
            ("sys/fs/cgroup/job/memory.current", "5\n"),
        ];
        assert_limit(&unlimited, 1_024_000, MemorySource::Machine);
    }

    #[test]
    fn a_group_of_version_2_and_the_groups_around_it() {
        let mut files = vec![
            MEMINFO,
            ("proc/self/cgroup", "0::/slice/job\n"),
            ("sys/fs/cgroup/slice/job/memory.max", "900000\n"),
            ("sys/fs/cgroup/slice/job/memory.current", "400000\n"),
            (
                "sys/fs/cgroup/slice/job/memory.stat",
                "anon 1\nfile 250000\ninactive_file 100000\nactive_file 50000\n",
            ),
        ];
        assert_limit(&files, 650_000, MemorySource::Cgroup);
        files.push(("sys/fs/cgroup/slice/memory.max", "500000"));
        files.push(("sys/fs/cgroup/slice/memory.current", "600000"));
        assert_limit(&files, 0, MemorySource::Cgroup);
    }

    #[test]
    fn a_group_of_version_1_seen_from_inside_a_container() {
        let files = [
            MEMINFO,
            (
                "proc/self/cgroup",
                "9:name=systemd:/\n4:memory,hugetlb:/docker/abc\n0::/\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "300000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n"),
            (
                "sys/fs/cgroup/memory/memory.stat",
                "total_inactive_file 1\n",
            ),
        ];
        assert_limit(&files, 200_001, MemorySource::Cgroup);
    }

    #[test]
    fn this_machine_has_memory() {
        let limit = available_memory();
        assert!(limit.bytes > 1 << 20, "{limit:?}");
    }
}
