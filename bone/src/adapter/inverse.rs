use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Computes `(I + B[i])⁻¹` for every block of `[n, r, r]`, on the host in f64.
///
/// # Errors
///
/// Names the first block that is singular, or so close to it that the inverse is meaningless.
pub(super) fn inverse_of_identity_plus<B: Backend>(
    block: Tensor<B, 3>,
) -> Result<Tensor<B, 3>, String> {
    let [n, r, _] = block.dims();
    let (device, dtype) = (block.device(), block.dtype());
    let mut values: Vec<f64> = block.into_data().convert::<f64>().iter::<f64>().collect();
    for (index, matrix) in values.chunks_exact_mut(r * r).enumerate() {
        for i in 0..r {
            matrix[i * r + i] += 1.0;
        }
        let inverse = gauss_jordan(matrix.to_vec(), r).ok_or_else(|| {
            format!("block {index} of the adapter: I + B is not invertible, so the base weight cannot be \
              recovered; use the original base model")
        })?;
        matrix.copy_from_slice(&inverse);
    }
    Ok(Tensor::from_data(
        TensorData::new(values, [n, r, r]),
        (&device, dtype),
    ))
}

/// Inverts a matrix by elimination with partial pivoting; `None` when a pivot vanishes.
fn gauss_jordan(mut a: Vec<f64>, r: usize) -> Option<Vec<f64>> {
    let scale = a.iter().fold(0f64, |max, v| max.max(v.abs()));
    let mut inverse = vec![0.0; r * r];
    for i in 0..r {
        inverse[i * r + i] = 1.0;
    }
    for column in 0..r {
        let pivot = (column..r)
            .max_by(|&i, &j| a[i * r + column].abs().total_cmp(&a[j * r + column].abs()))?;
        let value = a[pivot * r + column];
        if !value.is_finite() || value.abs() <= scale * 1e-12 {
            return None;
        }
        for k in 0..r {
            a.swap(column * r + k, pivot * r + k);
            inverse.swap(column * r + k, pivot * r + k);
        }
        for k in 0..r {
            a[column * r + k] /= value;
            inverse[column * r + k] /= value;
        }
        for row in (0..r).filter(|&row| row != column) {
            let factor = a[row * r + column];
            for k in 0..r {
                a[row * r + k] -= factor * a[column * r + k];
                inverse[row * r + k] -= factor * inverse[column * r + k];
            }
        }
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_times_matrix_is_identity() {
        let a = vec![0.0, 2.0, 1.0, 1.0, 0.0, 3.0, 4.0, 1.0, 0.5];
        let inverse = gauss_jordan(a.clone(), 3).expect("regular");
        for i in 0..3 {
            for j in 0..3 {
                let value: f64 = (0..3).map(|k| a[i * 3 + k] * inverse[k * 3 + j]).sum();
                assert!((value - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn singular_matrix_has_no_inverse() {
        assert!(gauss_jordan(vec![1.0, 2.0, 2.0, 4.0], 2).is_none());
    }
}
