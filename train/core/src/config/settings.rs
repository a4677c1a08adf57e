//! The table of settings, the one place that says what there is to set.
//!
//! A row is `name: Type as "VALUE", KIND, range(…), only(…)`. Its comment is the help of the flag.
//! - `default(VALUE)`, `by(FUNCTION, "in words")`: what holds where nothing is given;
//! - `required(PLACEHOLDER, "what to give")`: there is no default where the setting means something;
//! - `unset("in words")`: an `Option`; without words it is shown only where it is given;
//! - `range`: which values there may be (`ranges.rs`);
//! - `only`: when the setting means something (`scope.rs`);
//! - `also`: what other trainers call it.
//!
//! A value in brackets may be left out: the flag alone means true.

mod defaults;
mod ranges;
pub(super) mod scope;
pub(super) mod table;

use std::path::PathBuf;

use bone::Selection;
use bone_data::{Cut, FieldMap, Holdout, Schema, Sources};
use bone_lm::Part;
use bone_tokenizer::TokenizerChoice;

use super::words::{AxisWord, Init, MethodName};
use crate::device::DtypeChoice;
use crate::models::GIVE_A_MODEL;
use crate::schedule::ScheduleKind;
use ranges::{above_0, at_least, from_0, share, some_layers};
pub use table::Row;
use table::settings;

