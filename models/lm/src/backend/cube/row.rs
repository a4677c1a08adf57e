//! A cube for each row: sums and maxima over it by all of the cube's units.

use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::client::ComputeClient;
use cubecl::prelude::*;

/// Units of a row's cube.
pub(super) const UNITS: usize = 256;

/// A cube for each of `rows` rows, of as many units as a row has entries, up to [`UNITS`].
pub(super) fn cubes<R: CubeRuntime>(
    client: &ComputeClient<R>,
    rows: usize,
    entries: usize,
) -> (CubeCount, CubeDim) {
    let most = client.properties().hardware.max_units_per_cube as usize;
    let units = entries
        .next_power_of_two()
        .min(UNITS)
        .min(previous_power_of_two(most));
    // More cubes than one dimension holds lie in rows of it.
    let (x, _, _) = client.properties().hardware.max_cube_count;
    let across = rows.min(x as usize).max(1);
    let count = CubeCount::Static(across as u32, rows.div_ceil(across).max(1) as u32, 1);
    (count, CubeDim::new_1d(units as u32))
}

fn previous_power_of_two(n: usize) -> usize {
    1 << n.max(1).ilog2()
}

/// The largest of a tensor's entries from `begin` to before `end`, times `scale`, and the sum of the
/// exponentials of all of them less it, for all of the cube's units. Each entry is read once.
#[cube]
pub(super) fn largest_and_total<F: Float>(
    values: &Tensor<F>,
    begin: usize,
    end: usize,
    scale: f32,
    shared: &mut SharedMemory<f32>,
) -> (f32, f32) {
    // The largest so far, and the sum of exponentials less it.
    let mut most = f32::new(-3.0e38);
    let mut sum = f32::new(0.0);
    let mut n = begin + UNIT_POS as usize;
    while n < end {
        let x = f32::cast_from(values[n]) * scale;
        if x > most {
            sum = sum * (most - x).exp() + 1.0;
            most = x;
        } else {
            sum += (x - most).exp();
        }
        n += CUBE_DIM as usize;
    }
    let largest = largest_of_units(most, shared);
    let total = sum_of_units(sum * (most - largest).exp(), shared);
    (largest, total)
}

/// The sum of every unit's value, for all of them.
#[cube]
pub(super) fn sum_of_units(value: f32, shared: &mut SharedMemory<f32>) -> f32 {
    of_units(value, shared, false)
}

/// The largest of every unit's values, for all of them.
#[cube]
fn largest_of_units(value: f32, shared: &mut SharedMemory<f32>) -> f32 {
    of_units(value, shared, true)
}

#[cube]
fn of_units(value: f32, shared: &mut SharedMemory<f32>, #[comptime] largest: bool) -> f32 {
    let unit = UNIT_POS as usize;
    // What was here before is read by now.
    sync_cube();
    shared[unit] = value;
    sync_cube();
    let mut half = CUBE_DIM as usize / 2;
    while half > 0 {
        if unit < half {
            let other = shared[unit + half];
            if comptime!(!largest) {
                shared[unit] += other;
            } else if other > shared[unit] {
                shared[unit] = other;
            }
        }
        sync_cube();
        half /= 2;
    }
    shared[0]
}
