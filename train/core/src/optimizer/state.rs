//! Saving and restoring trained parameters and optimizer moments, by path.

use super::{Optimizer, Taken};
use crate::step::TrainBackend;
use bone::visit::{FloatMapper, FloatParam, Place, map_floats, read, visit_floats};
use bone_lm::Moments;
use burn::module::{AutodiffModule, Param};
use burn::tensor::{Tensor, TensorData};
use std::collections::BTreeMap;

/// A trained parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Its values, in the module's layout.
    pub values: TensorData,
    /// Its moments; `None` before its first step.
    pub moments: Option<TrainedMoments>,
}

/// The optimizer's state of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedMoments {
    /// Number of its steps.
    pub time: u32,
    /// The first moment, in the parameter's shape.
    pub first: TensorData,
    /// The second.
    pub second: TensorData,
}

impl<B: TrainBackend> Optimizer<B> {
    /// Returns every trained parameter by its path in `model`, read from the device.
    pub fn trained<M: AutodiffModule<B>>(&self, model: &M) -> BTreeMap<String, Trained> {
        let mut found = BTreeMap::new();
        visit_floats(model, |param: FloatParam<'_, B>| {
            if !param.is_require_grad() {
                return;
            }
            let moments = self.taken.get(&param.id).map(|taken| {
                let Moments { first, second } = taken.moments.clone();
                TrainedMoments {
                    time: taken.time,
                    first: read::<B::InnerBackend>(first),
                    second: read::<B::InnerBackend>(second),
                }
            });
            let values = param.data();
            found.insert(param.path(), Trained { values, moments });
        });
        found
    }

    /// Restores the result of [`trained`](Self::trained) into a `model` with the same trained parameters.
    ///
    /// # Errors
    ///
    /// A list of every parameter that is missing, unexpected or of another shape.
    pub fn put_back<M: AutodiffModule<B>>(
        &mut self,
        model: M,
        trained: BTreeMap<String, Trained>,
        device: &B::Device,
    ) -> Result<M, Vec<String>> {
        let mut write = Write {
            optimizer: self,
            trained,
            problems: Vec::new(),
            device,
        };
        let model = map_floats(model, &mut write);
        let left_over = write.trained.into_keys();
        let left_over =
            left_over.map(|path| format!("{path}: unknown, the model does not train it"));
        write.problems.extend(left_over);
        if write.problems.is_empty() {
            Ok(model)
        } else {
            Err(write.problems)
        }
    }
}

struct Write<'a, B: TrainBackend> {
    optimizer: &'a mut Optimizer<B>,
    trained: BTreeMap<String, Trained>,
    /// Mismatches with the trained parameters.
    problems: Vec<String>,
    device: &'a B::Device,
}

impl<B: TrainBackend> FloatMapper<B> for Write<'_, B> {
    fn map<const D: usize>(
        &mut self,
        place: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        if !param.is_require_grad() {
            return param;
        }
        let path = place.path();
        let Some(Trained { values, moments }) = self.trained.remove(&path) else {
            self.problems.push(format!("{path}: missing"));
            return param;
        };
        let wanted = param.dims();
        let of_moments = moments.iter().flat_map(|of| [&of.first, &of.second]);
        let mut shapes = of_moments.chain([&values]).map(|data| &data.shape[..]);
        if let Some(shape) = shapes.find(|shape| **shape != wanted) {
            let problem = format!("{path}: expected shape {wanted:?}, found {shape:?}");
            self.problems.push(problem);
            return param;
        }
        drop(shapes);
        let (id, _, mapper) = param.consume();
        let on_device = |data: TensorData| {
            let dtype = data.dtype;
            Tensor::<B::InnerBackend, D>::from_data(data, (self.device, dtype))
        };
        if let Some(of) = moments {
            let [first, second] =
                [of.first, of.second].map(|data| on_device(data).into_primitive().tensor());
            let (time, moments) = (of.time, Moments { first, second });
            self.optimizer.taken.insert(id, Taken { time, moments });
        }
        let tensor = Tensor::from_inner(on_device(values)).require_grad();
        Param::from_mapped_value(id, tensor, mapper)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::AdamWSettings;
    use super::*;
    use crate::step::Gradients;
    use bone::{BoneLinear, BoneLinearConfig};
    use burn::backend::{Autodiff, Flex};

    type B = Autodiff<Flex>;

    /// Takes a step of a layer with a gradient that depends only on the step and the layer.
    fn step(layer: BoneLinear<B>, optimizer: &mut Optimizer<B>, n: usize) -> BoneLinear<B> {
        let device = Default::default();
        let x = (Tensor::<B, 1, burn::tensor::Int>::arange(0..20, &device).float()
            * (n + 1) as f64)
            .sin();
        let y = layer.forward(x.reshape([4, 5]));
        let mut all = y.powi_scalar(2).sum().backward();
        let mut grads = Gradients::default();
        grads.add::<B, _>(&mut all, &layer);
        let loss = (Tensor::zeros([1], &device), 1.0, 1.0);
        let (layer, outcome) = optimizer.step(layer, grads, loss, 1e-2);
        outcome.unwrap();
        layer
    }

    fn layer() -> BoneLinear<B> {
        BoneLinearConfig::new(5, 3).init(&Default::default())
    }

    #[test]
    fn restored_optimizer_state_gives_same_steps() {
        let settings = AdamWSettings::default();
        let mut optimizer = Optimizer::<B>::new(settings);
        let mut first = layer();
        // Before the first step there are no moments.
        let trained = optimizer.trained(&first);
        assert_eq!(trained.keys().collect::<Vec<_>>(), ["bias", "weight"]);
        assert!(trained.values().all(|trained| trained.moments.is_none()));
        for n in 0..3 {
            first = step(first, &mut optimizer, n);
        }
        let trained = optimizer.trained(&first);
        let mut other = Optimizer::<B>::new(settings);
        let mut second = other
            .put_back(layer(), trained.clone(), &Default::default())
            .unwrap();
        assert_eq!(other.trained(&second), trained);
        for n in 3..6 {
            first = step(first, &mut optimizer, n);
            second = step(second, &mut other, n);
        }
        assert_eq!(other.trained(&second), optimizer.trained(&first));
    }

    #[test]
    fn optimizer_state_mismatches_are_listed() {
        let mut optimizer = Optimizer::<B>::new(AdamWSettings::default());
        let mut trained = optimizer.trained(&layer());
        let weight = trained.remove("weight").unwrap();
        trained.insert("bias".into(), weight.clone());
        trained.insert("other".into(), weight);
        let problems = optimizer
            .put_back(layer(), trained, &Default::default())
            .unwrap_err();
        let text = problems.join("\n");
        for wanted in [
            "bias: expected shape [3], found [5, 3]",
            "weight: missing",
            "other: unknown",
        ] {
            assert!(text.contains(wanted), "{text}");
        }
    }
}
