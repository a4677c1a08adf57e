//! The memory that this process may still use.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use sysinfo::System;

use super::human;
use super::process::kib_field;

const MACHINE: &str = "this machine";
const CGROUP: &str = "this container (cgroup limit)";

/// The memory that is still available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Its size in bytes.
    pub bytes: u64,
    /// Where the limit comes from, as text: the machine, a container, a scheduler's job, or the device.
    pub source: &'static str,
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has {} available", self.source, human(self.bytes))
    }
}

/// A run or weights that do not fit into memory, with the numbers and the advice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MemoryError(pub(super) String);

/// Checks that `bytes` of new weights fit into the available memory.
///
/// # Errors
///
/// [`MemoryError`] with the numbers.
pub fn check_weights(bytes: u64) -> Result<(), MemoryError> {
    let limit = available_memory();
    if bytes <= limit.bytes {
        return Ok(());
    }
    Err(MemoryError(format!(
        "the weights need {}, but {limit}; use a smaller model or a larger machine",
        human(bytes)
    )))
}

/// Returns the smaller of the machine's available memory and the rest of the process's control group limits
/// (v1 or v2, every level).
///
/// Available memory is `MemAvailable` on Linux and sysinfo's value elsewhere. Both count cached files as
/// available, because the kernel drops them when memory is short.
pub fn available_memory() -> MemoryLimit {
    limit_under(Path::new("/")).unwrap_or_else(|| {
        let mut system = System::new();
        system.refresh_memory();
        MemoryLimit {
            bytes: system.available_memory(),
            source: MACHINE,
        }
    })
}

/// Computes [`available_memory`] from the files of `/proc` and `/sys` under `root`; `None` without them.
fn limit_under(root: &Path) -> Option<MemoryLimit> {
    let meminfo = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let machine = kib_field(&meminfo, "MemAvailable")?;
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let of_groups = groups.lines().filter_map(|line| left_of_group(root, line));
    let (bytes, source) = match of_groups.min() {
        Some(left) if left < machine => (left, CGROUP),
        _ => (machine, MACHINE),
    };
    Some(MemoryLimit { bytes, source })
}

/// Returns the memory left to a group and its parent groups. The group comes from a line of
/// `/proc/self/cgroup`, `ID:CONTROLLERS:PATH`. `None` if none of them has a limit.
fn left_of_group(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    // Version 2 lists no controllers.
    let (mount, [limit, usage], cache) = if controllers.is_empty() {
        let files = ["memory.max", "memory.current"];
        ("sys/fs/cgroup", files, ["inactive_file", "active_file"])
    } else if controllers.split(',').any(|name| name == "memory") {
        let files = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
        let cache = ["total_inactive_file", "total_active_file"];
        ("sys/fs/cgroup/memory", files, cache)
    } else {
        return None;
    };
    let left = |group: PathBuf| {
        let number = |name: &str| -> Option<u64> {
            let text = fs::read_to_string(group.join(name)).ok()?;
            text.trim().parse().ok()
        };
        // Version 2 writes `max` for no limit, which does not parse as a number.
        let (limit, usage) = (number(limit)?, number(usage)?);
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let fields = stat.lines().filter_map(|line| line.split_once(' '));
        let cached = fields
            .filter(|(name, _)| cache.contains(name))
            .filter_map(|(_, value)| value.trim().parse().ok())
            .fold(0, u64::saturating_add);
        Some(limit.saturating_sub(usage.saturating_sub(cached)))
    };
    let mount = root.join(mount);
    // In a container the path may be the host's path, and only the mount itself exists.
    let groups = Path::new(path.trim_start_matches('/')).ancestors();
    groups.filter_map(|group| left(mount.join(group))).min()
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
    fn assert_limit(files: &[(&str, &str)], bytes: u64, source: &'static str) {
        let limit = limit_under(root(files).path());
        assert_eq!(limit, Some(MemoryLimit { bytes, source }));
    }

    #[test]
    fn machine_memory_is_limit_without_cgroup() {
        assert_limit(&[MEMINFO], 1_024_000, MACHINE);
        let unlimited = [
            MEMINFO,
            ("proc/self/cgroup", "0::/job\n"),
            ("sys/fs/cgroup/job/memory.max", "max\n"),
            ("sys/fs/cgroup/job/memory.current", "5\n"),
        ];
        assert_limit(&unlimited, 1_024_000, MACHINE);
    }

    #[test]
    fn cgroup_v2_and_its_parents_limit_memory() {
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
        assert_limit(&files, 650_000, CGROUP);
        files.push(("sys/fs/cgroup/slice/memory.max", "500000"));
        files.push(("sys/fs/cgroup/slice/memory.current", "600000"));
        assert_limit(&files, 0, CGROUP);
    }

    #[test]
    fn cgroup_v1_in_container_limits_memory() {
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
        assert_limit(&files, 200_001, CGROUP);
    }

    #[test]
    fn available_memory_is_positive() {
        let limit = available_memory();
        assert!(limit.bytes > 1 << 20, "{limit:?}");
    }
}
