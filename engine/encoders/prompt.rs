//! What the transformers are told of a prompt.

use super::clip::ClipText;
use super::llama::Llama;
use super::tokens::Tokens;
use super::umt5::Umt5;
use crate::error::Error;
use crate::weights::{read_network, wrong};
use candle_core::{DType, Device, Tensor, bail};
use std::path::{Path, PathBuf};

/// Tokens of the template before the prompt, which the transformer does not see.
const TEMPLATE_TOKENS: usize = 95;
/// Most tokens that HunyuanVideo reads of a prompt and what ends the template.
const HUNYUAN_TOKENS: usize = 256;
/// Tokens that Wan reads, prompt or not.
const WAN_TOKENS: usize = 512;

/// Tokens that CLIP reads.
const CLIP_TOKENS: usize = 77;

/// What LLaMA is asked before the prompt and what ends it: the weights were trained with these very words, which are
/// given in the reference (diffusers' pipeline of HunyuanVideo, `DEFAULT_PROMPT_TEMPLATE`).
const TEMPLATE: [&str; 2] = [
    concat!(
        "<|start_header_id|>system<|end_header_id|>\n\n",
        "Describe the video by detailing the following aspects: ",
        "1. The main content and theme of the video.",
        "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects.",
        "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects.",
        "4. background environment, light, style and atmosphere.",
        "5. camera angles, movements, and transitions used in the video:<|eot_id|>",
        "<|start_header_id|>user<|end_header_id|>\n\n",
    ),
    "<|eot_id|>",
];

/// A prompt as HunyuanVideo and FramePack are told it.
#[derive(Clone, Debug)]
pub struct HunyuanPrompt {
    /// One vector per token of the prompt, (L, 4096), L at most 256.
    pub states: Tensor,
    /// One vector for the whole of it, (768).
    pub pooled: Tensor,
}

/// What reads prompts for HunyuanVideo and FramePack.
#[derive(Clone, Debug)]
pub struct HunyuanText {
    llama: Llama,
    llama_tokens: Tokens,
    clip: ClipText,
    clip_tokens: Tokens,
    folder: PathBuf,
}

impl HunyuanText {
    /// Opens `text_encoder` with `tokenizer`, LLaMA, and `text_encoder_2` with `tokenizer_2`, CLIP, in a folder.
    ///
    /// # Errors
    /// Something is missing or is of another network; the file is named.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self, Error> {
        let network = |name: &str| folder.join(name);
        let tokens = |name: &str, longest| Tokens::open(&folder.join(name), longest);
        Ok(Self {
            llama_tokens: tokens("tokenizer", TEMPLATE_TOKENS + HUNYUAN_TOKENS)?,
            clip_tokens: tokens("tokenizer_2", CLIP_TOKENS)?,
            llama: read_network(&network("text_encoder"), dtype, device, Llama::new)?,
            clip: read_network(&network("text_encoder_2"), dtype, device, ClipText::new)?,
            folder: folder.to_owned(),
        })
    }

    /// Reads a prompt.
    ///
    /// # Errors
    /// A tensor is missing or has another shape, or a tokenizer does not belong to its network; the folder is named.
    pub fn encode(&self, prompt: &str) -> Result<HunyuanPrompt, Error> {
        self.read(prompt).map_err(|error| wrong(&self.folder, &error))
    }

    fn read(&self, prompt: &str) -> candle_core::Result<HunyuanPrompt> {
        let states = self.llama.forward(&self.llama_tokens.encode(&TEMPLATE.join(prompt))?)?;
        Ok(HunyuanPrompt {
            states: crop(&states, TEMPLATE_TOKENS)?,
            pooled: self.clip.forward(&self.clip_tokens.encode(prompt)?)?,
        })
    }
}

/// What reads prompts for Wan.
#[derive(Clone, Debug)]
pub struct WanText {
    umt5: Umt5,
    tokens: Tokens,
    folder: PathBuf,
}

impl WanText {
    /// Opens `text_encoder` with `tokenizer`, UMT5, in a folder.
    ///
    /// # Errors
    /// Something is missing or is of another network; the file is named.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self, Error> {
        let tokens = Tokens::open(&folder.join("tokenizer"), WAN_TOKENS)?;
        let umt5 = read_network(&folder.join("text_encoder"), dtype, device, Umt5::new)?;
        Ok(Self { umt5, tokens, folder: folder.to_owned() })
    }

    /// Reads a prompt: (512, 4096), zeros behind it.
    ///
    /// Spaces in a row count as one, as in the reference; entities of HTML and broken encodings are not repaired.
    ///
    /// # Errors
    /// A tensor is missing or has another shape, or the tokenizer does not belong to the network; the folder is named.
    pub fn encode(&self, prompt: &str) -> Result<Tensor, Error> {
        self.read(prompt).map_err(|error| wrong(&self.folder, &error))
    }

    fn read(&self, prompt: &str) -> candle_core::Result<Tensor> {
        let words: Vec<&str> = prompt.split_whitespace().collect();
        let states = self.umt5.forward(&self.tokens.encode(&words.join(" "))?)?;
        let length = states.dim(0)?;
        states.pad_with_zeros(0, 0, WAN_TOKENS.saturating_sub(length))
    }
}

