/// Device memory that a backend holds, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Bytes that tensors use.
    pub in_use: u64,
    /// Bytes reserved, also for later tensors: the peak use plus gaps.
    pub reserved: u64,
}
