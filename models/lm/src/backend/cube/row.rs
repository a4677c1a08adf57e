//! One cube per row: all of its units compute sums and maxima over the row.

use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::client::ComputeClient;
use cubecl::prelude::*;

/// Units of a row's cube.
pub(super) const UNITS: usize = 256;

/// Returns one cube for each of `rows` rows, with as many units as a row has entries, up to
/// [`UNITS`].
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
    // If one dimension cannot hold all cubes, they use two.
    let (x, _, _) = client.properties().hardware.max_cube_count;
    let across = rows.min(x as usize).max(1);
    let count = CubeCount::Static(across as u32, rows.div_ceil(across).max(1) as u32, 1);
    (count, CubeDim::new_1d(units as u32))
}

fn previous_power_of_two(n: usize) -> usize {
    1 << n.max(1).ilog2()
}

/// Returns, for all units of the cube: the largest entry from `begin` to before `end`, times
/// `scale`, and the sum of the exponentials of all entries minus that maximum. It reads each entry
/// once.
#[cube]
pub(super) fn largest_and_total<F: Float>(
    values: &Tensor<F>,
    begin: usize,
    end: usize,
    scale: f32,
    shared: &mut SharedMemory<f32>,
) -> (f32, f32) {
    // The largest so far, and the sum of exponentials relative to it.
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

/// Returns the sum of all units' values, for all units.
#[cube]
pub(super) fn sum_of_units(value: f32, shared: &mut SharedMemory<f32>) -> f32 {
    of_units(value, shared, false)
}

/// Returns the largest of all units' values, for all units.
#[cube]
fn largest_of_units(value: f32, shared: &mut SharedMemory<f32>) -> f32 {
    of_units(value, shared, true)
}

#[cube]
fn of_units(value: f32, shared: &mut SharedMemory<f32>, #[comptime] largest: bool) -> f32 {
    let unit = UNIT_POS as usize;
    // All units have read the old content by now.
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
