//! The table of settings, from which flags, help, TOML keys and checks are generated.
//!
//! A row is `name: Type as "VALUE", KIND, range(…), only(…)`. Its comment is the help of the flag.
//! - `default(VALUE)`, `by(FUNCTION, "in words")`: the default;
//! - `required(PLACEHOLDER, "what to give")`: must be given if the setting applies;
//! - `unset("in words")`: an `Option`; without words it is shown only if it is given;
//! - `range`: the allowed values (`ranges.rs`);
//! - `only`: when the setting applies (`scope.rs`);
//! - `also`: its names in other trainers.
//!
//! A value in brackets is optional: the flag alone means true.

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
        /// Base model: a Hugging Face folder, or a .pth or .safetensors file of RWKV
        model: PathBuf as "DIR|FILE", required(PathBuf::new(), GIVE_A_MODEL), also("base_model", "model_name_or_path", "load_model");
        /// Training data: one file or several, separated by commas
        ///
        /// The formats are JSON Lines, a JSON array and Parquet, also as .gz or .zst. `FILE[0:1000]` selects rows, DIR/train selects a split, and FILE@0.5 uses half of the file in each epoch. All tokens of a .txt file (plain text) or an .idx file (RWKV's binidx) are trained.
        data: Sources as "FILES", required(Sources(Vec::new()), "give a file of training rows"), also("data_path", "data_file");
        /// Output folder; it must be new or empty
        out: PathBuf as "DIR", required(PathBuf::new(), "give an output folder"), also("output", "output_dir", "proj_dir");
        /// Write into an output folder that is not empty: true, false
        overwrite: bool as "[BOOL]", default(false);
        /// Initial weights of the base model: pretrained, random
        init: Init as "WORD", default(Init::Pretrained);
        /// Tokenizer: auto (the model's own), bytes (one token per byte), or a file
        tokenizer: TokenizerChoice as "NAME|FILE", default(TokenizerChoice::Auto);
        /// Prompt template: alpaca, plain, rwkv, llama2-chat, chatml, model, or a file
        ///
        /// model uses the model's chat_template. A .jinja file is a chat_template. Any other file contains {instruction}, {input} and {response}.
        template: String as "NAME|FILE", default("alpaca".to_owned()), only(scope::rows);
        /// Format of the rows: query, alpaca, prompt, qa, math, messages, sharegpt, text
        schema: Schema as "NAME", unset("detected from the rows"), only(scope::schema);
        /// Field names of the rows: instruction=FIELD,response=FIELD[,input=FIELD]
        field_map: FieldMap as "MAP", unset("", "detected from the rows"), only(scope::rows);
        /// Row length for binidx data: pad (to max_seq_len), only (to the longest sequence of the batch)
        binidx_cut: Cut as "WAY", default(Cut::Only), only(scope::binidx);
        /// Maximum sequence length in tokens
        max_seq_len: usize as "TOKENS", default(512), range(at_least(2)), also("model_max_length", "ctx_len");
        /// Train each sequence in chunks of this many tokens, to save memory
        ///
        /// For RWKV (infctx). Each chunk starts from the state of the previous chunk. No gradient flows between
        /// chunks.
        chunk_ctx: usize as "TOKENS", unset("whole sequences"), range(at_least(2)), only(scope::chunk_ctx);
        /// Pack several samples into each row of max_seq_len tokens: true, false
        ///
        /// Samples do not see each other, so the loss and the gradients do not change. batch_size counts packed rows.
        packing: bool as "[BOOL]", default(false), only(scope::packing);
        /// Samples held out for validation: a fraction (0.02), a count (200), or 0
        ///
        /// Ten evaluations on 2 % of the samples take 5 to 7 % of the time of one epoch.
        validation: Holdout as "PART", default(Holdout::Share(0.02));
    }
    "Method" {
        /// Training method: bone, miss, miss-mini, lora, pissa, olora, state, full
        ///
        /// state trains the initial state of an RWKV model. full trains every weight. The others train an adapter.
        method: MethodName as "NAME", default(MethodName::Bone);
        /// bone: group the outputs or the inputs of a layer into blocks of r: output, input
        block_axis: AxisWord as "AXIS", by(defaults::block_axis, "output for LLaMA2, input for RWKV6"), only(scope::bone);
        /// Continue training this adapter: a folder, or a file of RWKV-PEFT or JL-er/Bone
        ///
        /// The adapter determines settings such as the rank. If you give them too, they must agree with it.
        adapter: PathBuf as "DIR|FILE", unset("new", ""), only(scope::adapter);
        /// Rank r of the adapters; for bone and miss, the block size
        ///
        /// For bone it must divide the inputs and the outputs of every target layer.
        rank: usize as "R", default(defaults::RANK), range(at_least(1)), only(scope::adapters), also("r");
        /// miss-mini: width m of the repeated block (required)
        mini_width: usize as "M", required(1, "give a width that divides the outputs of every target layer"), range(at_least(1)), only(scope::miss_mini), also("mini_r");
        /// lora, pissa, olora: scale the adapter by alpha / rank
        alpha: f64 as "ALPHA", by(defaults::alpha, "the rank"), range(above_0), only(scope::loras);
        /// lora, pissa, olora: scale the adapter by alpha / √rank instead: true, false
        rslora: bool as "BOOL", default(false), only(scope::loras);
        /// lora, pissa, olora: learning rate of B divided by that of A (LoRA+)
        lora_plus_ratio: f64 as "RATIO", default(1.0), range(above_0), only(scope::loras);
        /// pissa: iterations of the fast SVD
        pissa_iterations: usize as "N", unset("exact SVD"), only(scope::pissa);
        /// Dropout probability on the adapter's input; not with bone
        dropout: f64 as "P", default(0.0), range(share), only(scope::dropout);
        /// Layers with adapters: all-linear, names separated by commas, or a regex
        ///
        /// all-linear selects every linear layer except the output head: seven per block of LLaMA, eight per
        /// block of RWKV6. A regular expression must match the whole path of a layer.
        targets: Selection as "LAYERS", default(Selection::AllLinear), only(scope::adapters), also("target_modules");
        /// Layers without adapters: names separated by commas, or a regex
        exclude: Selection as "LAYERS", unset("none"), range(some_layers), only(scope::adapters);
        /// Blocks with adapters, counted from 0: 0,1,4 or 0-7
        layers: Vec<usize> as "NUMBERS", unset("all"), only(scope::adapters);
        /// Weights trained in full beside the adapters: time, ln, emb, head
        ///
        /// time selects RWKV's time_* tensors except time_state, ln the norms, emb the embedding, head the output layer. Separate several with commas.
        train_parts: Vec<Part> as "PARTS", unset("none"), only(scope::adapters);
    }
    "Optimization" {
        /// Number of passes over the training data; may be a fraction
        ///
        /// If max_steps is given too, the run ends at whichever comes first.
        epochs: f64 as "N", unset("from max_steps", "1 without max_steps"), range(above_0), also("num_train_epochs");
        /// Maximum number of optimizer steps
        max_steps: usize as "N", unset("from epochs"), range(at_least(1));
        /// Rows per micro-batch
        batch_size: usize as "ROWS", default(4), range(at_least(1)), also("per_device_train_batch_size", "micro_bsz");
        /// Micro-batches per optimizer step
        gradient_accumulation: usize as "N", default(1), range(at_least(1)), also("gradient_accumulation_steps");
        /// Peak learning rate
        learning_rate: f64 as "RATE", by(defaults::learning_rate, "2e-5; full: 1e-5; state: 1e-2"), range(above_0), also("lr", "lr_init");
        /// Learning rate schedule after the warm-up: constant, linear, cosine
        schedule: ScheduleKind as "NAME", default(ScheduleKind::Cosine), also("lr_scheduler_type");
        /// Number of warm-up steps
        warmup_steps: usize as "N", default(0), only(scope::warmup_steps);
        /// Warm-up as a fraction of all steps; excludes warmup_steps
        warmup_ratio: f64 as "SHARE", unset(""), range(share);
        /// AdamW: β₁, decay of the first moment
        beta1: f64 as "BETA", default(0.9), range(share);
        /// AdamW: β₂, decay of the second moment
        beta2: f64 as "BETA", default(0.999), range(share);
        /// AdamW: ε, added to the denominator
        eps: f64 as "EPS", default(1e-8), range(above_0);
        /// AdamW: weight decay
        weight_decay: f64 as "RATE", default(0.0), range(from_0);
        /// Clip the gradients to this total norm; 0 disables clipping
        max_grad_norm: f64 as "NORM", default(1.0), range(from_0);
        /// Random seed for row order, validation split, dropout and new weights
        seed: u64 as "N", default(42);
    }
    "Intervals" {
        /// Steps between validations
        eval_every: usize as "STEPS", unset("a tenth of the run"), range(at_least(1)), only(scope::evaluations);
        /// Steps between checkpoints
        save_every: usize as "STEPS", unset("none"), range(at_least(1));
        /// Save a checkpoint after this many minutes; 0 disables it
        save_minutes: f64 as "MINUTES", default(15.0), range(from_0);
        /// Number of checkpoints to keep; older ones are deleted
        keep_last: usize as "N", default(2), range(at_least(1));
        /// Also keep the checkpoint with the best validation loss: true, false
        keep_best: bool as "[BOOL]", default(false);
        /// Test memory and disk space before the first step, with the longest rows and a checkpoint: true, false
        ///
        /// A run that lacks memory or disk space then fails at its start.
        shake_down: bool as "BOOL", unset("true, or false on an emulated device");
    }
    "Memory and device" {
        /// Device: auto, or a name that `bone devices` lists
        device: String as "NAME", default("auto".to_owned());
        /// GPU: fuse neighbouring operations into one kernel: true, false
        fusion: bool as "BOOL", default(true);
        /// Precision of the base weights: auto, f32, bf16, f16
        dtype: DtypeChoice as "NAME", default(DtypeChoice::Auto);
        /// Recompute blocks in the backward pass to save memory: true, false
        recompute: bool as "BOOL", default(true), also("gradient_checkpointing", "grad_cp");
        /// Compute logits and loss in chunks of tokens to save memory: true, false
        chunked_head: bool as "BOOL", default(true);
        /// Tokens per chunk of logits
        head_chunk: usize as "TOKENS", unset("64 MiB of logits, at least 512 tokens"), range(at_least(1)), only(scope::chunked_head);
    }
}
