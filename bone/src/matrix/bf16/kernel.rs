//! Selects the kernel that multiplies pairs of bf16 on this processor.

use std::sync::LazyLock;

/// Rows and columns whose sums stay in registers.
pub(super) const ROWS: usize = 12;
pub(super) const WIDTH: usize = 32;

pub(crate) type Tile = [[f32; WIDTH]; ROWS];

/// Writes the products of two panels of `pairs` pairs.
///
/// # Safety
///
/// `a` is `[pairs, ROWS]`, `b` is `[pairs, WIDTH]`, and the processor has the instructions of the
/// kernel.
pub(crate) type Kernel = unsafe fn(pairs: usize, a: *const u32, b: *const u32, sums: &mut Tile);

/// Name of the environment variable that selects how products with bf16 weights are computed.
const CHOICE: &str = "BONE_BF16";

/// The kernel for products in bf16 and its name; `None` if they are computed in f32.
type Chosen = Option<(Kernel, &'static str)>;

pub(super) fn choose(word: Option<&str>) -> Result<Chosen, String> {
    match word {
        None | Some("" | "auto") => {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512f") {
                return Ok(Some((x86::tile, "AVX512-BF16")));
            }
            Ok(None)
        }
        Some("off") => Ok(None),
        Some("portable") => Ok(Some((portable, "portable"))),
        Some(other) => Err(format!(
            "{CHOICE} must be auto, off or portable, not {other:?}"
        )),
    }
}

fn chosen() -> &'static Result<Chosen, String> {
    static CHOSEN: LazyLock<Result<Chosen, String>> = LazyLock::new(|| {
        let word = std::env::var_os(CHOICE);
        choose(word.as_ref().map(|word| word.to_string_lossy()).as_deref())
    });
    &CHOSEN
}

/// Returns the name of the instructions that multiply bf16 weights on the processor; `None` if the
/// weights are widened to f32.
///
/// The environment variable `BONE_BF16` selects: `auto`, or an empty value, uses the processor's
/// instructions. `off` always widens. `portable` multiplies in bf16 on any processor; it is slow
/// and shows the effect of bf16 on a run.
///
/// ```
/// match bone::matrix::bf16_instructions() {
///     Ok(Some(name)) => println!("products with bf16 weights use {name}"),
///     Ok(None) => println!("bf16 weights are widened to f32"),
///     Err(reason) => eprintln!("{reason}"),
/// }
/// ```
///
/// # Errors
///
/// The variable has another value; products then run as if it were not set.
pub fn instructions() -> Result<Option<&'static str>, String> {
    chosen().clone().map(|chosen| chosen.map(|(_, name)| name))
}

/// Returns the kernel for products with bf16 weights.
pub(crate) fn kernel() -> Option<Kernel> {
    #[cfg(test)]
    if let Some(forced) = super::tests::FORCED.get() {
        return Some(forced);
    }
    let chosen = chosen().clone().or_else(|_| choose(None)).ok().flatten();
    chosen.map(|(kernel, _)| kernel)
}

/// Computes the same as a kernel, in portable Rust.
///
/// # Safety
///
/// See [`Kernel`].
pub(super) unsafe fn portable(pairs: usize, a: *const u32, b: *const u32, sums: &mut Tile) {
    let value = |word: u32, half: u32| f32::from_bits(word >> (16 * half) << 16);
    for pair in 0..pairs {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (column, sum) in sums.iter_mut().enumerate() {
                // SAFETY: within the panels, as the caller guarantees.
                let (a, b) = unsafe { (*a.add(pair * ROWS + row), *b.add(pair * WIDTH + column)) };
                *sum += value(a, 0) * value(b, 0) + value(a, 1) * value(b, 1);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{ROWS, Tile, WIDTH};
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32,
        _mm512_setzero_ps, _mm512_storeu_ps,
    };

    /// See [`Kernel`](super::Kernel).
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn tile(pairs: usize, a: *const u32, b: *const u32, sums: &mut Tile) {
        // SAFETY: the two types have the same 64 bytes.
        let bf16 = |words: __m512i| unsafe { std::mem::transmute::<__m512i, __m512bh>(words) };
        let mut held = [[_mm512_setzero_ps(); 2]; ROWS];
        for pair in 0..pairs {
            // SAFETY: within the panels, as the caller guarantees.
            let columns = [0, WIDTH / 2]
                .map(|half| unsafe { bf16(_mm512_loadu_si512(b.add(pair * WIDTH + half).cast())) });
            for (row, held) in held.iter_mut().enumerate() {
                // SAFETY: as above.
                let value = unsafe { *a.add(pair * ROWS + row) };
                let value = bf16(_mm512_set1_epi32(value.cast_signed()));
                for (held, columns) in held.iter_mut().zip(columns) {
                    *held = _mm512_dpbf16_ps(*held, value, columns);
                }
            }
        }
        for (sums, held) in sums.iter_mut().zip(held) {
            for (half, held) in held.into_iter().enumerate() {
                // SAFETY: two halves of 16 fill a row of a tile.
                unsafe { _mm512_storeu_ps(sums.as_mut_ptr().add(half * WIDTH / 2), held) };
            }
        }
    }
}
