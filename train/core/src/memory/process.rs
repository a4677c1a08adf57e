//! What this process holds now and has held at most.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// Resident memory of this process now, in bytes; pages of mapped files that have been touched
/// count. 0 where the system does not say.
pub fn resident_bytes() -> u64 {
    let Ok(pid) = sysinfo::get_current_pid() else {
        return 0;
    };
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
    system.process(pid).map_or(0, |process| process.memory())
}

/// The most that was resident since the process began, in bytes.
///
/// Only Linux keeps it (`VmHWM` of `/proc/self/status`); elsewhere this is what is resident now.
pub fn peak_resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").ok();
    let peak = status.and_then(|text| kib_field(&text, "VmHWM"));
    peak.unwrap_or_else(resident_bytes)
}

/// The bytes of `FIELD:   123 kB` in a file of /proc.
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
    fn fields_of_proc() {
        let text = "VmPeak:\t  99 kB\nVmHWM:\t    20 kB\nVmRSS:\t x kB\n";
        assert_eq!(kib_field(text, "VmHWM"), Some(20 * 1024));
        assert_eq!(kib_field(text, "VmRSS"), None);
        assert_eq!(kib_field(text, "Vm"), None);
    }

    #[test]
    fn memory_that_is_written_becomes_resident() {
        const SIZE: usize = 64 << 20;
        let block = vec![1_u8; SIZE];
        let peak = peak_resident_bytes();
        assert!(resident_bytes() >= SIZE as u64);
        assert!(peak >= SIZE as u64);
        assert_eq!(block.iter().filter(|&&byte| byte == 1).count(), SIZE);
    }
}
