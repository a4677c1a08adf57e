//! The initial values of LoRA's factors.

use crate::adapter::method::Layer;
use crate::{LoraConfig, LoraStart, SvdMethod};
use burn::tensor::TensorData;
use faer::{Mat, MatRef};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Extra directions that the fast decomposition computes beyond the rank. They keep the last
/// requested directions as accurate as the first (Halko, Martinsson, Tropp: *Finding structure with
/// randomness*, section 4.2).
const OVERSAMPLING: usize = 8;

/// Computes `A` `[r, in]` and `B` `[out, r]` of a new adapter.
///
/// # Errors
///
/// The weight holds values that are not finite.
pub(super) fn factors(settings: &LoraConfig, layer: &Layer<'_>) -> Result<[TensorData; 2], String> {
    let Layer {
        rank,
        d_input,
        d_output,
        weight,
        seed,
    } = *layer;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    if settings.start == LoraStart::Random {
        // Kaiming's uniform with a = √5, the initialisation of `nn.Linear` and of LoRA's A.
        let bound = 1.0 / (d_input as f32).sqrt();
        let a: Vec<f32> = (0..rank * d_input)
            .map(|_| rng.random_range(-bound..bound))
            .collect();
        let b = vec![0f32; d_output * rank];
        return Ok([
            TensorData::new(a, [rank, d_input]),
            TensorData::new(b, [d_output, rank]),
        ]);
    }
    let values = weight();
    if !values.iter().all(|value| value.is_finite()) {
        return Err("its weight has values that are not finite".into());
    }
    // faer's matrices are column-major: burn's rows read this way are `[out, in]`.
    let weight = MatRef::from_column_major_slice(&values, d_output, d_input);
    match settings.start {
        LoraStart::Pissa(method) => {
            let scale = settings.scale(rank) as f32;
            pissa(weight, rank, scale, method, &mut rng)
        }
        LoraStart::Random | LoraStart::Olora => Ok(olora(weight, rank)),
    }
}

/// Computes OLoRA's factors from `W = Q·R`: `A` is the first `r` rows of `R`, `B` the first `r`
/// columns of `Q`. The columns of `Q` depend only on the first `r` columns of `W`.
fn olora(weight: MatRef<'_, f32>, rank: usize) -> [TensorData; 2] {
    let b = weight.subcols(0, rank).qr().compute_thin_Q();
    let a = b.transpose() * weight;
    [row_major(a.as_ref()), row_major(b.as_ref())]
}

/// Computes PiSSA's factors from `W = U·S·Vᵀ`: `A = √(S/s)·Vᵀ` and `B = U·√(S/s)` of the `r`
/// largest singular values.
fn pissa(
    weight: MatRef<'_, f32>,
    rank: usize,
    scale: f32,
    method: SvdMethod,
    rng: &mut ChaCha8Rng,
) -> Result<[TensorData; 2], String> {
    let mut parts = match method {
        SvdMethod::Exact => exact(weight)?,
        SvdMethod::Fast { iterations } => {
            let (d_output, d_input) = weight.shape();
            let width = (rank + OVERSAMPLING).min(d_output.min(d_input));
            let random = Mat::<f32>::from_fn(d_input, width, |_, _| rng.sample(StandardNormal));
            let mut q = (weight * random).qr().compute_thin_Q();
            for _ in 0..iterations {
                let back = (weight.transpose() * &q).qr().compute_thin_Q();
                q = (weight * back).qr().compute_thin_Q();
            }
            let small = q.transpose() * weight;
            let parts = exact(small.as_ref())?;
            Decomposed {
                u: q * parts.u,
                ..parts
            }
        }
    };
    parts.values.iter_mut().for_each(|value| *value /= scale);
    Ok(parts.factors(rank, rank))
}

/// Computes the full decomposition, in f64: f32 loses far more than rounding in the vectors of
/// close singular values.
fn exact(matrix: MatRef<'_, f32>) -> Result<Decomposed, String> {
    let (rows, columns) = matrix.shape();
    let wide = Mat::<f64>::from_fn(rows, columns, |i, j| f64::from(matrix[(i, j)]));
    let svd = wide
        .thin_svd()
        .map_err(|_| "its singular value decomposition failed".to_string())?;
    let narrow = |m: MatRef<'_, f64>| Mat::from_fn(m.nrows(), m.ncols(), |i, j| m[(i, j)] as f32);
    let values = svd.S().column_vector().iter().map(|value| *value as f32);
    Ok(Decomposed {
        u: narrow(svd.U()),
        v: narrow(svd.V()),
        values: values.collect(),
    })
}

/// A singular value decomposition `U·S·Vᵀ`, the largest singular value first.
pub(crate) struct Decomposed {
    u: Mat<f32>,
    v: Mat<f32>,
    /// Singular values.
    pub(crate) values: Vec<f32>,
}

impl Decomposed {
    /// Returns `A` `[rank, in]` and `B` `[out, rank]` of the `kept` largest singular values at
    /// scale 1, the rest zero.
    pub(crate) fn factors(&self, kept: usize, rank: usize) -> [TensorData; 2] {
        let root = |i: usize| {
            if i < kept {
                self.values[i].max(0.0).sqrt()
            } else {
                0.0
            }
        };
        let at = |matrix: &Mat<f32>, row, i| if i < kept { matrix[(row, i)] } else { 0.0 };
        let a = Mat::from_fn(rank, self.v.nrows(), |i, j| root(i) * at(&self.v, j, i));
        let b = Mat::from_fn(self.u.nrows(), rank, |i, j| at(&self.u, i, j) * root(j));
        [row_major(a.as_ref()), row_major(b.as_ref())]
    }
}

