//! Prompts as tokens, by the files that tokenizers are published in.

use crate::error::Error;
use crate::weights::{read_text, wrong};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as Splitters;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{
    AddedToken, PostProcessor as _, SplitDelimiterBehavior, Tokenizer, TruncationParams,
};

/// Files that a tokenizer is published in: one that tells all, or CLIP's two.
const WHOLE: &str = "tokenizer.json";
const VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";
/// What CLIP's prompts begin and end with.
const CLIP_BEGIN: &str = "<|startoftext|>";
const CLIP_END: &str = "<|endoftext|>";
/// Where CLIP cuts words from each other.
const CLIP_WORDS: &str = concat!(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|",
    r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
);

/// Turns prompts into tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    tokenizer: Tokenizer,
}

impl Tokens {
    /// Reads a folder's `tokenizer.json`, or its `vocab.json` and `merges.txt`, the form CLIP's is published in.
    ///
    /// Prompts are cut to `longest` tokens, those that begin and end them included, and not padded.
    ///
    /// # Errors
    /// A file is missing or is no tokenizer; it is named.
    pub fn open(folder: &Path, longest: usize) -> Result<Self, Error> {
        let file = folder.join(WHOLE);
        let (file, tokenizer) = if file.is_file() {
            let tokenizer =
                whole(&read_text(&file, "tokenizer")?).map_err(|error| wrong(&file, &error))?;
            (file, tokenizer)
        } else {
            let vocabulary = folder.join(VOCABULARY);
            if !vocabulary.is_file() {
                let reason = format!("expected {WHOLE}, or {VOCABULARY} and {MERGES}");
                return Err(wrong(folder, &reason));
            }
            let (vocabulary, merges) = (
                read_text(&vocabulary, "vocabulary")?,
                read_text(&folder.join(MERGES), "merges of tokens")?,
            );
            (
                folder.join(VOCABULARY),
                clip(&vocabulary, &merges).map_err(|why| wrong(folder, &why))?,
            )
        };
        Self::new(tokenizer, longest).map_err(|reason| wrong(&file, &reason))
    }

    fn new(mut tokenizer: Tokenizer, longest: usize) -> tokenizers::Result<Self> {
        let added =
            tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if added >= longest {
            return Err(format!(
                "expected fewer than {longest} tokens around a prompt, got {added}"
            )
            .into());
        }
        tokenizer.with_padding(None);
        let cut = TruncationParams { max_length: longest, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(cut))?;
        Ok(Self { tokenizer })
    }

    /// The tokens of a prompt.
    ///
    /// # Errors
    /// The tokenizer cannot say: it knows no token for unknown text.
    pub fn encode(&self, text: &str) -> candle_core::Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, true).map_err(candle_core::Error::wrap)?;
        Ok(encoding.get_ids().to_vec())
    }
}

/// The tokenizer that a `tokenizer.json` tells.
fn whole(text: &str) -> tokenizers::Result<Tokenizer> {
    #[derive(serde::Deserialize)]
    struct Around {
        post_processor: Option<Value>,
    }
    let around: Around = serde_json::from_str(text)?;
    check_around(&around.post_processor.unwrap_or_default())?;
    text.parse()
}

/// That what is put around prompts is known: the library takes its word for it, and panics.
fn check_around(processor: &Value) -> Result<(), String> {
    for inner in processor["processors"].as_array().into_iter().flatten() {
        check_around(inner)?;
    }
    let pieces = ["single", "pair"].map(|template| processor[template].as_array());
    for piece in pieces.into_iter().flatten().flatten() {
        let id = &piece["SpecialToken"]["id"];
        if id.as_str().is_some_and(|id| processor["special_tokens"].get(id).is_none()) {
            return Err(format!("expected {id} among the special tokens around a prompt"));
        }
    }
    Ok(())
}

/// CLIP's tokenizer of a vocabulary and the merges that make its tokens.
fn clip(vocabulary: &str, merges: &str) -> tokenizers::Result<Tokenizer> {
    let vocabulary: HashMap<String, u32> = serde_json::from_str(vocabulary)?;
    let special = |token: &str| match vocabulary.get(token) {
        Some(id) => Ok((token.to_owned(), *id)),
        None => Err(format!("expected a token {token}")),
    };
    let around = RobertaProcessing::new(special(CLIP_END)?, special(CLIP_BEGIN)?);
    let lines = merges.lines().filter(|line| !line.starts_with("#version") && !line.is_empty());
    let pair = |line: &str| match line.split_once(' ') {
        Some((a, b)) => Ok((a.to_owned(), b.to_owned())),
        None => Err(format!("expected two tokens that make one, got {line:?}")),
    };
    let merges = lines.map(pair).collect::<Result<Vec<_>, _>>()?;
    let vocabulary: Vocab = vocabulary.into_iter().collect();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .end_of_word_suffix("</w>".to_owned())
        .unk_token(CLIP_END.to_owned())
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    clip_words(&mut tokenizer)?;
    tokenizer.with_post_processor(Some(around.trim_offsets(false).add_prefix_space(false)));
    let special = [CLIP_BEGIN, CLIP_END].map(|token| AddedToken::from(token, true));
    tokenizer.add_special_tokens(special)?;
    Ok(tokenizer)
}

