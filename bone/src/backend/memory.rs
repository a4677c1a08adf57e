/// Memory of a device that a backend has taken, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// What tensors lie in.
    pub in_use: u64,
    /// What is held, for tensors to come too: the most that was in use at once, and what lies between.
    pub reserved: u64,
}
