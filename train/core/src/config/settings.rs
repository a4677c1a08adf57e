//! The list of settings: one entry makes the field of [`RawConfig`], the flag and the key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bone::Selection;
use bone_tokenizer::TokenizerChoice;
use clap::Args;

use super::value::{Given, Layers, Parts, Setting};
use super::words::{AxisWord, DtypeChoice, Init, MethodName};
use crate::schedule::ScheduleKind;
use bone_data::{Cut, FieldMap, Holdout, Schema, Sources};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was not given.
    Default,
    /// The configuration file.
    File,
    /// `--set key=value`.
    Set,
    /// The flag of its own.
    Flag,
    /// The program that filled in [`RawConfig`].
    Program,
}

impl Origin {
    /// `default`, `file`, `--set`, `flag` or `program`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Set => "--set",
            Self::Flag => "flag",
            Self::Program => "program",
        }
    }
}

/// A key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) heading: &'static str,
}

/// Why a setting was not taken.
pub(super) enum SetError {
    UnknownKey,
    Value(String),
}

macro_rules! settings {
    ($($heading:literal {
        $($(#[$doc:meta])+ $name:ident: $type:ty as $value:literal $([$($arg:tt)+])?;)+
    })+) => {
        /// The settings as they were given: nothing is checked against anything else, nothing is
        /// filled in. See [`validate`](RawConfig::validate).
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct RawConfig {
            $($($(#[$doc])+ pub $name: Option<$type>,)+)+
            /// Where each value comes from; a value without an entry comes from the program.
            #[doc(hidden)]
            pub origins: BTreeMap<&'static str, Origin>,
            /// Keys whose value could not be read: what they lack is no second problem.
            #[doc(hidden)]
            pub unread: BTreeSet<&'static str>,
            /// The configuration file, for messages.
            #[doc(hidden)]
            pub file: Option<PathBuf>,
        }

        /// One flag for every setting.
        #[derive(Debug, Clone, Default, Args)]
        pub struct Flags {
            $($(
                $(#[$doc])+
                #[arg(long, allow_negative_numbers = true, help_heading = $heading, value_name = $value $(, $($arg)+)?)]
                pub $name: Option<String>,
            )+)+
        }

        /// Every key, in the order in which they are shown.
        pub(super) const KEYS: &[Key] = &[$($(
            Key { name: stringify!($name), heading: $heading },
        )+)+];

        impl RawConfig {
            /// Sets one value, in place of any before.
            pub(super) fn set(
                &mut self,
                key: &str,
                given: Given<'_>,
                origin: Origin,
            ) -> Result<(), SetError> {
                $($(if key == stringify!($name) {
                    self.origins.insert(stringify!($name), origin);
                    self.$name = Some(<$type>::read(given).map_err(|error| {
                        self.unread.insert(stringify!($name));
                        SetError::Value(error)
                    })?);
                    return Ok(());
                })+)+
                Err(SetError::UnknownKey)
            }

            /// Where each value that was given comes from.
            pub(super) fn origins_of_given(&self) -> BTreeMap<&'static str, Origin> {
                KEYS.iter()
                    .filter(|key| self.is_given(key.name))
                    .map(|key| {
                        let origin = self.origins.get(key.name).copied();
                        (key.name, origin.unwrap_or(Origin::Program))
                    })
                    .collect()
            }

            /// What is wrong with values that a program has set.
            pub(super) fn check_values(&self) -> Vec<(&'static str, String)> {
                let mut wrong = Vec::new();
                $($(if let Some(Err(error)) = self.$name.as_ref().map(Setting::check) {
                    wrong.push((stringify!($name), error));
                })+)+
                wrong.retain(|(key, _)| !self.origins.contains_key(key));
                wrong
            }

            pub(super) fn is_given(&self, key: &str) -> bool {
                $($(if key == stringify!($name) {
                    return self.$name.is_some();
                })+)+
                false
            }
        }

        impl Flags {
            /// The flags that were given: key and text.
            pub fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
                [$($((stringify!($name), self.$name.as_deref()),)+)+]
                    .into_iter()
                    .filter_map(|(key, text)| Some((key, text?)))
            }
        }
    };
}

settings! {
    "Model and data" {
        /// Model: a Hugging Face folder, or RWKV's .pth or .safetensors
        model: PathBuf as "DIR|FILE";
        /// Training rows: FILE, `FILE[0:1000]` for some of them, DIR/train for a split; several with commas, FILE@0.5 to take half of one an epoch
        ///
        /// JSON Lines, a JSON array or Parquet, plain or .gz or .zst; a .txt is plain text and a .idx with its .bin RWKV's binidx, every token trained.
        data: Sources as "FILES";
        /// Folder for the result; it must be new or empty
        out: PathBuf as "DIR";
        /// Write into an output folder that is not empty [default: false]
        overwrite: bool as "BOOL" [num_args = 0..=1, require_equals = true, default_missing_value = "true"];
        /// Start from the model's weights or from random ones: pretrained, random [default: pretrained]
        init: Init as "WORD";
        /// Tokenizer: auto for what lies beside the model, bytes for a token a byte, or a file [default: auto]
        tokenizer: TokenizerChoice as "NAME|FILE";
        /// Prompt template: alpaca, plain, rwkv, llama2-chat, chatml, model for the model's own chat_template, or a file [default: alpaca]
        ///
        /// A .jinja is a chat_template; any other file has {instruction}, {input} and {response}.
        template: String as "NAME|FILE";
        /// What the rows' fields are: query, alpaca, prompt, qa, math, messages, sharegpt, text [default: found from the rows]
        schema: Schema as "NAME";
        /// Fields of a row: instruction=FIELD,response=FIELD[,input=FIELD] [default: found from the rows]
        field_map: FieldMap as "MAP";
        /// Rows of a binidx's sequences: pad for max_seq_len, only for the longest of a batch [default: only]
        binidx_cut: Cut as "WAY";
        /// Longest sequence in tokens [default: 512]
        max_seq_len: usize as "TOKENS";
        /// Train a sequence in pieces of so many tokens, one after the other [default: whole sequences]
        ///
        /// The state at the end of a piece is carried to the next and the gradient is not (RWKV's
        /// infctx): the memory is that of one piece.
        chunk_ctx: usize as "TOKENS";
        /// Put several samples into one row of max_seq_len, kept apart: true, false [default: false]
        ///
        /// batch_size then counts such rows. Loss and gradients are those of the samples alone.
        packing: bool as "BOOL" [num_args = 0..=1, require_equals = true, default_missing_value = "true"];
        /// Held out for validation: a share like 0.02 or a count like 200, 0 for none [default: 0.02]
        ///
        /// Ten evaluations on 2 % of the rows add 5 to 7 % to the time of one epoch.
        validation: Holdout as "PART";
    }
    "Method" {
        /// bone, miss, miss-mini, lora, pissa, olora, state for RWKV's initial state, or full for every weight [default: bone]
        method: MethodName as "NAME";
        /// One block of bone for each block-row of a weight (output) or block-column (input); bone only [default: output for LLaMA2, input for RWKV6]
        block_axis: AxisWord as "AXIS";
        /// Go on from an adapter: a folder, or a file of RWKV-PEFT's or JL-er's
        ///
        /// What it holds trains further. Settings it brings along need not be given, and must agree with it where they are.
        adapter: PathBuf as "DIR|FILE";
        /// Block size r of the adapters, inner width of lora, pissa and olora [default: 64]
        ///
        /// bone needs a rank that divides the inputs and the outputs of every layer it is put on.
        rank: usize as "R";
        /// Width of miss-mini's repeated block; miss-mini needs it, nothing else has it
        mini_width: usize as "M";
        /// lora, pissa and olora add their product times alpha / rank [default: the rank]
        alpha: f64 as "ALPHA";
        /// Times alpha / √rank instead; lora, pissa and olora only: true, false [default: false]
        rslora: bool as "BOOL";
        /// Learning rate of LoRA's B in units of A's (LoRA+); lora, pissa and olora only [default: 1]
        lora_plus_ratio: f64 as "RATIO";
        /// Iterations of a fast decomposition; pissa only [default: an exact one]
        pissa_iterations: usize as "N";
        /// Dropout on the adapter's input; not for bone [default: 0]
        dropout: f64 as "P";
        /// Layers that get an adapter: all-linear, names with commas, or one regular expression [default: all-linear]
        ///
        /// all-linear is every linear layer but the output head: LLaMA's seven projections, RWKV6's
        /// eight. A regular expression must match a layer's whole path.
        targets: Selection as "LAYERS";
        /// Layers that are left out again: names with commas or one regular expression
        exclude: Selection as "LAYERS";
        /// Numbers of the blocks that get adapters, like 0,1,4 or 0-7 [default: all]
        layers: Layers as "NUMBERS";
        /// Trained whole beside the adapters: time, ln, emb, head, with commas [default: none]
        ///
        /// time is RWKV's time_* tensors but for time_state (method state), ln the norms, emb the embedding, head the output layer.
        train_parts: Parts as "PARTS";
    }
    "Optimization" {
        /// Passes over the training rows, may be a fraction [default: 1, without max_steps]
        ///
        /// Where max_steps is given too, the run ends at whichever comes first.
        epochs: f64 as "N";
        /// Optimizer steps of the run
        max_steps: usize as "N";
        /// Rows of a micro batch [default: 4]
        batch_size: usize as "ROWS";
        /// Micro batches of an optimizer step [default: 1]
        gradient_accumulation: usize as "N";
        /// Highest learning rate [default: 2e-5, with full 1e-5, with state 1e-2]
        learning_rate: f64 as "RATE";
        /// Learning rate after the warm-up: constant, linear, cosine [default: cosine]
        schedule: ScheduleKind as "NAME";
        /// Steps over which the learning rate rises from 0 [default: 0]
        warmup_steps: usize as "N";
        /// The same as a share of the run's steps; one of the two
        warmup_ratio: f64 as "SHARE";
        /// AdamW's decay of the first moment [default: 0.9]
        beta1: f64 as "BETA";
        /// AdamW's decay of the second moment [default: 0.999]
        beta2: f64 as "BETA";
        /// AdamW's epsilon [default: 1e-8]
        eps: f64 as "EPS";
        /// AdamW's weight decay [default: 0]
        weight_decay: f64 as "RATE";
        /// Gradients are scaled down to this norm over all that trains, 0 for no limit [default: 1]
        max_grad_norm: f64 as "NORM";
        /// Seed of the order of rows, the held-out rows, dropout and random weights [default: 42]
        seed: u64 as "N";
    }
    "Intervals" {
        /// Steps between evaluations [default: a tenth of the run]
        eval_every: usize as "STEPS";
        /// Steps between checkpoints, from which a run that was stopped goes on [default: none]
        save_every: usize as "STEPS";
        /// Minutes between checkpoints, 0 for none [default: 15]
        save_minutes: f64 as "MINUTES";
        /// How many of the newest checkpoints are kept [default: 2]
        keep_last: usize as "N";
        /// Save a checkpoint at every evaluation that is the best so far, and keep the last of these: true, false [default: false]
        keep_best: bool as "BOOL" [num_args = 0..=1, require_equals = true, default_missing_value = "true"];
        /// Before the first step, try the longest rows and a checkpoint, so that what would fail later fails now: true, false [default: true, on an emulated device false]
        shake_down: bool as "BOOL";
    }
    "Memory and device" {
        /// What to run on; `bone devices` lists it [default: auto]
        device: String as "NAME";
        /// On a GPU, run neighbouring operations as one: true, false [default: true]
        fusion: bool as "BOOL";
        /// Precision of the base weights: auto, f32, bf16, f16 [default: auto]
        dtype: DtypeChoice as "NAME";
        /// Keep each block's input only and run the block again in the backward: true, false [default: true]
        recompute: bool as "BOOL";
        /// Compute logits and loss by chunks of tokens: true, false [default: true]
        chunked_head: bool as "BOOL";
        /// Tokens of such a chunk [default: what 64 MiB of logits hold, at least 512]
        head_chunk: usize as "TOKENS";
    }
}

/// Fine-tune a model on a file of rows
#[derive(Debug, Clone, Default, Args)]
pub struct TrainArgs {
    /// Settings as TOML, `key = value` a line with the names below (`_` for `-`)
    ///
    /// Paths are relative to the folder the command is run in. Flags win over --set, which wins
    /// over the file. Every setting, defaults included, is written to OUT/config.toml.
    #[arg(value_name = "RUN.TOML")]
    pub run: Option<PathBuf>,
    /// Continue a run that was stopped: its output folder. With --out, start a new run from it instead
    ///
    /// The run continues with its own settings. With --out NEW a new run starts at its newest
    /// checkpoint, or at OUT/checkpoints/step-N, with the settings that are given besides; the old
    /// run's folder does not change.
    #[arg(long, value_name = "OUT")]
    pub resume: Option<PathBuf>,
    /// Set one key of the file, as often as needed
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// A flag for every key.
    #[command(flatten)]
    pub flags: Flags,
}

impl TrainArgs {
    /// Returns the names of everything that was given beside `--resume`.
    pub fn given(&self) -> Vec<String> {
        let file = self.run.iter().map(|path| path.display().to_string());
        let set = self
            .set
            .iter()
            .map(|pair| pair.split('=').next().unwrap_or(pair).trim().to_owned());
        let flags = self.flags.given().map(|(key, _)| key.to_owned());
        file.chain(set).chain(flags).collect()
    }
}
