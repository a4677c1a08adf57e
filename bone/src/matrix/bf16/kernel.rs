//! Which kernel multiplies pairs of bf16 on this processor.

use std::sync::LazyLock;

/// Rows and columns whose sums are held in registers.
pub(super) const ROWS: usize = 12;
pub(super) const WIDTH: usize = 32;

pub(crate) type Tile = [[f32; WIDTH]; ROWS];

/// Writes the products of two panels of `pairs` pairs.
///
/// # Safety
///
/// `a` is `[pairs, ROWS]`, `b` is `[pairs, WIDTH]`, and the processor has what the kernel needs.
pub(crate) type Kernel = unsafe fn(pairs: usize, a: *const u32, b: *const u32, sums: &mut Tile);

/// Name of the environment variable that says how products with weights in bf16 are made.
const CHOICE: &str = "BONE_BF16";

/// The kernel for products in bf16, and what it is called; none where they are made in f32.
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
            "{CHOICE} is {other:?}; it can be auto, off or portable"
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

/// How products with weights in bf16 are made on the processor: the name of the instructions they are
/// made in bf16 with, or `None` where the weights are widened to f32.
///
/// The environment variable `BONE_BF16` chooses: `auto`, or nothing, takes what the processor has;
/// `off` widens on any; `portable` multiplies in bf16 on any, slowly, to see what that does to a run.
///
/// # Errors
///
/// The variable is none of these; products are then made as without it.
pub fn instructions() -> Result<Option<&'static str>, String> {
    chosen().clone().map(|chosen| chosen.map(|(_, name)| name))
}

/// The kernel that products with weights in bf16 are made with.
pub(crate) fn kernel() -> Option<Kernel> {
    #[cfg(test)]
    if let Some(forced) = super::tests::FORCED.get() {
        return Some(forced);
    }
    let chosen = chosen().clone().or_else(|_| choose(None)).ok().flatten();
    chosen.map(|(kernel, _)| kernel)
}

/// What a kernel does, in the words of the language.
///
/// # Safety
///
/// See [`Kernel`].
pub(super) unsafe fn portable(pairs: usize, a: *const u32, b: *const u32, sums: &mut Tile) {
    let value = |word: u32, half: u32| f32::from_bits(word >> (16 * half) << 16);
    for pair in 0..pairs {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (column, sum) in sums.iter_mut().enumerate() {
                // SAFETY: within the panels, which the caller vouches for.
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
            // SAFETY: within the panels, which the caller vouches for.
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
