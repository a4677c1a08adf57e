use std::path::Path;

use serde_json::Value;

use super::{Tokenizer, TokenizerError};
use bone_files::panics::caught;
use bone_files::{MAX_JSON_BYTES, read_small};

/// Returns the folder of a file.
pub(super) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(super) const TOKENIZER_FILE: &str = "tokenizer.json";
const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";
/// Files with ids of special tokens, in order of precedence.
const CONFIG_FILES: [&str; 2] = ["generation_config.json", "config.json"];

/// A Hugging Face `tokenizer.json`.
///
/// Special tokens that appear in a text (`</s>`) become those tokens, like in transformers.
pub struct HfTokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    eos: Vec<u32>,
    vocab_size: usize,
}

impl std::fmt::Debug for HfTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HfTokenizer")
            .field("bos", &self.bos)
            .field("eos", &self.eos)
            .field("vocab_size", &self.vocab_size)
            .finish_non_exhaustive()
    }
}

impl HfTokenizer {
    /// Reads a `tokenizer.json`, and the special tokens from the configuration files beside it.
    ///
    /// The end tokens are `eos_token_id` (a number or a list) of `generation_config.json`, else of
    /// `config.json`, else the `eos_token` of `tokenizer_config.json`.
    ///
    /// Sequences start with a token if `tokenizer_config.json` has `add_bos_token: true`. Without
    /// this field they do if `tokenizer.json` itself puts one before a text. That token is used,
    /// otherwise `bos_token_id` of the configs, otherwise `bos_token`.
    ///
    /// # Errors
    /// If the file is missing, if a file is not valid, or if no end token is usable.
    pub fn from_file(path: &Path) -> Result<Self, TokenizerError> {
        let folder = folder_of(path);
        let json = read(path)?.ok_or_else(|| TokenizerError::Io {
            path: path.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        let path = path.to_owned();
        let inner = parse(&json).map_err(|reason| TokenizerError::Invalid { path, reason })?;
        let mut configs = Vec::new();
        for file in CONFIG_FILES {
            configs.extend(read_json(&folder.join(file))?.map(|config| (file, config)));
        }
        let tokenizer_config =
            read_json(&folder.join(TOKENIZER_CONFIG_FILE))?.unwrap_or(Value::Null);
        let mut tokenizer = Self::new(inner, None, Vec::new());
        let mut problems = Vec::new();
        match tokenizer.find_eos(&configs, &tokenizer_config) {
            Ok(eos) => tokenizer.eos = eos,
            Err(found) => problems.extend(found),
        }
        match tokenizer.find_bos(&configs, &tokenizer_config) {
            Ok(bos) => tokenizer.bos = bos,
            Err(problem) => problems.push(problem),
        }
        if problems.is_empty() {
            Ok(tokenizer)
        } else {
            Err(TokenizerError::SpecialTokens {
                folder: folder.to_owned(),
                problems,
            })
        }
    }

    /// Makes a tokenizer from the text of a `tokenizer.json` and the given special tokens.
    ///
    /// # Errors
    /// If the text is not a tokenizer, `eos` is empty, or an id is past the vocabulary.
    pub fn from_json(json: &[u8], bos: Option<u32>, eos: Vec<u32>) -> Result<Self, TokenizerError> {
        let invalid = |reason| TokenizerError::Invalid {
            path: TOKENIZER_FILE.into(),
            reason,
        };
        let this = Self::new(parse(json).map_err(invalid)?, bos, eos);
        if this.eos.is_empty() {
            return Err(invalid("the end-of-sequence token is missing".to_owned()));
        }
        let bad: Vec<_> = bos
            .iter()
            .chain(&this.eos)
            .filter(|&&id| id as usize >= this.vocab_size)
            .collect();
        if !bad.is_empty() {
            return Err(invalid(format!(
                "the special tokens {bad:?} are not among its {} tokens",
                this.vocab_size
            )));
        }
        Ok(this)
    }

    fn new(inner: tokenizers::Tokenizer, bos: Option<u32>, eos: Vec<u32>) -> Self {
        // This differs from the number of tokens, because ids may have gaps.
        let vocab_size = inner
            .get_vocab(true)
            .into_values()
            .max()
            .map_or(0, |id| id as usize + 1);
        Self {
            inner,
            bos,
            eos,
            vocab_size,
        }
    }

    fn find_eos(
        &self,
        configs: &[(&str, Value)],
        tokenizer_config: &Value,
    ) -> Result<Vec<u32>, Vec<String>> {
        for (file, config) in configs {
            let ids: Vec<&Value> = match &config["eos_token_id"] {
                Value::Null => continue,
                Value::Array(ids) => ids.iter().collect(),
                id => vec![id],
            };
            if ids.is_empty() {
                continue;
            }
            let (good, bad): (Vec<_>, Vec<_>) = ids
                .into_iter()
                .map(|id| self.id(file, "eos_token_id", id))
                .partition(Result::is_ok);
            if !bad.is_empty() {
                return Err(bad.into_iter().filter_map(Result::err).collect());
            }
            return Ok(good.into_iter().flatten().collect());
        }
        match self.named_token(tokenizer_config, "eos_token") {
            Ok(Some(id)) => Ok(vec![id]),
            Ok(None) => Err(vec![
                "the end-of-sequence token is missing; add eos_token_id to generation_config.json"
                    .to_owned(),
            ]),
            Err(problem) => Err(vec![problem]),
        }
    }

    fn find_bos(
        &self,
        configs: &[(&str, Value)],
        tokenizer_config: &Value,
    ) -> Result<Option<u32>, String> {
        let added = self.added_bos()?;
        match &tokenizer_config["add_bos_token"] {
            Value::Bool(false) => return Ok(None),
            Value::Bool(true) => {}
            Value::Null => return Ok(added),
            other => {
                return Err(format!(
                    "add_bos_token in {TOKENIZER_CONFIG_FILE} must be true or false, not {other}"
                ));
            }
        }
        if added.is_some() {
            return Ok(added);
        }
        for (file, config) in configs {
            match &config["bos_token_id"] {
                Value::Null => {}
                id => return self.id(file, "bos_token_id", id).map(Some),
            }
        }
        match self.named_token(tokenizer_config, "bos_token")? {
            Some(id) => Ok(Some(id)),
            None => Err(format!(
                "add_bos_token in {TOKENIZER_CONFIG_FILE} is true but bos_token is missing; add \
                 bos_token_id to generation_config.json"
            )),
        }
    }

    /// Returns the token that `tokenizer.json` itself puts before a text.
    fn added_bos(&self) -> Result<Option<u32>, String> {
        let ids = |special| {
            guarded(|| self.inner.encode_fast("a", special))
                .map(|encoding| encoding.get_ids().to_vec())
                .map_err(|reason| format!("{TOKENIZER_FILE} can't tokenise \"a\": {reason}"))
        };
        let (plain, special) = (ids(false)?, ids(true)?);
        Ok(match special.split_first() {
            Some((&first, rest)) if rest.starts_with(&plain) => Some(first),
            _ => None,
        })
    }

    fn id(&self, file: &str, field: &str, value: &Value) -> Result<u32, String> {
        match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
            Some(id) if (id as usize) < self.vocab_size => Ok(id),
            _ => Err(format!(
                "{field} in {file} must be a token id less than {}, not {value}",
                self.vocab_size
            )),
        }
    }

    /// Returns the id of a token that `tokenizer_config.json` names as a string or
    /// `{"content": ..}`.
    fn named_token(&self, tokenizer_config: &Value, field: &str) -> Result<Option<u32>, String> {
        let name = match &tokenizer_config[field] {
            Value::Null => return Ok(None),
            Value::Object(token) => token.get("content").unwrap_or(&Value::Null),
            name => name,
        };
        let id = name.as_str().and_then(|name| self.inner.token_to_id(name));
        id.map(Some).ok_or_else(|| {
            format!(
                "{field} in {TOKENIZER_CONFIG_FILE} is {name}, which is missing from {TOKENIZER_FILE}"
            )
        })
    }
}

impl Tokenizer for HfTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        guarded(|| self.inner.encode_fast(text, false))
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|reason| TokenizerError::Encode { reason })
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        guarded(|| self.inner.decode(ids, true)).map_err(|reason| TokenizerError::Decode { reason })
    }

    fn bos(&self) -> Option<u32> {
        self.bos
    }

    fn eos(&self) -> &[u32] {
        &self.eos
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn is_special(&self, id: u32) -> bool {
        let token = self.inner.id_to_token(id);
        token.is_some_and(|token| self.inner.get_added_vocabulary().is_special_token(&token))
    }
}

fn parse(json: &[u8]) -> Result<tokenizers::Tokenizer, String> {
    guarded(|| {
        let mut inner = tokenizers::Tokenizer::from_bytes(json)?;
        // Files often contain the truncation settings of a past run, which would silently cut every
        // long text.
        inner.with_truncation(None)?;
        inner.with_padding(None);
        Ok(inner)
    })
}

/// Runs code of the tokenizers crate, which panics on some files: a post-processor with an
/// undefined token, a broken `precompiled_charsmap`, or a decoder whose input lacks the part to
/// strip.
fn guarded<T>(run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    // A panic leaves no visible partial state: a tokenizer never changes after it has been read.
    match caught(run) {
        Some(result) => result.map_err(|error| error.to_string()),
        None => Err("the tokenizers library does not support this tokenizer.json".to_owned()),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, TokenizerError> {
    read_small(path, MAX_JSON_BYTES).map_err(|source| TokenizerError::Io {
        path: path.to_owned(),
        source,
    })
}

fn read_json(path: &Path) -> Result<Option<Value>, TokenizerError> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| TokenizerError::Invalid {
            path: path.to_owned(),
            reason: error.to_string(),
        })
}
