//! `bone generate`: continue prompts with a base, an adapter or a merged model.

use super::adapter::{open, put_on};
use super::precision;
use super::{CommandError, say};
use crate::config::{AxisWord, DtypeChoice};
use crate::data::{Row, Template};
use crate::device::{self, Kind, OnDevice};
use crate::memory::check_weights;
use crate::models::{self, ModelBackend, ModelSource, WithModel, with_model};
use crate::report::printable;
use crate::step::{TrainBackend, TrainModel};
use bone::saved::Scan;
use bone_lm::generate::{GenerateConfig, generate};
use bone_lm::sampling::SamplingConfig;
use bone_lm::tokenizer::{
    self, TextStream, Tokenizer, TokenizerChoice, encode_prompt_and_response,
};
use std::path::{Path, PathBuf};

/// What to continue, and how.
#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
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
    /// Text to continue; repeat it for several, which run as one batch
    #[arg(long, value_name = "TEXT", required_unless_present = "prompt_file")]
    pub prompt: Vec<String>,
    /// A file whose whole text is a prompt; may be repeated, and come beside --prompt
    #[arg(long, value_name = "FILE")]
    pub prompt_file: Vec<PathBuf>,
    /// Put each prompt into a template as its instruction: alpaca, plain, or a file
    /// [default: the prompt as it is]
    #[arg(long, value_name = "NAME|FILE")]
    pub template: Option<String>,
    /// Tokens to add at most; it ends in any case where the model's positions do
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 256
    )]
    pub max_new_tokens: usize,
    /// 0 takes the most likely token; higher is more varied
    #[arg(
        long,
        value_name = "T",
        allow_negative_numbers = true,
        default_value_t = 0.0,
        help_heading = "Sampling"
    )]
    pub temperature: f32,
    /// Choose among the K most likely tokens
    #[arg(
        long,
        value_name = "K",
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub top_k: Option<usize>,
    /// Choose among the most likely tokens that make up this probability
    #[arg(
        long,
        value_name = "P",
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub top_p: Option<f32>,
    /// Above 1 makes tokens that occurred less likely
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        default_value_t = 1.0,
        help_heading = "Sampling"
    )]
    pub repetition_penalty: f32,
    /// Seed of the draws
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 0,
        help_heading = "Sampling"
    )]
    pub seed: u64,
    /// What to run on; `bone devices` lists it
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
}

impl GenerateArgs {
    fn sampling(&self) -> SamplingConfig {
        SamplingConfig {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        }
    }
}

/// Generates and prints; a single prompt's text is printed as it comes.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &GenerateArgs) -> Result<(), CommandError> {
    args.sampling().validate()?;
    if args.temperature == 0.0 {
        let given = [
            ("top_k", args.top_k.is_some()),
            ("top_p", args.top_p.is_some()),
        ];
        let ignored: Vec<_> = given
            .iter()
            .filter(|(_, given)| *given)
            .map(|(name, _)| *name)
            .collect();
        if !ignored.is_empty() {
            return Err(CommandError::Usage(format!(
                "{} means nothing with temperature 0, which takes the most likely token; set a temperature or leave it out",
                ignored.join(" and ")
            )));
        }
    }
    let template = args.template.as_deref().map(Template::load).transpose()?;
    let mut given = args.prompt.clone();
    for path in &args.prompt_file {
        let text = std::fs::read_to_string(path).map_err(|error| CommandError::Path {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        given.push(text);
    }
    let prompts: Vec<String> = given
        .into_iter()
        .map(|prompt| match &template {
            None => prompt,
            Some(template) => template.prompt(&Row {
                instruction: prompt,
                input: String::new(),
                response: String::new(),
                index: 0,
            }),
        })
        .collect();
    let request = Request {
        model: &args.model,
        adapter: args.adapter.as_deref(),
        kind: args.block_axis.map(AxisWord::kind),
        tokenizer: &args.tokenizer,
        prompts: &prompts,
        sampling: args.sampling(),
        max_new_tokens: args.max_new_tokens,
        device: &args.device,
    };
    if let [prompt] = &prompts[..] {
        // The prompt waits for the first new text, so that an error comes alone.
        let mut prompt = Some(printable(prompt));
        answer(&request, |text| {
            say(&prompt.take().unwrap_or_default());
            say(&printable(text));
        })?;
        say(&prompt.take().unwrap_or_default());
        say("\n");
        return Ok(());
    }
    let texts = answer(&request, |_| {})?;
    for (prompt, text) in prompts.iter().zip(texts) {
        say(&format!("{}{}\n\n", printable(prompt), printable(&text)));
    }
    Ok(())
}

/// Prompts for one model.
#[derive(Debug)]
pub struct Request<'a> {
    /// The model's folder.
    pub model: &'a Path,
    /// The adapter's folder.
    pub adapter: Option<&'a Path>,
    /// What the adapter is, where its file does not say it.
    pub kind: Option<bone::bare::Kind>,
    /// Which tokenizer.
    pub tokenizer: &'a TokenizerChoice,
    /// The texts to continue.
    pub prompts: &'a [String],
    /// How tokens are chosen.
    pub sampling: SamplingConfig,
    /// Tokens to add at most.
    pub max_new_tokens: usize,
    /// Device by name.
    pub device: &'a str,
}

