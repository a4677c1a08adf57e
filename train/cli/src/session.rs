//! Opening a model for `generate`, `chat` and `eval`.

use crate::error::CommandError;
use crate::work::Load;
use bone_data::{PROMPT_FILE, Prompt, Template};
use bone_tokenizer::{self as tokenizer, Piece, Tokenizer, TokenizerChoice, encode_pieces};
use bone_train::config::{AxisWord, DtypeChoice};
use bone_train::device::{self, Device, Kind, precision};
use bone_train::memory::check_weights;
use bone_train::models::adapter::{self, open};
use bone_train::models::{self, ModelInfo};
use bone_train::run::fingerprint::of_files;
use std::path::PathBuf;

/// A model and what runs it.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Model")]
pub struct SessionArgs {
    /// Model: a Hugging Face folder, or a .pth or .safetensors file of RWKV
    #[arg(long, value_name = "DIR|FILE")]
    pub model: PathBuf,
    /// Adapter: a folder, the --out of a training run, or a file of RWKV-PEFT or JL-er/Bone
    #[arg(long, value_name = "DIR|FILE")]
    pub adapter: Option<PathBuf>,
    /// Block axis of an adapter file that does not record it: output, input, none (for miss)
    #[arg(long, value_name = "AXIS", requires = "adapter")]
    pub block_axis: Option<AxisWord>,
    /// Tokenizer: auto (the model's own), bytes, or a file
    #[arg(long, value_name = "auto|bytes|FILE", default_value_t = TokenizerChoice::Auto)]
    pub tokenizer: TokenizerChoice,
    /// Device: auto, or a name that `bone devices` lists
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
    /// Precision of the weights: auto, f32, bf16, f16
    #[arg(long, value_name = "NAME", default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
}

/// An existing model without its weights: its tokenizer, and the prompt format of its training.
pub(crate) struct Session {
    pub(crate) device: Device,
    pub(crate) info: ModelInfo,
    pub(crate) tokenizer: Box<dyn Tokenizer>,
    /// The precision of the weights, as text.
    pub(crate) dtype: String,
    /// Logits that are closer than this may change order with the rounding of another batch size.
    pub(crate) near_tie: f64,
    model: PathBuf,
    /// The template of the training run, if known.
    trained: Option<Template>,
}

impl SessionArgs {
    /// Returns a model with defaults for all other options.
    pub fn of(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            adapter: None,
            block_axis: None,
            tokenizer: TokenizerChoice::Auto,
            device: "auto".to_owned(),
            dtype: DtypeChoice::Auto,
        }
    }

    /// # Errors
    ///
    /// A part is missing or does not fit. This is checked before any weight is read.
    pub(crate) fn open(&self) -> Result<(Session, Load), CommandError> {
        let (device, _) = device::choose(&self.device)?;
        let model = models::open(&self.model)?;
        let info = model.info.clone();
        let (tokenizer, _) = tokenizer::open(&self.model, &self.tokenizer, info.shape.vocab_size)?;
        let precision = precision::choose(self.dtype, &info, device.name)?;
        if device.name.kind == Kind::Cpu && !precision.mapped {
            check_weights((info.shape.parameters * precision.bytes) as u64)?;
        }
        let kind = self.block_axis.map(AxisWord::kind);
        let (adapter, trained) = match &self.adapter {
            Some(path) => (
                Some((open(path, kind)?, path.clone())),
                adapter::prompt(path)?,
            ),
            None => (None, Prompt::load(&self.model)?),
        };
        if let Some(trained) = &trained {
            trained.check(tokenizer.as_ref())?;
        }
        let load = Load {
            model,
            adapter,
            dtype: precision.convert,
            device: device.name,
            fusion: true,
        };
        let session = Session {
            device,
            info,
            tokenizer,
            dtype: precision.text,
            // bf16 has eight significant bits: products of rounded values differ by about 1 % of a logit.
            near_tie: if precision.half_products { 5e-2 } else { 1e-4 },
            model: self.model.clone(),
            trained: trained.and_then(|trained| trained.template),
        };
        Ok((session, load))
    }

    /// Returns a fingerprint of the weights, which tells them apart from others at the same path.
    ///
    /// # Errors
    ///
    /// The files cannot be read.
    pub(crate) fn fingerprint(&self) -> Result<String, CommandError> {
        let adapter = self.adapter.as_deref().map(adapter::place);
        let mut parts = Vec::new();
        for path in [Some(self.model.clone()), adapter].into_iter().flatten() {
            let files = of_files(&path)?;
            parts.extend(files.iter().map(|(name, hash)| format!("{name} {hash}")));
        }
        // On another axis the same bytes are another adapter.
        parts.extend(self.block_axis.map(|axis| axis.to_string()));
        Ok(parts.join(" "))
    }
}

impl Session {
    /// Returns the template with this name; `trained` is that of the training run.
    ///
    /// # Errors
    ///
    /// The template does not exist.
    pub(crate) fn template(&self, name: &str) -> Result<Template, CommandError> {
        if name != "trained" {
            return Ok(Template::load(name, Some(&self.model))?);
        }
        self.trained.clone().ok_or_else(|| {
            CommandError::usage(format!(
                "--template: trained is the template of a training run, but neither the model nor the \
                 adapter records one ({PROMPT_FILE}); choose a template"
            ))
        })
    }

    /// Returns the template with this name. Without a name, returns that of the training run, or else
    /// `otherwise`.
    ///
    /// # Errors
    ///
    /// The template does not exist.
    pub(crate) fn template_or(
        &self,
        name: Option<&str>,
        otherwise: &str,
    ) -> Result<Template, CommandError> {
        match (name, &self.trained) {
            (None, Some(trained)) => Ok(trained.clone()),
            _ => self.template(name.unwrap_or(otherwise)),
        }
    }

    /// Returns the tokens of a prompt.
    ///
    /// # Errors
    ///
    /// The tokenizer rejects the text.
    pub(crate) fn encode(&self, pieces: &[Piece]) -> Result<Vec<u32>, CommandError> {
        Ok(encode_pieces(self.tokenizer.as_ref(), pieces)?.ids)
    }

    /// Returns the tokens of a prompt that leaves space for an answer.
    ///
    /// # Errors
    ///
    /// Like [`Session::encode`]. A prompt that fills the model's positions is an error: beyond them the
    /// output is useless.
    pub(crate) fn encode_fitting(&self, pieces: &[Piece]) -> Result<Vec<u32>, CommandError> {
        let tokens = self.encode(pieces)?;
        match self.info.positions {
            Some(positions) if tokens.len() >= positions => Err(CommandError::usage(format!(
                "the prompt has {} tokens, but the model supports {positions}; shorten it",
                tokens.len()
            ))),
            _ => Ok(tokens),
        }
    }
}
