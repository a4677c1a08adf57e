//! `bone generate`: continue prompts with a base, an adapter or a merged model.

use crate::answer::{Answer, Answering, Prompts, SamplingArgs};
use crate::error::CommandError;
use crate::output::say;
use crate::session::SessionArgs;
use bone_data::{Message, Role};
use bone_lm::sampling::SamplingConfig;
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
    /// How tokens are chosen
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Choose among the K most likely tokens
    #[arg(
        long,
        value_name = "K",
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub top_k: Option<usize>,
    /// Above 1 makes tokens that occurred less likely
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        default_value_t = 1.0,
        help_heading = "Sampling"
    )]
    pub repetition_penalty: f32,
}

/// Generates and prints; a single prompt's text is printed as it comes.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &GenerateArgs) -> Result<(), CommandError> {
    let sampling = SamplingConfig {
        top_k: args.top_k,
        repetition_penalty: args.repetition_penalty,
        ..args.sampling.config()
    };
    sampling.validate()?;
    if sampling.temperature == 0.0 {
        let top_k = args.top_k.map(|_| "top_k");
        let top_p = args.sampling.top_p.map(|_| "top_p");
        let ignored: Vec<_> = top_k.into_iter().chain(top_p).collect();
        if !ignored.is_empty() {
            return Err(CommandError::usage(format!(
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
        sampling,
        max_new_tokens: args.max_new_tokens,
    };
    if let [_] = &prompts[..] {
        // The prompt waits for the first new text, so that an error comes alone.
        answer(&request, |text| say(&printable(text)))?;
        say("\n");
        return Ok(());
    }
    for (prompt, text) in answer(&request, |_| {})? {
        say(&format!("{}{}\n\n", printable(&prompt), printable(&text)));
    }
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
    let (session, model) = request.session.open()?;
    let template = request.template.as_deref();
    let template = template.map(|name| session.template(name)).transpose()?;
    let pieces = |prompt: &String| match &template {
        None => Ok(vec![Piece::Bos, Piece::read(prompt.clone())]),
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
        return Err(CommandError::usage(format!(
            "the prompt has {longest} tokens and the model was made for {positions}; shorten it"
        )));
    }
    let stops = template.map_or(Vec::new(), |template| template.stops());
    let (tokens, sampling) = (request.max_new_tokens, request.sampling.clone());
    let answering = Answering::new(&session, stops, prompts.len(), tokens, sampling)?;
    let mut first = Some(texts[0].clone());
    let mut answers = vec![String::new(); prompts.len()];
    model.with(Prompts {
        answering: &answering,
        prompts: &prompts,
        on: |said: Answer<'_>| {
            match said {
                Answer::Text { prompt: 0, text } => {
                    if let Some(prompt) = first.take() {
                        on_text(&prompt);
                    }
                    on_text(text);
                }
                Answer::Text { .. } => {}
                Answer::Ended(answer) => answers[answer.prompt] = answer.text,
            }
            Ok(())
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