/// `states` (L, D) without the first.
fn crop(states: &Tensor, first: usize) -> candle_core::Result<Tensor> {
    let length = states.dim(0)?;
    if length <= first {
        bail!("expected more than {first} tokens of the template of LLaMA 3, got {length}");
    }
    states.narrow(0, first, length - first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoders::tokens::tests::folders;
    use crate::golden::{Golden, farthest, golden};
    use crate::ops::check::random;
    use serde_json::json;
    use std::collections::HashMap;

    /// Writes the small network `name` as it is published, knowing `vocabulary` tokens.
    fn publish(folder: &Path, golden: &Golden, name: &str, config: &serde_json::Value) {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        let prefix = format!("{name}.");
        let own = |(whole, tensor): (&String, &Tensor)| {
            let name = whole.strip_prefix(&prefix)?;
            let tables = ["token_embedding", "embed_tokens", "shared"];
            let rows = if tables.iter().any(|table| name.contains(table)) {
                521
            } else if name.contains("position_embedding") {
                77
            } else {
                return Some((name.to_owned(), tensor.clone()));
            };
            Some((name.to_owned(), random(&[rows, 16], rows).unwrap()))
        };
        let tensors: HashMap<String, Tensor> = golden.tensors.iter().filter_map(own).collect();
        candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
    }

    /// A folder of a pipeline, with the tokenizers of another two folders.
    fn pipeline() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let golden = golden("encoders_tiny.safetensors");
        let [llama, clip] = folders();
        for (name, from) in [("tokenizer", &llama), ("tokenizer_2", &clip)] {
            std::fs::create_dir(root.path().join(name)).unwrap();
            for file in std::fs::read_dir(from.path()).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), root.path().join(name).join(file.file_name())).unwrap();
            }
        }
        let config = json!({"vocab_size": 521, "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 2,
            "rms_norm_eps": 1e-5, "rope_theta": 500000.0});
        publish(&root.path().join("text_encoder"), &golden, "llama", &config);
        let config = json!({"vocab_size": 521, "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 77,
            "hidden_act": "quick_gelu"});
        publish(&root.path().join("text_encoder_2"), &golden, "clip", &config);
        root
    }

    #[test]
    fn hunyuan_sees_the_prompt_behind_the_template() {
        let folder = pipeline();
        let text = HunyuanText::open(folder.path(), DType::F32, &Device::Cpu).unwrap();
        let prompt = text.encode("a red maze").unwrap();
        let ids = text.llama_tokens.encode(&TEMPLATE.join("a red maze")).unwrap();
        // The small tokenizer needs more tokens for the template, so the prompt itself is cut off.
        assert_eq!(ids.len(), 351);
        let whole = text.llama.forward(&ids).unwrap();
        assert_eq!(prompt.states.dims(), [256, 16]);
        assert_eq!(farthest(&prompt.states, &whole.narrow(0, 95, 256).unwrap()), 0.0);
        let pooled = text.clip.forward(&text.clip_tokens.encode("a red maze").unwrap()).unwrap();
        assert_eq!(farthest(&prompt.pooled, &pooled), 0.0);
        assert!(farthest(&prompt.pooled, &text.encode("a maze").unwrap().pooled) > 0.01);
        let error = crop(&prompt.states.narrow(0, 0, 3).unwrap(), 3).unwrap_err().to_string();
        assert!(error.contains("more than 3 tokens of the template"), "{error}");
        std::fs::remove_file(folder.path().join("text_encoder_2/model.safetensors")).unwrap();
        let error = HunyuanText::open(folder.path(), DType::F32, &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("text_encoder_2"), "{error}");
    }

    #[test]
    fn wan_sees_zeros_behind_the_prompt() {
        let folder = pipeline();
        std::fs::remove_dir_all(folder.path().join("text_encoder")).unwrap();
        let config = json!({"vocab_size": 521, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 2,
            "num_heads": 3, "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 10, "layer_norm_epsilon": 1e-6,
            "feed_forward_proj": "gated-gelu"});
        let golden = golden("encoders_tiny.safetensors");
        publish(&folder.path().join("text_encoder"), &golden, "umt5", &config);
        let text = WanText::open(folder.path(), DType::F32, &Device::Cpu).unwrap();
        let states = text.encode(" a  red\nmaze ").unwrap();
        assert_eq!(states.dims(), [512, 16]);
        let ids = text.tokens.encode("a red maze").unwrap();
        let want = text.umt5.forward(&ids).unwrap();
        assert_eq!(farthest(&states.narrow(0, 0, ids.len()).unwrap(), &want), 0.0);
        let rest = states.narrow(0, ids.len(), 512 - ids.len()).unwrap();
        assert_eq!(farthest(&rest, &rest.zeros_like().unwrap()), 0.0);
    }
}
