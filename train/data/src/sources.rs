//! The files that a run trains on, as the user names them.

use bone_files::wording::joined;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::formats::Selection;

/// A file or a part of it, and the weight of its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Which rows.
    pub selection: Selection,
    /// How often each row is used in an epoch, above 0. With 0.5 every epoch uses another half.
    pub weight: f64,
}

/// One or more files, written `PATH[FROM:TO]@WEIGHT` and separated by commas.
#[derive(Debug, Clone, PartialEq)]
pub struct Sources(pub Vec<Source>);

/// How to read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One object per row.
    Rows,
    /// One plain text: a `.txt`, compressed or not.
    Text,
    /// Token ids: RWKV's `.idx` with its `.bin`.
    Binidx,
}

impl Kind {
    /// Returns the kind by the file's name.
    pub fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let compressed = [".gz", ".zst"];
        let inner = compressed
            .iter()
            .find_map(|ending| name.strip_suffix(ending));
        if inner.unwrap_or(&name).ends_with(".txt") {
            Self::Text
        } else if name.ends_with(".idx") || name.ends_with(".bin") {
            Self::Binidx
        } else {
            Self::Rows
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rows => "rows with fields",
            Self::Text => "plain text without fields",
            Self::Binidx => "a binidx of tokens",
        })
    }
}

/// Maximum weight. The order of an epoch is in memory, four bytes per use of a row.
const MAX_WEIGHT: f64 = 100.0;

impl Sources {
    /// Returns whether any file has this kind.
    pub fn any(&self, kind: Kind) -> bool {
        self.0
            .iter()
            .any(|source| Kind::of(&source.selection.path) == kind)
    }
}

impl Source {
    /// Returns a source that uses all rows of a file once per epoch.
    pub fn whole(path: impl Into<PathBuf>) -> Self {
        Self {
            selection: Selection {
                path: path.into(),
                from: 0,
                to: None,
            },
            weight: 1.0,
        }
    }

    /// Returns a source whose rows are used `weight` times per epoch.
    ///
    /// # Errors
    /// The weight is not above 0, or is too large.
    pub fn weighted(selection: Selection, weight: f64) -> Result<Self, String> {
        let wrong = match weight {
            weight if weight > 0.0 && weight <= MAX_WEIGHT => {
                return Ok(Self { selection, weight });
            }
            weight if weight > MAX_WEIGHT => {
                format!("be at most {MAX_WEIGHT}; train for more epochs instead")
            }
            _ => "be greater than 0; remove the file instead".to_owned(),
        };
        Err(format!(
            "the weight of {selection} is {weight:?}, but must {wrong}"
        ))
    }
}

// Only from a path: a text can be parsed in two ways, and clap would choose this one.
impl From<PathBuf> for Sources {
    fn from(path: PathBuf) -> Self {
        Self(vec![Source::whole(path)])
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let weighted = text
            .rsplit_once('@')
            .and_then(|(selection, weight)| Some((selection, weight.parse::<f64>().ok()?)));
        let (selection, weight) = weighted.unwrap_or((text, 1.0));
        Self::weighted(selection.parse()?, weight)
    }
}

impl FromStr for Sources {
    type Err = String;

    /// # Errors
    /// A list of what is wrong with each.
    fn from_str(text: &str) -> Result<Self, String> {
        // An existing file with this name is one file.
        let parts: Vec<_> = if std::path::Path::new(text).exists() {
            vec![text]
        } else {
            text.split(',').map(str::trim).collect()
        };
        let sources: Vec<_> = parts.into_iter().map(str::parse::<Source>).collect();
        let problems = sources.iter().filter_map(|source| source.as_ref().err());
        let problems: Vec<_> = problems.cloned().collect();
        if problems.is_empty() {
            Ok(Self(sources.into_iter().flatten().collect()))
        } else {
            Err(joined(problems, "; "))
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.selection.fmt(f)?;
        if self.weight == 1.0 {
            Ok(())
        } else {
            write!(f, "@{}", self.weight)
        }
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&sources.join(", "))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn printed_sources_parse_back() {
        for text in [
            "a.jsonl",
            "a.jsonl[:100]",
            "a.jsonl[5:100]@0.5",
            "a.jsonl@2, b/train[7:], c.parquet",
            "me@home.jsonl",
        ] {
            assert_eq!(text.parse::<Sources>().unwrap().to_string(), text);
        }
        let sources: Sources = "a.jsonl@0.25,b.jsonl".parse().unwrap();
        assert_eq!(sources.0[0].weight, 0.25);
        assert_eq!(sources.0[1], Source::whole("b.jsonl"));
    }

    #[test]
    fn error_lists_every_bad_source() {
        let error = "a.jsonl@0,b.jsonl[3:2],c.jsonl@-1,d.jsonl@1e9".parse::<Sources>();
        let error = error.unwrap_err();
        for part in ["a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn comma_in_file_name_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a,b.jsonl");
        std::fs::write(&path, "").unwrap();
        let sources: Sources = path.to_str().unwrap().parse().unwrap();
        assert_eq!(sources.0, [Source::whole(path)]);
    }
}
