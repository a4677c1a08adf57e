//! The memory a run will take, what the machine has, and what the process holds.

mod allocator;
mod estimate;
mod limit;
mod process;
mod shape;

pub use allocator::keep_freed_memory;
pub use estimate::{Estimate, MemoryError, Term};
pub use limit::{MemoryLimit, MemorySource, WeightsError, available_memory, check_weights};
pub use process::{peak_resident_bytes, resident_bytes};
pub use shape::{ActivationShape, ModelShape, RunShape};

/// A number of bytes as a person reads it: `512 B`, `1.5 KiB`, `22.9 GiB`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64 / 1024.0;
    if value < 1.0 {
        return format!("{bytes} B");
    }
    let mut units = UNITS.iter();
    let mut unit = units.next();
    // 1023.95 would be printed as 1024.0 of the smaller unit.
    while value >= 1023.95 && units.len() > 0 {
        value /= 1024.0;
        unit = units.next();
    }
    format!("{value:.1} {}", unit.copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (13 * (1 << 30), "13.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
