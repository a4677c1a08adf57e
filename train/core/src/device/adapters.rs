//! Devices that wgpu supports: Vulkan, Metal, and both with WGSL shaders.

use super::{Device, DeviceName, Kind};
use burn::backend::wgpu::graphics::{AutoGraphicsApi, GraphicsApi, Metal, Vulkan};
use burn::backend::wgpu::{RuntimeOptions, WgpuDevice, init_setup};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use wgpu::{Adapter, Backend, DeviceType};

fn api(kind: Kind) -> Backend {
    match kind {
        Kind::Metal => Metal::backend(),
        Kind::Vulkan => Vulkan::backend(),
        _ => AutoGraphicsApi::backend(),
    }
}

/// Returns the adapters of a kind in burn's numbering, preferred ones first.
fn adapters(kind: Kind) -> Vec<(WgpuDevice, Adapter)> {
    let backend = api(kind);
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: backend.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let found = pollster::block_on(instance.enumerate_adapters(backend.into()));
    let (mut discrete, mut integrated, mut virtual_gpu) = (0, 0, 0);
    let next = |count: &mut usize| {
        *count += 1;
        *count - 1
    };
    let mut numbered: Vec<_> = found
        .into_iter()
        .map(|adapter| {
            let device = match adapter.get_info().device_type {
                DeviceType::DiscreteGpu => WgpuDevice::DiscreteGpu(next(&mut discrete)),
                DeviceType::IntegratedGpu => WgpuDevice::IntegratedGpu(next(&mut integrated)),
                DeviceType::VirtualGpu => WgpuDevice::VirtualGpu(next(&mut virtual_gpu)),
                DeviceType::Cpu => WgpuDevice::Cpu,
                DeviceType::Other => WgpuDevice::DefaultDevice,
            };
            (device, adapter)
        })
        .collect();
    numbered.sort_by_key(|(_, adapter)| match adapter.get_info().device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    });
    // burn gives all software devices one name, and all devices of unknown type another.
    numbered.dedup_by(|(a, _), (b, _)| a == b);
    numbered
}

pub(super) fn devices(kind: Kind) -> Result<Vec<Device>, String> {
    let adapters = adapters(kind);
    if adapters.is_empty() {
        return Err(match kind {
            Kind::Metal => "no Metal device was found".into(),
            _ => "no Vulkan driver was found".into(),
        });
    }
    let device = |(index, (_, adapter)): (usize, (WgpuDevice, Adapter))| {
        let info = adapter.get_info();
        let driver = [info.driver, info.driver_info].join(" ");
        Device {
            name: DeviceName { kind, index },
            title: info.name,
            driver: Some(driver.trim().to_string()).filter(|driver| !driver.is_empty()),
            memory: memory(&adapter),
            software: info.device_type == DeviceType::Cpu,
        }
    };
    Ok(adapters.into_iter().enumerate().map(device).collect())
}

/// Returns the bytes of the device's own memory, if Vulkan reports them.
#[cfg(not(target_os = "macos"))]
fn memory(adapter: &Adapter) -> Option<u64> {
    /// `VK_MEMORY_HEAP_DEVICE_LOCAL_BIT`.
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: the handles belong to a live adapter and are only read.
    let properties = unsafe {
        let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = adapter.shared_instance().raw_instance();
        instance.get_physical_device_memory_properties(adapter.raw_physical_device())
    };
    let heaps = &properties.memory_heaps[..properties.memory_heap_count as usize];
    let local = heaps
        .iter()
        .filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0);
    local.map(|heap| heap.size).max()
}

#[cfg(target_os = "macos")]
fn memory(_: &Adapter) -> Option<u64> {
    None
}

/// Returns burn's device of this kind and number, initialized for the kind's graphics API.
pub(super) fn open(name: DeviceName) -> Option<WgpuDevice> {
    static READY: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let (device, _) = adapters(name.kind).into_iter().nth(name.index)?;
    let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
    // The runtime rejects a second initialization of the same device.
    if ready.insert(format!("{device:?}")) {
        let options = RuntimeOptions::default();
        match name.kind {
            Kind::Metal => init_setup::<Metal>(&device, options),
            Kind::Vulkan => init_setup::<Vulkan>(&device, options),
            _ => init_setup::<AutoGraphicsApi>(&device, options),
        };
    }
    Some(device)
}
