//! `bone chat`: a conversation in the terminal.

use crate::answer::{Answering, SamplingArgs};
use crate::error::CommandError;
use crate::output::{line, say};
use crate::session::{Session, SessionArgs};
use crate::work::Work;
use bone_data::{Message, RenderError, Role, Template};
use bone_train::report::printable;
use bone_train::step::{TrainBackend, TrainModel};
use std::io::{BufRead, IsTerminal, stdin};

/// With whom, and how.
#[derive(Debug, clap::Args)]
pub struct ChatArgs {
    /// Chat template: trained, model, rwkv, llama2-chat, chatml, alpaca, plain, or a file [default:
    /// trained, else model]
    ///
    /// `trained` is the template of the training run, `model` the model's own chat_template.
    #[arg(long, value_name = "NAME|FILE")]
    pub template: Option<String>,
    /// System prompt
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Maximum number of tokens per answer
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub max_new_tokens: usize,
    /// How tokens are chosen
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// The model.
    #[command(flatten)]
    pub session: SessionArgs,
}

const HELP: &str = "/new starts a new conversation, /exit quits";

/// Reads lines and answers them, until the input ends or says `/exit`.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &ChatArgs) -> Result<(), CommandError> {
    let sampling = args.sampling.config()?;
    let (session, model) = args.session.open()?;
    let name = args.template.as_deref();
    let template = session
        .template_or(name, "model")
        .map_err(|error| match name {
            Some(_) => error,
            None => CommandError::usage(format!("--template: {error}")),
        })?;
    let tokens = args.max_new_tokens;
    let answering = Answering::new(&session, template.stops(), 1, tokens, sampling)?;
    let system = args.system.iter();
    model.with(Conversation {
        session: &session,
        answering: &answering,
        template: &template,
        start: system
            .map(|text| Message::new(Role::System, text))
            .collect(),
    })
}

struct Conversation<'a> {
    session: &'a Session,
    answering: &'a Answering<'a>,
    template: &'a Template,
    /// Messages before the conversation.
    start: Vec<Message>,
}

impl Work for Conversation<'_> {
    type Output = ();

    fn run<B: TrainBackend, M: TrainModel<B>>(
        self,
        model: M,
        device: &B::Device,
    ) -> Result<(), CommandError> {
        let model = model.valid();
        let is_terminal = stdin().is_terminal();
        if is_terminal {
            line!("template {}; {HELP}", self.template);
        }
        let mut messages = self.start.clone();
        let mut input = stdin().lock();
        let mut line = Vec::new();
        loop {
            if is_terminal {
                say("\n> ");
            }
            line.clear();
            let read = input.read_until(b'\n', &mut line);
            if read.map_err(CommandError::io("the input".as_ref()))? == 0 {
                return Ok(());
            }
            let Ok(said) = std::str::from_utf8(&line) else {
                line!("the input is not UTF-8; try again");
                continue;
            };
            match said.trim() {
                "" => continue,
                "/exit" => return Ok(()),
                "/new" => {
                    messages.clone_from(&self.start);
                    continue;
                }
                word if word.starts_with('/') => {
                    line!("unknown command {word}: {HELP}");
                    continue;
                }
                _ => messages.push(Message::new(
                    Role::User,
                    said.trim_end_matches(['\n', '\r']),
                )),
            }
            let mut pieces = self.template.prompt(&messages);
            if let Err(RenderError::SingleTurn(_)) = &pieces {
                messages.drain(self.start.len()..messages.len() - 1);
                pieces = self.template.prompt(&messages);
                if is_terminal && pieces.is_ok() {
                    line!(
                        "(new conversation: {} supports one question only)",
                        self.template
                    );
                }
            }
            let pieces = pieces.map_err(CommandError::from);
            let prompt = match pieces.and_then(|pieces| self.session.encode_fitting(&pieces)) {
                Ok(prompt) => prompt,
                // The conversation so far stays.
                Err(error) => {
                    messages.pop();
                    line!("{error}; /new starts a new conversation");
                    continue;
                }
            };
            let mut answer = String::new();
            self.answering
                .run(&model, &[prompt], device, |_, text, _| {
                    say(&printable(text));
                    answer.push_str(text);
                    Ok(())
                })?;
            say("\n");
            messages.push(Message::new(Role::Assistant, answer.trim()));
        }
    }
}