/// Computes the full decomposition of `matrix` `[out, in]`.
///
/// # Errors
///
/// The tensor is not a matrix, or holds values that are not finite.
pub(crate) fn decompose(matrix: &TensorData) -> Result<Decomposed, String> {
    let values: Vec<f32> = matrix.iter::<f32>().collect();
    let [rows, columns] = matrix.shape[..] else {
        return Err(format!(
            "shape {:?} is not that of a matrix",
            &matrix.shape[..]
        ));
    };
    if !values.iter().all(|value| value.is_finite()) {
        return Err("it has values that are not finite".into());
    }
    exact(MatRef::from_row_major_slice(&values, rows, columns))
}

fn row_major(matrix: MatRef<'_, f32>) -> TensorData {
    let (rows, columns) = matrix.shape();
    let values: Vec<f32> = (0..rows)
        .flat_map(|row| (0..columns).map(move |column| matrix[(row, column)]))
        .collect();
    TensorData::new(values, [rows, columns])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::numbers;

    const INPUTS: usize = 60;
    const OUTPUTS: usize = 24;

    /// Returns a weight `[in, out]` whose singular values fall like those of trained weights.
    fn weight() -> Vec<f32> {
        let numbers = numbers(3, INPUTS * OUTPUTS).into_iter().enumerate();
        numbers
            .map(|(at, value)| value as f32 * 0.8f32.powi((at % OUTPUTS) as i32))
            .collect()
    }

    fn start(start: LoraStart, rank: usize) -> [Vec<f32>; 2] {
        let settings = LoraConfig {
            alpha: 6.0,
            rslora: false,
            start,
        };
        let layer = Layer {
            rank,
            d_input: INPUTS,
            d_output: OUTPUTS,
            weight: &weight,
            seed: 5,
        };
        let factors = factors(&settings, &layer).expect("finite");
        assert_eq!(factors[0].shape[..], [rank, INPUTS]);
        assert_eq!(factors[1].shape[..], [OUTPUTS, rank]);
        factors.map(|factor| factor.iter::<f32>().collect())
    }

    /// Returns the squared norm of the difference between `s·B·A` and the weight.
    fn missing([a, b]: &[Vec<f32>; 2], rank: usize) -> f32 {
        let scale = 6.0 / rank as f32;
        let weight = weight();
        let mut sum = 0.0;
        for (i, row) in weight.chunks_exact(OUTPUTS).enumerate() {
            for (o, value) in row.iter().enumerate() {
                let product: f32 = (0..rank).map(|j| b[o * rank + j] * a[j * INPUTS + i]).sum();
                sum += (value - scale * product).powi(2);
            }
        }
        sum
    }

    #[test]
    fn pissa_is_best_approximation_of_weight() {
        let exact = |rank| missing(&start(LoraStart::Pissa(SvdMethod::Exact), rank), rank);
        let all: f32 = weight().iter().map(|value| value * value).sum();
        assert!(exact(OUTPUTS) < 1e-9 * all);
        let parts: Vec<f32> = (1..9).map(exact).collect();
        assert!(parts.windows(2).all(|pair| pair[1] < pair[0]), "{parts:?}");
        // Twelve of the 24 directions are computed.
        for (iterations, bound) in [(0, 0.2), (4, 1e-4)] {
            let fast = start(LoraStart::Pissa(SvdMethod::Fast { iterations }), 4);
            let more = missing(&fast, 4) / parts[3] - 1.0;
            // The best approximation of this rank is the lower bound.
            assert!((-1e-5..bound).contains(&more), "{iterations}: {more}");
        }
    }

    #[test]
    fn olora_has_orthonormal_columns() {
        let [_, b] = start(LoraStart::Olora, 4);
        for (first, second) in [(0, 0), (0, 1), (2, 3), (3, 3)] {
            let dot: f32 = (0..OUTPUTS)
                .map(|o| b[o * 4 + first] * b[o * 4 + second])
                .sum();
            let expected = if first == second { 1.0 } else { 0.0 };
            assert!((dot - expected).abs() < 1e-6, "{first} {second}: {dot}");
        }
    }

    #[test]
    fn random_lora_has_bounded_a_and_zero_b() {
        let [a, b] = start(LoraStart::Random, 4);
        let bound = 1.0 / (INPUTS as f32).sqrt();
        assert!(a.iter().all(|a| a.abs() < bound) && a.iter().any(|a| a.abs() > 0.8 * bound));
        assert!(b.iter().all(|b| *b == 0.0));
        assert_eq!(start(LoraStart::Random, 4)[0], a);
    }

    #[test]
    fn non_finite_weights_are_rejected() {
        let settings = LoraConfig {
            alpha: 1.0,
            rslora: false,
            start: LoraStart::Olora,
        };
        let layer = Layer {
            rank: 1,
            d_input: 2,
            d_output: 2,
            weight: &|| vec![1.0, f32::NAN, 0.0, 2.0],
            seed: 0,
        };
        assert!(factors(&settings, &layer).is_err());
    }
}
