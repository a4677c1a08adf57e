//! `bone generate`: continue prompts with a base, an adapter or a merged model.

use super::session::{Session, SessionArgs, Work};
use super::stops::stop_tokens;
use super::talk::{Said, Talk};
use super::{CommandError, say};
use bone_data::{Message, Role};
use bone_lm::generate::BatchConfig;
use bone_lm::sampling::SamplingConfig;
use bone_lm::{Backend, CausalLm};
use bone_tokenizer::Piece;
use bone_train::report::printable;
use std::path::PathBuf;

/// What to continue, and how.
#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
    /// What continues it.
    #[command(flatten)]
    pub session: SessionArgs,
    /// Text to continue; repeat it for several, which run as one batch
    #[arg(long, value_name = "TEXT", required_unless_present = "prompt_file")]
    pub prompt: Vec<String>,
    /// A file whose whole text is a prompt; may be repeated, and come beside --prompt
    #[arg(long, value_name = "FILE")]
    pub prompt_file: Vec<PathBuf>,
    /// Put each prompt into a template as its instruction: trained for the one of the training run,
    /// alpaca, plain, rwkv, llama2-chat, chatml, model, or a file [default: the prompt as it is]
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
    let mut prompts = args.prompt.clone();
    for path in &args.prompt_file {
        let text = std::fs::read_to_string(path).map_err(CommandError::io(path))?;
        prompts.push(text);
    }
    let request = Request {
        session: args.session.clone(),
        template: args.template.clone(),
        prompts: &prompts,
        sampling: args.sampling(),
        max_new_tokens: args.max_new_tokens,
    };
    if let [_] = &prompts[..] {
        // The prompt waits for the first new text, so that an error comes alone.
        answer(&request, |text| say(&printable(text)))?;
        say("\n");
        return Ok(());
    }
    let mut shown = vec![String::new(); prompts.len()];
    let texts = answer(&request, |_| {})?;
    for (shown, (prompt, text)) in shown.iter_mut().zip(texts) {
        *shown = format!("{}{}\n\n", printable(&prompt), printable(&text));
    }
    shown.iter().for_each(|text| say(text));
    Ok(())
}

/// Prompts for one model.
#[derive(Debug)]
pub struct Request<'a> {
    /// The model and what runs it.
    pub session: SessionArgs,
    /// The template that each prompt is put into; `None` takes it as it is.
    pub template: Option<String>,
    /// The texts to continue.
    pub prompts: &'a [String],
    /// How tokens are chosen.
    pub sampling: SamplingConfig,
    /// Tokens to add at most.
    pub max_new_tokens: usize,
}

/// Continues the request's prompts, and returns each as the model read it, with what came after.
/// `on_text` sees that of the first as it comes: the prompt with the first new text.
///
/// # Errors
///
/// [`CommandError`].
pub fn answer(
    request: &Request<'_>,
    mut on_text: impl FnMut(&str),
) -> Result<Vec<(String, String)>, CommandError> {
    let session = Session::open(&request.session)?;
    let template = request.template.as_deref();
    let template = template.map(|name| session.template(name)).transpose()?;
    let pieces = |prompt: &String| match &template {
        None => Ok(vec![
            Piece::Bos,
            Piece::Text {
                text: prompt.clone(),
                trained: false,
            },
        ]),
        Some(template) => template.prompt(&[Message {
            role: Role::User,
            content: prompt.clone(),
        }]),
    };
    let pieces = request
        .prompts
        .iter()
        .map(pieces)
        .collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<_> = pieces.iter().map(|pieces| text_of(pieces)).collect();
    let prompts = pieces.iter().map(|pieces| session.encode(pieces));
    let prompts = prompts.collect::<Result<Vec<_>, _>>()?;
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    // Past its positions a model says nothing of worth.
    if let Some(positions) = session.info.positions.filter(|most| longest >= *most) {
        return Err(CommandError::Usage(format!(
            "the prompt has {longest} tokens and the model was made for {positions}; shorten it"
        )));
    }
    let tokenizer = session.tokenizer.as_ref();
    let stops = template.map_or(Vec::new(), |template| template.stops());
    let config = BatchConfig {
        batch_size: prompts.len(),
        sampling: request.sampling.clone(),
        max_new_tokens: request.max_new_tokens,
        max_positions: session.info.positions,
        stop: stop_tokens(tokenizer, &stops)?,
        near_tie: None,
    };
    let mut first = Some(texts[0].clone());
    let answers = session.with(Answer {
        prompts: &prompts,
        talk: Talk {
            tokenizer,
            stops: &stops,
            config: &config,
        },
        on_text: |text: &str| {
            if let Some(prompt) = first.take() {
                on_text(&prompt);
            }
            on_text(text);
        },
    })?;
    if let Some(prompt) = first {
        on_text(&prompt);
    }
    Ok(texts.into_iter().zip(answers).collect())
}

/// The text that pieces have, without special tokens.
fn text_of(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text { text, .. } => text.clone(),
        Piece::Bos | Piece::Eos { .. } => String::new(),
    };
    pieces.iter().map(text).collect()
}

struct Answer<'a, F> {
    prompts: &'a [Vec<u32>],
    talk: Talk<'a>,
    on_text: F,
}

impl<F: FnMut(&str)> Work for Answer<'_, F> {
    type Output = Vec<String>;

    fn run<B: Backend, M: CausalLm<B>>(
        mut self,
        model: &M,
        device: &B::Device,
    ) -> Result<Self::Output, CommandError> {
        let mut texts = vec![String::new(); self.prompts.len()];
        self.talk.with(model, self.prompts, device, |said| {
            match said {
                Said::Text { prompt: 0, text } => (self.on_text)(text),
                Said::Text { .. } => {}
                Said::Ended(answer) => texts[answer.prompt] = answer.text,
            }
            Ok(())
        })?;
        Ok(texts)
    }
}