/// How CLIP's tokenizer finds words: in lower case, with spaces in a row as one, as bytes.
fn clip_words(tokenizer: &mut Tokenizer) -> tokenizers::Result<()> {
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ")?;
    let normal = Normalizers::new(vec![NFC.into(), spaces.into(), Lowercase.into()]);
    let words = SplitPattern::Regex(CLIP_WORDS.to_owned());
    let words = Split::new(words, SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::new(false, true, true);
    tokenizer.with_pre_tokenizer(Some(Splitters::new(vec![words.into(), bytes.into()])));
    tokenizer.with_normalizer(Some(normal))?;
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    fn golden() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/tokens_tiny.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Folders as the two tokenizers are published.
    pub(crate) fn folders() -> [tempfile::TempDir; 2] {
        let golden = golden();
        let [llama, clip] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        std::fs::write(llama.path().join(WHOLE), golden["llama"].to_string()).unwrap();
        std::fs::write(clip.path().join(VOCABULARY), golden["clip_vocabulary"].to_string())
            .unwrap();
        std::fs::write(clip.path().join(MERGES), golden["clip_merges"].as_str().unwrap()).unwrap();
        [llama, clip]
    }

    static TINY: LazyLock<[Tokens; 2]> =
        LazyLock::new(|| folders().map(|folder| Tokens::open(folder.path(), 20).unwrap()));

    #[test]
    fn tokens_are_those_of_the_reference() {
        let golden = golden();
        let [llama, clip] = folders();
        let cut = usize::try_from(golden["cut"].as_u64().unwrap()).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() >= 5);
        for (longest, suffix) in [(77, ""), (cut, "_cut")] {
            let llama = Tokens::open(llama.path(), longest).unwrap();
            let clip = Tokens::open(clip.path(), longest).unwrap();
            for case in cases {
                let text = case["text"].as_str().unwrap();
                let want = |name: &str| -> Vec<u32> {
                    serde_json::from_value(case[format!("{name}{suffix}")].clone()).unwrap()
                };
                let wrapped =
                    format!("<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>");
                assert_eq!(llama.encode(&wrapped).unwrap(), want("llama"), "{text:?}");
                assert_eq!(clip.encode(text).unwrap(), want("clip"), "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_missing_or_odd_is_named() {
        let [llama, clip] = folders();
        let refused =
            |folder: &Path, longest| Tokens::open(folder, longest).unwrap_err().to_string();
        let empty = tempfile::tempdir().unwrap();
        assert!(refused(empty.path(), 9).contains("expected tokenizer.json, or vocab.json"));
        assert!(refused(llama.path(), 1).contains("fewer than 1 tokens around a prompt, got 1"));
        std::fs::write(clip.path().join(MERGES), "a\n").unwrap();
        assert!(refused(clip.path(), 9).contains("two tokens that make one"));
        std::fs::write(clip.path().join(VOCABULARY), "{\"a\": 0}").unwrap();
        assert!(refused(clip.path(), 9).contains("<|endoftext|>"));
        std::fs::remove_file(clip.path().join(MERGES)).unwrap();
        assert!(refused(clip.path(), 9).contains("merges.txt"));
        let mut odd = golden()["llama"].clone();
        odd["post_processor"]["special_tokens"] = Value::default();
        std::fs::write(llama.path().join(WHOLE), odd.to_string()).unwrap();
        assert!(refused(llama.path(), 9).contains("among the special tokens around a prompt"));
        std::fs::write(llama.path().join(WHOLE), "{}").unwrap();
        assert!(refused(llama.path(), 9).contains("tokenizer.json"));
    }

    proptest! {
        #[test]
        fn no_vocabulary_panics(vocabulary in "\\PC{0,80}", merges in "\\PC{0,80}") {
            prop_assert!(clip(&vocabulary, &merges).is_err());
            let known = format!("{{\"{CLIP_BEGIN}\": 0, \"{CLIP_END}\": 1, \"a\": 7}}");
            let _ = clip(&known, &merges);
        }

        #[test]
        fn no_damaged_tokenizer_panics(at in any::<prop::sample::Index>(), text in "\\PC{0,12}") {
            let mut damaged = golden()["llama"].to_string();
            let places: Vec<usize> = damaged.char_indices().map(|(at, _)| at).collect();
            let from = at.index(places.len() - 1);
            damaged.replace_range(places[from]..places[from + 1], &text);
            if let Ok(tokenizer) = whole(&damaged)
                && let Ok(tokens) = Tokens::new(tokenizer, 20)
            {
                let _ = tokens.encode("a red maze, it's <|eot_id|> 3");
            }
        }

        #[test]
        fn no_prompt_panics(text in "\\PC{0,60}") {
            for tokens in TINY.iter() {
                prop_assert!(tokens.encode(&text).unwrap().len() <= 20);
            }
        }
    }
}
