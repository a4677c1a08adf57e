//! A model to ask: what `generate`, `chat` and `eval` open alike.

use crate::error::CommandError;
use crate::work::{Load, Work};
use bone::saved::Scan;
use bone_data::{PROMPT_FILE, Prompt, Template};
use bone_tokenizer::{
    self as tokenizer, Encoded, Piece, Tokenizer, TokenizerChoice, encode_pieces,
};
use bone_train::config::{AxisWord, DtypeChoice};
use bone_train::device::precision;
use bone_train::device::{self, Device, Kind};
use bone_train::memory::check_weights;
use bone_train::models::adapter::{self, open, put_on};
use bone_train::models::{self, ModelInfo};
use bone_train::run::RunError;
use bone_train::run::fingerprint::of_files;
use bone_train::step::{TrainBackend, TrainModel};
use std::path::PathBuf;

/// The name of the template that a model or an adapter was trained with.
pub(crate) const TRAINED: &str = "trained";

/// A model and what runs it.
#[derive(Debug, Clone, clap::Args)]
pub struct SessionArgs {
    /// The model: a Hugging Face folder, or RWKV's .pth or .safetensors
    #[arg(long, value_name = "DIR|FILE")]
    pub model: PathBuf,
    /// An adapter: a folder, the --out of a training run, or a file of RWKV-PEFT's or JL-er's
    #[arg(long, value_name = "DIR|FILE")]
    pub adapter: Option<PathBuf>,
    /// Axis of bone's blocks in an adapter's file that does not say it: output, input, or none for
    /// miss
    #[arg(long, value_name = "AXIS", requires = "adapter")]
    pub block_axis: Option<AxisWord>,
    /// auto, bytes, or a file: tokenizer.json, RWKV's vocabulary
    #[arg(long, value_name = "auto|bytes|FILE", default_value_t = TokenizerChoice::Auto)]
    pub tokenizer: TokenizerChoice,
    /// What to run on; `bone devices` lists it
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
    /// Precision of the weights: auto, f32, bf16, f16
    #[arg(long, value_name = "NAME", default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
}

/// A model that is known to be there, without its weights: its tokenizer, and what it was trained
/// with.
pub(crate) struct Session {
    pub(crate) device: Device,
    pub(crate) info: ModelInfo,
    pub(crate) tokenizer: Box<dyn Tokenizer>,
    /// The precision of the weights, in words.
    pub(crate) dtype: String,
    /// Logits nearer than this may change places with the rounding of another batch size.
    pub(crate) near_tie: f64,
    model: PathBuf,
    trained: Option<Prompt>,
}

/// The model of a session, and the adapter that goes on it; neither is loaded.
pub(crate) struct SessionModel {
    load: Load,
    adapter: Option<(Scan, PathBuf)>,
}

impl SessionArgs {
    /// Returns a model with the defaults for everything else.
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
    /// What is missing or does not fit, before any weight is read.
    pub(crate) fn open(&self) -> Result<(Session, SessionModel), CommandError> {
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
            dtype: precision.convert,
            device: device.name,
            fusion: true,
        };
        let session = Session {
            device,
            info,
            tokenizer,
            dtype: precision.text,
            // A bf16 has eight bits: products of rounded values differ by about 1 % of a logit.
            near_tie: if precision.half_products { 5e-2 } else { 1e-4 },
            model: self.model.clone(),
            trained,
        };
        Ok((session, SessionModel { load, adapter }))
    }

    /// Returns what tells the weights apart from others in the same place.
    ///
    /// # Errors
    ///
    /// Their files cannot be read.
    pub(crate) fn fingerprint(&self) -> Result<String, CommandError> {
        let adapter = self.adapter.as_deref().map(adapter::place);
        let mut parts = Vec::new();
        for path in [Some(self.model.clone()), adapter].into_iter().flatten() {
            let files = of_files(&path).map_err(RunError::from)?;
            parts.extend(
                files
                    .into_iter()
                    .map(|(name, hash)| format!("{name} {hash}")),
            );
        }
        // The same bytes are another adapter on another axis.
        parts.extend(self.block_axis.map(|axis| axis.to_string()));
        Ok(parts.join(" "))
    }
}

impl Session {
    /// Returns the template of a name, or the one of the training run.
    ///
    /// # Errors
    ///
    /// There is no such template.
    pub(crate) fn template(&self, name: &str) -> Result<Template, CommandError> {
        if name != TRAINED {
            return Ok(Template::load(name, Some(&self.model))?);
        }
        self.trained_template().ok_or_else(|| {
            CommandError::usage(format!(
                "--template: {TRAINED} is the one of a training run, and neither the model nor \
                 the adapter says which that was ({PROMPT_FILE}); name one"
            ))
        })
    }

    /// Returns the template of a name, or without one that of the training run, else Alpaca's.
    ///
    /// # Errors
    ///
    /// There is no such template.
    pub(crate) fn template_or_trained(&self, name: Option<&str>) -> Result<Template, CommandError> {
        match (name, self.trained_template()) {
            (Some(name), _) => self.template(name),
            (None, Some(trained)) => Ok(trained),
            (None, None) => self.template("alpaca"),
        }
    }

    /// Returns the template of the training run, if it is known.
    pub(crate) fn trained_template(&self) -> Option<Template> {
        self.trained.as_ref()?.template.clone()
    }

    /// Returns the tokens of a prompt.
    ///
    /// # Errors
    ///
    /// The tokenizer refuses the text.
    pub(crate) fn encode(&self, pieces: &[Piece]) -> Result<Vec<u32>, CommandError> {
        let Encoded { ids, .. } = encode_pieces(self.tokenizer.as_ref(), pieces)?;
        Ok(ids)
    }
}

impl SessionModel {
    /// Loads the model, puts the adapter on it, and lets `work` use it.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub(crate) fn with<W: Work>(self, work: W) -> Result<W::Output, CommandError> {
        let adapter = self.adapter;
        self.load.with(Adapted { adapter, work })
    }
}

struct Adapted<W> {
    adapter: Option<(Scan, PathBuf)>,
    work: W,
}

impl<W: Work> Work for Adapted<W> {
    type Output = W::Output;

    fn run<B: TrainBackend, M: TrainModel<B>>(
        self,
        model: M,
        device: &B::Device,
    ) -> Result<Self::Output, CommandError> {
        let model = match self.adapter {
            Some((scan, path)) => put_on::<B, M>(model, scan, &path)?.0,
            None => model,
        };
        self.work.run::<B, M>(model, device)
    }
}