/// Continues the request's prompts. `on_text` sees the first prompt's new text as it comes.
///
/// # Errors
///
/// [`CommandError`].
pub fn answer(
    request: &Request<'_>,
    on_text: impl FnMut(&str),
) -> Result<Vec<String>, CommandError> {
    let (device, _) = device::choose(request.device)?;
    let info = models::inspect(request.model, true)?;
    let (tokenizer, _) = tokenizer::open(request.model, request.tokenizer, info.shape.vocab_size)?;
    let tokenizer = tokenizer.as_ref();
    let prompts = request
        .prompts
        .iter()
        .map(|prompt| Ok(encode_prompt_and_response(tokenizer, prompt, "")?.0))
        .collect::<Result<Vec<_>, CommandError>>()?;
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    // Past its positions a model says nothing of worth.
    let left = info
        .positions
        .map(|positions| positions.saturating_sub(longest));
    if let (Some(positions), Some(0)) = (info.positions, left) {
        return Err(CommandError::Usage(format!(
            "the prompt has {longest} tokens and the model was made for {positions}; shorten it"
        )));
    }
    let precision = precision::choose(DtypeChoice::Auto, &info, device.name)?;
    if device.name.kind == Kind::Cpu && !precision.mapped {
        check_weights((info.shape.parameters * precision.bytes) as u64)?;
    }
    let source = ModelSource {
        folder: request.model.to_path_buf(),
        dtype: precision.convert,
        random: None,
    };
    let adapter = request
        .adapter
        .map(|path| open(path, request.kind))
        .transpose()?;
    device::on_device(
        device.name,
        true,
        GenerateOn {
            source: &source,
            adapter: adapter.zip(request.adapter),
            prompts: &prompts,
            tokenizer,
            config: GenerateConfig {
                sampling: request.sampling.clone(),
                max_new_tokens: request.max_new_tokens.min(left.unwrap_or(usize::MAX)),
                stop: tokenizer.eos().to_vec(),
            },
            on_text,
        },
    )?
}

struct GenerateOn<'a, F> {
    source: &'a ModelSource,
    adapter: Option<(Scan, &'a Path)>,
    prompts: &'a [Vec<u32>],
    tokenizer: &'a dyn Tokenizer,
    config: GenerateConfig,
    on_text: F,
}

impl<F: FnMut(&str)> OnDevice for GenerateOn<'_, F> {
    type Output = Result<Vec<String>, CommandError>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        let source = self.source;
        let work = GenerateWith::<B, F> {
            task: self,
            device: device.clone(),
        };
        with_model::<B, _>(source, &device, work)?
    }
}

struct GenerateWith<'a, B: TrainBackend, F> {
    task: GenerateOn<'a, F>,
    device: B::Device,
}

impl<B: TrainBackend, F: FnMut(&str)> WithModel<B> for GenerateWith<'_, B, F> {
    type Output = Result<Vec<String>, CommandError>;

    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output {
        let mut task = self.task;
        let model = match task.adapter {
            Some((scan, path)) => put_on::<B, M>(model, scan, path)?.0,
            None => model,
        };
        let model = model.valid();
        // A stream knows what came before: a space between prompt and text is kept.
        let mut streams = task
            .prompts
            .iter()
            .map(|prompt| TextStream::after(task.tokenizer, prompt))
            .collect::<Result<Vec<_>, _>>()?;
        let mut texts = vec![String::new(); streams.len()];
        let mut first_error = None;
        generate(
            &model,
            task.prompts,
            &task.config,
            &self.device,
            |row, token| match streams[row].push(token) {
                Ok(Some(text)) => {
                    if row == 0 {
                        (task.on_text)(&text);
                    }
                    texts[row].push_str(&text);
                }
                Ok(None) => {}
                Err(error) => first_error = Some(error),
            },
        )?;
        if let Some(error) = first_error {
            return Err(error.into());
        }
        for (row, stream) in streams.into_iter().enumerate() {
            if let Some(text) = stream.finish()? {
                if row == 0 {
                    (task.on_text)(&text);
                }
                texts[row].push_str(&text);
            }
        }
        Ok(texts)
    }
}
