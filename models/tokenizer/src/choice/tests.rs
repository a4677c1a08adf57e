#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::super::tests::llama_json;
use super::super::world::tests::small_vocabulary;
use super::*;

const WORLD: &str = "rwkv_vocab_test.txt";

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let content = match *name {
                "tokenizer.json" | "other.json" => llama_json(true).to_string(),
                "config.json" => json!({"eos_token_id": 2}).to_string(),
                _ => small_vocabulary(),
            };
            fs::write(folder.path().join(name), content).unwrap();
        }
        Self(folder)
    }

    fn open(&self, choice: &str, vocab_size: usize) -> Result<(usize, String), TokenizerError> {
        let (tokenizer, reason) = open(self.0.path(), &choice.parse().unwrap(), vocab_size)?;
        Ok((tokenizer.vocab_size(), reason))
    }

    fn message(&self, choice: &str) -> String {
        self.open(choice, 512).unwrap_err().to_string()
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn auto_choice_takes_tokenizer_beside_model() {
    let all = Folder::with(&["tokenizer.json", "config.json", WORLD]);
    let (size, reason) = all.open("auto", 256).unwrap();
    assert_eq!(size, 267);
    assert!(reason.ends_with("tokenizer.json, 267 tokens"), "{reason}");
    let world = Folder::with(&[WORLD, "notes.txt"]);
    let (size, reason) = world.open("auto", 256).unwrap();
    assert_eq!(size, 268);
    assert!(
        reason.ends_with("rwkv_vocab_test.txt, 268 tokens"),
        "{reason}"
    );
    let none = Folder::with(&["notes.txt"]);
    let (size, reason) = none.open("auto", 256).unwrap();
    assert_eq!(size, 256);
    assert!(reason.contains("raw bytes:"), "{reason}");
}

#[test]
fn weights_file_uses_tokenizer_of_its_folder() {
    let folder = Folder::with(&[WORLD]);
    for file in ["model.pth", "absent.safetensors"] {
        let path = folder.0.path().join(file);
        let (tokenizer, _) = open(&path, &TokenizerChoice::Auto, 512).unwrap();
        assert_eq!(tokenizer.vocab_size(), 268);
    }
    // A bare file name lies in the current directory.
    assert_eq!(folder_of(Path::new("model.pth")), Path::new("."));
}

#[test]
fn named_tokenizer_is_opened() {
    let model = Folder::with(&["tokenizer.json", "config.json"]);
    assert_eq!(
        model.open("bytes", 9).unwrap(),
        (256, "raw bytes".to_owned())
    );
    let other = Folder::with(&["other.json", "config.json", WORLD]);
    for (name, size) in [(WORLD, 268), ("other.json", 267), ("", 268)] {
        assert_eq!(model.open(&other.path(name), 9).unwrap().0, size, "{name}");
    }
}

#[test]
fn unusable_tokenizer_error_gives_fix() {
    let message = Folder::with(&[]).message("auto");
    for part in [
        "no tokenizer.json",
        "download it",
        "rwkv_vocab",
        "\"bytes\"",
    ] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
    let message = Folder::with(&["tokenizer.model"]).message("auto");
    assert!(message.contains("convert it"), "{message}");
    let message = Folder::with(&["rwkv_vocab_b.txt", "rwkv_vocab_a.txt"]).message("auto");
    assert!(
        message.contains("rwkv_vocab_a.txt, rwkv_vocab_b.txt: choose one with --tokenizer"),
        "{message}"
    );
    let folder = Folder::with(&["model.pth"]);
    for absent in ["absent.json", "absent.txt", "absent", "absent.model"] {
        let message = folder.message(&folder.path(absent));
        assert!(message.contains(absent), "{message}");
        assert!(message.contains("not found"), "{message}");
    }
    let message = folder.message(&folder.path("model.pth"));
    assert!(
        message.contains("model.pth is invalid: not a tokenizer"),
        "{message}"
    );
}

#[test]
fn companions_list_vocabulary_files() {
    let folder = Folder::with(&[
        "rwkv_vocab_b.txt",
        "rwkv_vocab_a.txt",
        "a.txt",
        "config.json",
    ]);
    fs::create_dir(folder.0.path().join("rwkv_vocab_folder.txt")).unwrap();
    assert_eq!(
        companions(folder.0.path()),
        ["rwkv_vocab_a.txt", "rwkv_vocab_b.txt"]
    );
    assert_eq!(companions(&folder.0.path().join("absent")), [""; 0]);
}

proptest! {
    #[test]
    fn printed_tokenizer_choice_parses_back(text in "auto|bytes|[a-z./ ]{0,9}") {
        let choice: TokenizerChoice = text.parse().unwrap();
        let written = choice.to_string();
        prop_assert_eq!(&written, &text);
        prop_assert_eq!(written.parse::<TokenizerChoice>().unwrap(), choice);
    }

    #[test]
    fn file_choice_never_parses_as_keyword(name in "auto|bytes|[a-z]{1,9}") {
        let written = TokenizerChoice::File(name.clone().into()).to_string();
        let TokenizerChoice::File(path) = written.parse().unwrap() else {
            return Err(TestCaseError::fail("it reads as a word"));
        };
        prop_assert_eq!(path.components().next_back().unwrap().as_os_str(), name.as_str());
    }
}
