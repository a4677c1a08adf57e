//! The arithmetic that a training step cannot do without.

use bone::AdapterConfig;

/// What is trained, for counting.
#[derive(Debug, Clone)]
pub enum Products {
    /// Adapters on the linear layers that the configuration chooses.
    Adapter(AdapterConfig),
    /// Every weight.
    Full,
    /// No weight of a linear layer, though gradients go through all of them: RWKV6's initial states.
    States,
}

/// Floating-point operations of a step's matrix products, a multiplication and an addition being two.
///
/// A linear layer has its product and the one for the gradient to its input, but for layers below the
/// first that trains. A method adds its own ([`bone::Variant::step_operations`]), full training the
/// weight-shaped product dyᵀx alone. Causal attention is counted at half of
/// S × S, six products of it in all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Of the linear layers, with what the method adds.
    pub linear: f64,
    /// Of attention; 0 for RWKV6, whose recurrence is no matrix product.
    pub attention: f64,
    /// Bytes that the products of the linear layers read and write if nothing is read twice: each
    /// product its weight, as it is held, and its input and output in f32. What a method adds is not
    /// counted, nor what is between the products: it could be a part of them.
    pub bytes: f64,
}

impl Floor {
    /// Of one step over `rows` sequences of `len` tokens. `layers` are path, inputs and outputs;
    /// `attention` is blocks × width of the queries, where there is any; an entry of a weight takes
    /// `entry` bytes.
    ///
    /// # Errors
    ///
    /// The adapter's targets match no layer.
    pub fn new(
        layers: &[(String, usize, usize)],
        products: &Products,
        [rows, len]: [usize; 2],
        attention: Option<usize>,
        entry: usize,
    ) -> Result<Self, bone::AttachError> {
        let n = (rows * len) as f64;
        let chosen = match products {
            Products::Full | Products::States => Vec::new(),
            Products::Adapter(config) => {
                let paths: Vec<_> = layers.iter().map(|(path, ..)| path.clone()).collect();
                config.targets.resolve(&paths)?
            }
        };
        let (mut linear, mut bytes) = (0.0, 0.0);
        let of_product = |i: f64, o: f64| entry as f64 * i * o + 4.0 * n * (i + o);
        for (path, d_input, d_output) in layers {
            let (i, o) = (*d_input as f64, *d_output as f64);
            linear += 2.0 * 2.0 * n * i * o;
            bytes += 2.0 * of_product(i, o);
            linear += match products {
                Products::Full => 2.0 * n * i * o,
                Products::Adapter(config) if chosen.contains(path) => {
                    let widths = [*d_input, *d_output];
                    config.variant.step_operations(config.rank, n, widths)
                }
                Products::Adapter(_) | Products::States => 0.0,
            };
        }
        // The queries, keys and values of the first block have an input that nobody trains.
        if !matches!(products, Products::Full) {
            for (_, i, o) in layers.iter().filter(|(path, ..)| first_of_a_model(path)) {
                let (i, o) = (*i as f64, *o as f64);
                linear -= 2.0 * n * i * o;
                bytes -= of_product(i, o);
            }
        }
        let pairs = rows as f64 * (len as f64).powi(2) / 2.0;
        Ok(Self {
            linear,
            attention: attention.map_or(0.0, |width| 6.0 * 2.0 * pairs * width as f64),
            bytes,
        })
    }

    /// All of it.
    pub fn total(self) -> f64 {
        self.linear + self.attention
    }
}

/// Layers whose input is the embedding, which does not train.
fn first_of_a_model(path: &str) -> bool {
    let layer = ["model.layers.0.self_attn.", "blocks.0.att."]
        .iter()
        .find_map(|block| path.strip_prefix(block));
    layer.is_some_and(|layer| !matches!(layer, "o_proj" | "output"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bone::{BlockAxis, LoraConfig, LoraStart, Selection, Targets, Variant};

    /// 768 × 12, vocabulary 32,000, 4 × 256 tokens, in GFLOP.
    #[test]
    fn floors_are_those_worked_out_by_hand() {
        let mut layers = vec![("lm_head".to_string(), 768, 32_000)];
        for layer in 0..12 {
            let of = |name: &str| format!("model.layers.{layer}.{name}");
            layers.extend(
                ["q_proj", "k_proj", "v_proj", "o_proj"]
                    .map(|p| (of(&format!("self_attn.{p}")), 768, 768)),
            );
            layers.extend(["gate_proj", "up_proj"].map(|p| (of(&format!("mlp.{p}")), 768, 2048)));
            layers.push((of("mlp.down_proj"), 2048, 768));
        }
        let targets = Targets::new(Selection::AllLinear);
        let adapter = |variant| Products::Adapter(AdapterConfig::new(variant, 64, targets.clone()));
        let total = |products: &Products| {
            Floor::new(&layers, products, [4, 256], Some(12 * 768), 4)
                .unwrap()
                .total()
                / 1e9
        };
        let lora = |start| {
            let (alpha, rslora) = (64.0, false);
            adapter(Variant::Lora(LoraConfig {
                alpha,
                rslora,
                start,
            }))
        };
        // Each product of a step written down by itself and added up, outside of this program.
        for (products, expected) in [
            (adapter(Variant::Miss), 496.874_029_056),
            (adapter(Variant::MissMini { width: 64 }), 461.541_212_160),
            (lora(LoraStart::Random), 528.280_977_408),
            (lora(LoraStart::Olora), 574.183_440_384),
            (adapter(Variant::Bone(BlockAxis::Input)), 490.834_231_296),
            (adapter(Variant::Bone(BlockAxis::Output)), 665.988_366_336),
            (Products::Full, 687.328_985_088),
            (Products::States, 459.427_282_944),
        ] {
            let found = total(&products);
            assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        }
        // Each of 109,510,656 weights twice, but for three of the first block, whose input nobody trains.
        let bytes = |entry| {
            let batch = [4, 256];
            let floor = Floor::new(&layers, &Products::States, batch, None, entry);
            floor.unwrap().bytes
        };
        assert_eq!(
            bytes(4) - bytes(2),
            2.0 * (2 * 109_510_656 - 3 * 768 * 768) as f64
        );
    }
}
