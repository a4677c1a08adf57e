//! Current and peak memory of this process.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// Returns the resident memory of this process, in bytes. Mapped file pages count once they are touched. 0
/// if the system does not report it.
pub fn resident_bytes() -> u64 {
    let Ok(pid) = sysinfo::get_current_pid() else {
        return 0;
    };
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
    system.process(pid).map_or(0, |process| process.memory())
}

/// Returns the peak resident memory since the process started, in bytes.
///
/// Only Linux records the peak (`VmHWM` of `/proc/self/status`). Elsewhere this is the current value.
pub fn peak_resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").ok();
    let peak = status.and_then(|text| kib_field(&text, "VmHWM"));
    peak.unwrap_or_else(resident_bytes)
}

/// Returns the bytes from the line `FIELD:   123 kB` of a /proc file.
pub(super) fn kib_field(text: &str, field: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_status_fields_are_parsed() {
        let text = "VmPeak:\t  99 kB\nVmHWM:\t    20 kB\nVmRSS:\t x kB\n";
        assert_eq!(kib_field(text, "VmHWM"), Some(20 * 1024));
        assert_eq!(kib_field(text, "VmRSS"), None);
        assert_eq!(kib_field(text, "Vm"), None);
    }

    #[test]
    fn written_memory_becomes_resident() {
        const SIZE: usize = 64 << 20;
        let block = vec![1_u8; SIZE];
        let peak = peak_resident_bytes();
        assert!(resident_bytes() >= SIZE as u64);
        assert!(peak >= SIZE as u64);
        assert_eq!(block.iter().filter(|&&byte| byte == 1).count(), SIZE);
    }
}
