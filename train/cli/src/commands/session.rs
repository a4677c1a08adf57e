//! A model to talk to: what `generate`, `chat` and `eval` open alike.

use super::CommandError;
use crate::eval::fingerprint;
use bone::saved::Scan;
use bone_data::Prompt;
use bone_data::Template;
use bone_data::tokenizer::{self, Encoded, Piece, Tokenizer, TokenizerChoice, encode_pieces};
use bone_lm::CausalLm;
use bone_train::config::{AxisWord, DtypeChoice};
use bone_train::device::{self, Device, Kind, OnDevice};
use bone_train::memory::check_weights;
use bone_train::models::adapter::{self, open, put_on};
use bone_train::models::precision;
use bone_train::models::{self, ModelBackend, ModelInfo, ModelSource, WithModel, with_model};
use bone_train::step::{TrainBackend, TrainModel};
use std::cell::Cell;
use std::path::{Path, PathBuf};

/// The name of the template that a model or an adapter was trained with.
pub(super) const TRAINED: &str = "trained";

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

impl SessionArgs {
    /// A model with the defaults for everything else.
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
}

/// A model that is known to be there, its tokenizer, and what it was trained with; the weights are
/// not loaded.
pub(super) struct Session {
    pub(super) device: Device,
    pub(super) info: ModelInfo,
    pub(super) tokenizer: Box<dyn Tokenizer>,
    /// The precision of the weights, in words.
    pub(super) dtype: String,
    source: ModelSource,
    /// Taken when the weights are loaded, once.
    adapter: Cell<Option<(Scan, PathBuf)>>,
    adapter_path: Option<PathBuf>,
    /// What a file that does not say it was said to hold.
    block_axis: Option<AxisWord>,
    trained: Option<Prompt>,
}

impl Session {
    /// # Errors
    ///
    /// What is missing or does not fit, before any weight is read.
    pub(super) fn open(args: &SessionArgs) -> Result<Self, CommandError> {
        let (device, _) = device::choose(&args.device)?;
        let info = models::inspect(&args.model, true)?;
        let (tokenizer, _) = tokenizer::open(&args.model, &args.tokenizer, info.shape.vocab_size)?;
        let precision = precision::choose(args.dtype, &info, device.name)?;
        if device.name.kind == Kind::Cpu && !precision.mapped {
            check_weights((info.shape.parameters * precision.bytes) as u64)?;
        }
        let kind = args.block_axis.map(AxisWord::kind);
        let adapter = match &args.adapter {
            Some(path) => Some((open(path, kind)?, path.clone())),
            None => None,
        };
        let trained = match &args.adapter {
            Some(path) => adapter::prompt(path)?,
            None => Prompt::load(&args.model)?,
        };
        if let Some(trained) = &trained {
            trained.check(tokenizer.as_ref())?;
        }
        Ok(Self {
            device,
            info,
            tokenizer,
            dtype: precision.text,
            source: ModelSource {
                folder: args.model.clone(),
                dtype: precision.convert,
                random: None,
            },
            adapter: Cell::new(adapter),
            adapter_path: args.adapter.clone(),
            block_axis: args.block_axis,
            trained,
        })
    }

    /// The template of a name, or the one of the training run.
    ///
    /// # Errors
    ///
    /// There is no such template.
    pub(super) fn template(&self, name: &str) -> Result<Template, CommandError> {
        match name {
            TRAINED => self.trained_template().ok_or_else(|| {
                CommandError::Usage(format!(
                    "--template: {TRAINED} is the one of a training run, and neither the model nor \
                     the adapter says which that was ({}); name one",
                    bone_data::PROMPT_FILE
                ))
            }),
            name => Ok(Template::load(name, Some(&self.source.folder))?),
        }
    }

    /// The template of a name, or without one that of the training run, else Alpaca's.
    ///
    /// # Errors
    ///
    /// There is no such template.
    pub(super) fn template_or_trained(&self, name: Option<&str>) -> Result<Template, CommandError> {
        match (name, self.trained_template()) {
            (Some(name), _) => self.template(name),
            (None, Some(trained)) => Ok(trained),
            (None, None) => self.template("alpaca"),
        }
    }

    /// The template of the training run, if it is known.
    pub(super) fn trained_template(&self) -> Option<Template> {
        self.trained.as_ref()?.template.clone()
    }

    /// What tells the weights apart from others in the same place.
    ///
    /// # Errors
    ///
    /// Their files cannot be read.
    pub(super) fn fingerprint(&self) -> Result<String, CommandError> {
        let of = |path: &Path| fingerprint::of_files(path).map_err(CommandError::io(path));
        let model = of(&self.source.folder)?;
        let mut parts = vec![model];
        if let Some(path) = &self.adapter_path {
            parts.push(of(&adapter::place(path))?);
        }
        // The same bytes are another adapter on another axis.
        parts.extend(self.block_axis.map(|axis| axis.to_string()));
        Ok(parts.join(" "))
    }

    /// The tokens of a prompt.
    ///
    /// # Errors
    ///
    /// The tokenizer refuses the text.
    pub(super) fn encode(&self, pieces: &[Piece]) -> Result<Vec<u32>, CommandError> {
        let Encoded { ids, .. } = encode_pieces(self.tokenizer.as_ref(), pieces)?;
        Ok(ids)
    }

    /// Loads the model, puts the adapter on it, and lets `work` use it.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub(super) fn with<W: Work>(&self, work: W) -> Result<W::Output, CommandError> {
        let on = OnSession {
            source: &self.source,
            adapter: self.adapter.take(),
            work,
        };
        device::on_device(self.device.name, true, on)?
    }
}

/// What is done with a model.
pub(super) trait Work {
    /// What comes of it.
    type Output;

    /// Does it.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    fn run<B: bone_lm::Backend, M: CausalLm<B>>(
        self,
        model: &M,
        device: &B::Device,
    ) -> Result<Self::Output, CommandError>;
}

struct OnSession<'a, W> {
    source: &'a ModelSource,
    adapter: Option<(Scan, PathBuf)>,
    work: W,
}

impl<W: Work> OnDevice for OnSession<'_, W> {
    type Output = Result<W::Output, CommandError>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        let work = OnModel::<B, W> {
            adapter: self.adapter,
            work: self.work,
            device: device.clone(),
        };
        with_model::<B, _>(self.source, &device, work)?
    }
}

struct OnModel<B: TrainBackend, W> {
    adapter: Option<(Scan, PathBuf)>,
    work: W,
    device: B::Device,
}

impl<B: TrainBackend, W: Work> WithModel<B> for OnModel<B, W> {
    type Output = Result<W::Output, CommandError>;

    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output {
        let model = match self.adapter {
            Some((scan, path)) => put_on::<B, M>(model, scan, &path)?.0,
            None => model,
        };
        self.work
            .run::<B::InnerBackend, M::InnerModule>(&model.valid(), &self.device)
    }
}