settings! {
    "Model and data" {
        /// Model: a Hugging Face folder, or RWKV's .pth or .safetensors
        model: PathBuf as "DIR|FILE", required(PathBuf::new(), GIVE_A_MODEL), also("base_model", "model_name_or_path", "load_model");
        /// Training rows: FILE, `FILE[0:1000]` for some of them, DIR/train for a split; several with commas, FILE@0.5 to take half of one an epoch
        ///
        /// JSON Lines, a JSON array or Parquet, plain or .gz or .zst; a .txt is plain text and a .idx with its .bin RWKV's binidx, every token trained.
        data: Sources as "FILES", required(Sources(Vec::new()), "give the file of training rows"), also("data_path", "data_file");
        /// Folder for the result; it must be new or empty
        out: PathBuf as "DIR", required(PathBuf::new(), "give a folder for the result"), also("output", "output_dir", "proj_dir");
        /// Write into an output folder that is not empty
        overwrite: bool as "[BOOL]", default(false);
        /// Start from the model's weights or from random ones: pretrained, random
        init: Init as "WORD", default(Init::Pretrained);
        /// Tokenizer: auto for what lies beside the model, bytes for a token a byte, or a file
        tokenizer: TokenizerChoice as "NAME|FILE", default(TokenizerChoice::Auto);
        /// Prompt template: alpaca, plain, rwkv, llama2-chat, chatml, model for the model's own chat_template, or a file
        ///
        /// A .jinja is a chat_template; any other file has {instruction}, {input} and {response}.
        template: String as "NAME|FILE", default("alpaca".to_owned()), only(scope::rows);
        /// What the rows' fields are: query, alpaca, prompt, qa, math, messages, sharegpt, text
        schema: Schema as "NAME", unset("found from the rows"), only(scope::schema);
        /// Fields of a row: instruction=FIELD,response=FIELD[,input=FIELD]
        field_map: FieldMap as "MAP", unset("", "found from the rows"), only(scope::rows);
        /// Rows of a binidx's sequences: pad for max_seq_len, only for the longest of a batch
        binidx_cut: Cut as "WAY", default(Cut::Only), only(scope::binidx);
        /// Longest sequence in tokens
        max_seq_len: usize as "TOKENS", default(512), range(at_least(2)), also("model_max_length", "ctx_len");
        /// Train a sequence in pieces of so many tokens, one after the other
        ///
        /// The state at the end of a piece is carried to the next and the gradient is not (RWKV's
        /// infctx): the memory is that of one piece.
        chunk_ctx: usize as "TOKENS", unset("whole sequences"), range(at_least(2)), only(scope::chunk_ctx);
        /// Put several samples into one row of max_seq_len, kept apart: true, false
        ///
        /// batch_size then counts such rows. Loss and gradients are those of the samples alone.
        packing: bool as "[BOOL]", default(false), only(scope::packing);
        /// Held out for validation: a share like 0.02 or a count like 200, 0 for none
        ///
        /// Ten evaluations on 2 % of the rows add 5 to 7 % to the time of one epoch.
        validation: Holdout as "PART", default(Holdout::Share(0.02));
    }
    "Method" {
        /// bone, miss, miss-mini, lora, pissa, olora, state for RWKV's initial state, or full for every weight
        method: MethodName as "NAME", default(MethodName::Bone);
        /// One block of bone for each block-row of a weight (output) or block-column (input); bone only
        block_axis: AxisWord as "AXIS", by(defaults::block_axis, "output for LLaMA2, input for RWKV6"), only(scope::bone);
        /// Go on from an adapter: a folder, or a file of RWKV-PEFT's or JL-er's
        ///
        /// What it holds trains further. Settings it brings along need not be given, and must agree with it where they are.
        adapter: PathBuf as "DIR|FILE", unset("none; what trains starts anew", ""), only(scope::adapter);
        /// Block size r of the adapters, inner width of lora, pissa and olora
        ///
        /// bone needs a rank that divides the inputs and the outputs of every layer it is put on.
        rank: usize as "R", default(defaults::RANK), range(at_least(1)), only(scope::adapters), also("r");
        /// Width of miss-mini's repeated block; miss-mini needs it, nothing else has it
        mini_width: usize as "M", required(1, "miss-mini needs it; it must divide the outputs of every target"), range(at_least(1)), only(scope::miss_mini), also("mini_r");
        /// lora, pissa and olora add their product times alpha / rank
        alpha: f64 as "ALPHA", by(defaults::alpha, "the rank"), range(above_0), only(scope::loras);
        /// Times alpha / √rank instead; lora, pissa and olora only: true, false
        rslora: bool as "BOOL", default(false), only(scope::loras);
        /// Learning rate of LoRA's B in units of A's (LoRA+); lora, pissa and olora only
        lora_plus_ratio: f64 as "RATIO", default(1.0), range(above_0), only(scope::loras);
        /// Iterations of a fast decomposition; pissa only
        pissa_iterations: usize as "N", unset("an exact decomposition"), only(scope::pissa);
        /// Dropout on the adapter's input; not for bone
        dropout: f64 as "P", default(0.0), range(share), only(scope::dropout);
        /// Layers that get an adapter: all-linear, names with commas, or one regular expression
        ///
        /// all-linear is every linear layer but the output head: LLaMA's seven projections, RWKV6's
        /// eight. A regular expression must match a layer's whole path.
        targets: Selection as "LAYERS", default(Selection::AllLinear), only(scope::adapters), also("target_modules");
        /// Layers that are left out again: names with commas or one regular expression
        exclude: Selection as "LAYERS", unset("none"), range(some_layers), only(scope::adapters);
        /// Numbers of the blocks that get adapters, like 0,1,4 or 0-7
        layers: Vec<usize> as "NUMBERS", unset("all"), only(scope::adapters);
        /// Trained whole beside the adapters: time, ln, emb, head, with commas
        ///
        /// time is RWKV's time_* tensors but for time_state (method state), ln the norms, emb the embedding, head the output layer.
        train_parts: Vec<Part> as "PARTS", unset("none"), only(scope::adapters);
    }
    "Optimization" {
        /// Passes over the training rows, may be a fraction
        ///
        /// Where max_steps is given too, the run ends at whichever comes first.
        epochs: f64 as "N", unset("as many as max_steps takes", "1, without max_steps"), range(above_0), also("num_train_epochs");
        /// Optimizer steps of the run
        max_steps: usize as "N", unset("as many as epochs takes"), range(at_least(1));
        /// Rows of a micro batch
        batch_size: usize as "ROWS", default(4), range(at_least(1)), also("per_device_train_batch_size", "micro_bsz");
        /// Micro batches of an optimizer step
        gradient_accumulation: usize as "N", default(1), range(at_least(1)), also("gradient_accumulation_steps");
        /// Highest learning rate
        learning_rate: f64 as "RATE", by(defaults::learning_rate, "2e-5, with full 1e-5, with state 1e-2"), range(above_0), also("lr", "lr_init");
        /// Learning rate after the warm-up: constant, linear, cosine
        schedule: ScheduleKind as "NAME", default(ScheduleKind::Cosine), also("lr_scheduler_type");
        /// Steps over which the learning rate rises from 0
        warmup_steps: usize as "N", default(0), only(scope::warmup_steps);
        /// The same as a share of the run's steps; one of the two
        warmup_ratio: f64 as "SHARE", unset(""), range(share);
        /// AdamW's decay of the first moment
        beta1: f64 as "BETA", default(0.9), range(share);
        /// AdamW's decay of the second moment
        beta2: f64 as "BETA", default(0.999), range(share);
        /// AdamW's epsilon
        eps: f64 as "EPS", default(1e-8), range(above_0);
        /// AdamW's weight decay
        weight_decay: f64 as "RATE", default(0.0), range(from_0);
        /// Gradients are scaled down to this norm over all that trains, 0 for no limit
        max_grad_norm: f64 as "NORM", default(1.0), range(from_0);
        /// Seed of the order of rows, the held-out rows, dropout and random weights
        seed: u64 as "N", default(42);
    }
    "Intervals" {
        /// Steps between evaluations
        eval_every: usize as "STEPS", unset("a tenth of the run"), range(at_least(1)), only(scope::evaluations);
        /// Steps between checkpoints, from which a run that was stopped goes on
        save_every: usize as "STEPS", unset("none"), range(at_least(1));
        /// Minutes between checkpoints, 0 for none
        save_minutes: f64 as "MINUTES", default(15.0), range(from_0);
        /// How many of the newest checkpoints are kept
        keep_last: usize as "N", default(2), range(at_least(1));
        /// Save a checkpoint at every evaluation that is the best so far, and keep the last of these: true, false
        keep_best: bool as "[BOOL]", default(false);
        /// Before the first step, try the longest rows and a checkpoint, so that what would fail later fails now: true, false
        shake_down: bool as "BOOL", unset("true, on an emulated device false");
    }
    "Memory and device" {
        /// What to run on; `bone devices` lists it
        device: String as "NAME", default("auto".to_owned());
        /// On a GPU, run neighbouring operations as one: true, false
        fusion: bool as "BOOL", default(true);
        /// Precision of the base weights: auto, f32, bf16, f16
        dtype: DtypeChoice as "NAME", default(DtypeChoice::Auto);
        /// Keep each block's input only and run the block again in the backward: true, false
        recompute: bool as "BOOL", default(true), also("gradient_checkpointing", "grad_cp");
        /// Compute logits and loss by chunks of tokens: true, false
        chunked_head: bool as "BOOL", default(true);
        /// Tokens of such a chunk
        head_chunk: usize as "TOKENS", unset("what 64 MiB of logits hold, at least 512"), range(at_least(1)), only(scope::chunked_head);
    }
}
