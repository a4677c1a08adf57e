//! `bone generate`: continue prompts with a base, an adapter or a merged model.

use crate::answer::{Answering, Prompts, SamplingArgs};
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
    /// Prompt; repeat it for several, which run as one batch
    #[arg(long, value_name = "TEXT", required_unless_present = "prompt_file")]
    pub prompt: Vec<String>,
    /// File with one prompt; may be repeated
    #[arg(long, value_name = "FILE")]
    pub prompt_file: Vec<PathBuf>,
    /// Prompt template: trained, model, alpaca, plain, rwkv, llama2-chat, chatml, or a file [default: none]
    ///
    /// `trained` is the template of the training run, `model` the model's own chat_template.
    #[arg(long, value_name = "NAME|FILE")]
    pub template: Option<String>,
    /// Maximum number of new tokens
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
    /// The model.
    #[command(flatten)]
    pub session: SessionArgs,
}

/// Generates and prints. With a single prompt the text is printed while it is generated.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &GenerateArgs) -> Result<(), CommandError> {
    let sampling = args.sampling.config()?;
    let mut prompts = args.prompt.clone();
    for path in &args.prompt_file {
        let text = std::fs::read_to_string(path).map_err(CommandError::io(path))?;
        prompts.push(text);
    }
    let (template, tokens) = (args.template.as_deref(), args.max_new_tokens);
    let answer =
        |on_text: fn(&str)| answer(&args.session, template, &prompts, tokens, sampling, on_text);
    if let [_] = &prompts[..] {
        // The prompt is printed with the first new text, so that an error appears alone.
        answer(|text| say(&printable(text)))?;
        say("\n");
        return Ok(());
    }
    for text in answer(|_| {})? {
        say(&format!("{}\n\n", printable(&text)));
    }
    Ok(())
}

/// Continues prompts, with or without a template, by at most `max_new_tokens` tokens. Returns each prompt
/// as the model read it, with the new text. `on_text` receives the first prompt's text while it is
/// generated, starting with the prompt.
///
/// # Errors
///
/// [`CommandError`].
pub fn answer(
    session: &SessionArgs,
    template: Option<&str>,
    prompts: &[String],
    max_new_tokens: usize,
    sampling: SamplingConfig,
    mut on_text: impl FnMut(&str),
) -> Result<Vec<String>, CommandError> {
    let (session, model) = session.open()?;
    let template = template.map(|name| session.template(name)).transpose()?;
    let (mut texts, mut tokens) = (Vec::new(), Vec::new());
    for prompt in prompts {
        let pieces = match &template {
            Some(template) => template.prompt(&[Message::new(Role::User, prompt)])?,
            None => vec![Piece::Bos, Piece::read(prompt.clone())],
        };
        texts.push(text_of(&pieces));
        tokens.push(session.encode_fitting(&pieces)?);
    }
    let stops = template.map_or(Vec::new(), |template| template.stops());
    let answering = Answering::new(&session, stops, tokens.len(), max_new_tokens, sampling)?;
    let mut given = 0;
    model.with(Prompts {
        answering: &answering,
        prompts: &tokens,
        on: |prompt: usize, text: &str, _| {
            texts[prompt].push_str(text);
            if prompt == 0 && !text.is_empty() {
                on_text(&texts[0][given..]);
                given = texts[0].len();
            }
            Ok(())
        },
    })?;
    on_text(&texts[0][given..]);
    Ok(texts)
}

/// Returns the text of pieces, without special tokens.
fn text_of(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text { text, .. } => text.clone(),
        Piece::Bos | Piece::Eos { .. } => String::new(),
    };
    pieces.iter().map(text).collect()
}
