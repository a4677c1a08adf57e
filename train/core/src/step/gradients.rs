//! Gradients by parameter: summing, measuring and clipping them.

use super::TrainBackend;
use bone::visit::{FloatParam, visit_floats};
use bone_lm::Backend;
use burn::module::{AutodiffModule, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor, TensorPrimitive, backend::AutodiffBackend};
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// The sum of the gradients of any number of backward passes.
#[derive(Debug, Default)]
pub struct Gradients {
    sum: GradientsParams,
}

impl Gradients {
    /// Adds the gradients of one backward pass for the parameters of `module`.
    pub fn add<B: AutodiffBackend, M: AutodiffModule<B>>(
        &mut self,
        grads: &mut B::Gradients,
        module: &M,
    ) {
        let mut new = GradientsParams::from_module::<B, M>(grads, module);
        if new.is_empty() {
            return;
        }
        module.visit(&mut Add {
            sum: &mut self.sum,
            new: &mut new,
            backend: PhantomData::<B>,
        });
    }

    /// Returns whether no parameter has a gradient.
    pub fn is_empty(&self) -> bool {
        self.sum.is_empty()
    }

    /// Returns the sum of the squares of all entries, `[1]`: the square of the global norm.
    pub fn squared_norm<B: TrainBackend, M: AutodiffModule<B>>(
        &self,
        module: &M,
    ) -> Option<Tensor<B::InnerBackend, 1>> {
        let mut visitor = SquaredNorm::<B> {
            sum: &self.sum,
            parts: Vec::new(),
        };
        module.visit(&mut visitor);
        visitor.parts.into_iter().reduce(|a, b| a + b)
    }

    /// Returns the gradients, which the caller takes out one by one.
    pub fn into_params(self) -> GradientsParams {
        self.sum
    }

    /// Returns the gradient of every trained parameter, by path; `None` if it has none. For comparisons
    /// only: each gradient is a separate read from the device.
    pub fn by_path<B: AutodiffBackend, M: AutodiffModule<B>>(
        &self,
        module: &M,
    ) -> BTreeMap<String, Option<Vec<f64>>> {
        let mut found = BTreeMap::new();
        visit_floats(module, |param: FloatParam<'_, B>| {
            if param.is_require_grad() {
                // The read uses the gradient's own shape; the rank in the type is only a label.
                let grad = self.sum.get::<B::InnerBackend, 1>(param.id);
                let grad = grad.map(|grad| grad.into_data().iter::<f64>().collect());
                found.insert(param.path(), grad);
            }
        });
        found
    }

    /// Returns the gradients unchanged.
    #[cfg(test)]
    pub(crate) fn as_params(&self) -> &GradientsParams {
        &self.sum
    }
}

struct Add<'a, B> {
    sum: &'a mut GradientsParams,
    new: &'a mut GradientsParams,
    backend: PhantomData<B>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Add<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(new) = self.new.remove::<B::InnerBackend, D>(param.id) {
            let sum = match self.sum.remove::<B::InnerBackend, D>(param.id) {
                Some(sum) => sum + new,
                None => new,
            };
            self.sum.register::<B::InnerBackend, D>(param.id, sum);
        }
    }
}

struct SquaredNorm<'a, B: TrainBackend> {
    sum: &'a GradientsParams,
    parts: Vec<Tensor<B::InnerBackend, 1>>,
}

impl<B: TrainBackend> ModuleVisitor<B> for SquaredNorm<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(grad) = self.sum.get::<B::InnerBackend, D>(param.id) {
            let sum = B::InnerBackend::squared_sum(grad.into_primitive().tensor());
            let sum = Tensor::<_, 1>::from_primitive(TensorPrimitive::Float(sum));
            // Parameters may differ in precision.
            self.parts.push(sum.cast(DType::F32));
        }
    }
}
