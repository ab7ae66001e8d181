//! A folder of a published model, looked over without running it.
//!
//! The folder has one folder for each part, as models are published for the `diffusers` library.

use super::blocks::Residence;
use super::{embed, hunyuan, wan};
use crate::encoders::{ClipText, Llama, Siglip, Tokens, Umt5};
use crate::error::Error;
use crate::vae::{HunyuanVae, Tiling, WanVae};
use crate::weights::{Weights, read_config, read_text};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::{Path, PathBuf};

/// More tokens than a tokenizer puts around a prompt.
const TOKENS_AROUND_MAX: usize = 64;

/// Which model a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// `HunyuanVideo` with `FramePack`.
    Hunyuan,
    /// Wan 2.1.
    Wan,
}

/// A part of a model.
struct Part {
    folder: &'static str,
    /// What it is.
    what: &'static str,
    /// Files of which each list must have one, all relative to `folder`.
    files: &'static [&'static [&'static str]],
    /// Tells what is wrong with what the files hold, by their headers alone.
    look: fn(&Path) -> Result<Vec<String>, Error>,
    /// Where it is published.
    published: &'static str,
}

/// A configuration, and weights in one file or in many.
const DIFFUSERS: &[&[&str]] = &[
    &["config.json"],
    &["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json"],
];
const TRANSFORMERS: &[&[&str]] =
    &[&["config.json"], &["model.safetensors", "model.safetensors.index.json"]];
const TOKENIZER: &[&[&str]] = &[&["tokenizer.json", "vocab.json"]];

const HUNYUAN: &[Part] = &[
    Part {
        folder: "transformer",
        what: "the network",
        files: DIFFUSERS,
        look: hunyuan_network,
        published: "huggingface.co/lllyasviel/FramePackI2V_HY (inverted) or FramePack_F1_I2V_HY_20250503 (forward)",
    },
    Part {
        folder: "vae",
        what: "the codec",
        files: DIFFUSERS,
        look: |folder| {
            surveyed(folder, |config, vb| HunyuanVae::new(config, Tiling::default(), vb).map(drop))
        },
        published: HUNYUAN_PARTS,
    },
    Part {
        folder: "text_encoder",
        what: "LLaMA",
        files: TRANSFORMERS,
        look: |folder| surveyed(folder, |config, vb| Llama::new(config, vb)?.check()),
        published: HUNYUAN_PARTS,
    },
    Part {
        folder: "text_encoder_2",
        what: "CLIP-L",
        files: TRANSFORMERS,
        look: |folder| surveyed(folder, |config, vb| ClipText::new(config, vb).map(drop)),
        published: HUNYUAN_PARTS,
    },
    Part {
        folder: "tokenizer",
        what: "LLaMA's words",
        files: TOKENIZER,
        look: tokenizer,
        published: HUNYUAN_PARTS,
    },
    Part {
        folder: "tokenizer_2",
        what: "CLIP-L's words",
        files: TOKENIZER,
        look: tokenizer,
        published: HUNYUAN_PARTS,
    },
    Part {
        folder: "image_encoder",
        what: "SigLIP",
        files: TRANSFORMERS,
        look: |folder| surveyed(folder, |config, vb| Siglip::new(config, vb).map(drop)),
        published: "huggingface.co/lllyasviel/flux_redux_bfl",
    },
];
const HUNYUAN_PARTS: &str = "huggingface.co/hunyuanvideo-community/HunyuanVideo";

const WAN: &[Part] = &[
    Part {
        folder: "transformer",
        what: "the network",
        files: DIFFUSERS,
        look: wan_network,
        published: WAN_PARTS,
    },
    Part {
        folder: "vae",
        what: "the codec",
        files: DIFFUSERS,
        look: |folder| {
            let side = Tiling::default().side;
            surveyed(folder, |config, vb| WanVae::new(config, side, vb).map(drop))
        },
        published: WAN_PARTS,
    },
    Part {
        folder: "text_encoder",
        what: "UMT5",
        files: TRANSFORMERS,
        look: |folder| surveyed(folder, |config, vb| Umt5::new(config, vb)?.check()),
        published: WAN_PARTS,
    },
    Part {
        folder: "tokenizer",
        what: "UMT5's words",
        files: TOKENIZER,
        look: tokenizer,
        published: WAN_PARTS,
    },
];
const WAN_PARTS: &str = "huggingface.co/Wan-AI/Wan2.1-T2V-1.3B-Diffusers";

/// Something that is missing from a folder, or is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file or folder.
    pub path: PathBuf,
    /// What was expected.
    pub expected: String,
    /// Where the right one is published.
    pub published: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; published at {}", self.path.display(), self.expected, self.published)
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hunyuan => "HunyuanVideo with FramePack",
            Self::Wan => "Wan 2.1",
        })
    }
}

impl Model {
    /// The model whose network is in `folder`, by the class that its configuration names.
    ///
    /// # Errors
    /// There is none, or it is another model's; the message names the file.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        #[derive(serde::Deserialize)]
        struct Class {
            #[serde(rename = "_class_name", default)]
            name: String,
        }
        let path = folder.join("transformer").join("config.json");
        if !path.exists() {
            let reason = format!(
                "no model here: expected the network of HunyuanVideo, published as {}, or of Wan 2.1, as {WAN_PARTS}",
                HUNYUAN[0].published
            );
            return Err(Error::World { reason, path });
        }
        let text = read_text(&path, "configuration of the network")?;
        let class = serde_json::from_str::<Class>(&text).map_err(|error| error.to_string());
        let model = class.and_then(|class| match class.name.as_str() {
            "WanTransformer3DModel" => Ok(Self::Wan),
            name if name.starts_with("HunyuanVideo") => Ok(Self::Hunyuan),
            name => Err(format!(
                "expected _class_name HunyuanVideo… or WanTransformer3DModel, got {name:?}"
            )),
        });
        model.map_err(|reason| Error::World { reason, path })
    }

    fn parts(self) -> &'static [Part] {
        match self {
            Self::Hunyuan => HUNYUAN,
            Self::Wan => WAN,
        }
    }

    /// Everything that is wrong with the model in `folder`: missing files, damaged ones, and tensors that are missing
    /// or of another shape, by the headers of the files alone.
    ///
    /// The projections of packed history, which come with `HunyuanVideo`'s network or with an adapter, are looked for
    /// where it is to be run `alone`.
    pub fn faults(self, folder: &Path, alone: bool) -> Vec<Fault> {
        let mut faults: Vec<_> =
            self.parts().iter().flat_map(|part| part.faults(&folder.join(part.folder))).collect();
        let network = folder.join("transformer");
        if let (true, Self::Hunyuan, Ok(weights)) =
            (alone, self, Weights::open(&network, DType::F32, &Device::Cpu))
        {
            let names = [1, 2, 4].map(embed::history_weight);
            let missing = names.iter().filter(|name| !weights.contains(name));
            faults.extend(missing.map(|name| Fault {
                path: network.clone(),
                expected: format!("expected a tensor {name}"),
                published: self.parts()[0].published,
            }));
        }
        faults
    }

    /// Pictures of a second.
    pub fn fps(self) -> f32 {
        match self {
            Self::Hunyuan => 30.0,
            Self::Wan => 16.0,
        }
    }

    /// The guidance scale that goes with the model.
    pub fn guidance(self) -> f64 {
        match self {
            Self::Hunyuan => 10.0,
            Self::Wan => 5.0,
        }
    }
}

impl Part {
    fn faults(&self, path: &Path) -> Vec<Fault> {
        let fault =
            |expected: String| Fault { path: path.to_owned(), expected, published: self.published };
        let missing = |choice: &&&[&str]| !choice.iter().any(|name| path.join(name).is_file());
        let missing: Vec<_> = self.files.iter().filter(missing).collect();
        if !missing.is_empty() {
            let expected =
                |choice: &&&[&str]| format!("expected {} of {}", choice.join(" or "), self.what);
            return missing.iter().map(|choice| fault(expected(choice))).collect();
        }
        match (self.look)(path) {
            Ok(complaints) => complaints.into_iter().map(fault).collect(),
            Err(error) => vec![fault(error.to_string())],
        }
    }
}

/// What is wrong with the tensors of the network in a folder, that `make` builds.
fn surveyed<C: DeserializeOwned>(
    folder: &Path,
    make: impl FnOnce(&C, &VarBuilder<'static>) -> candle_core::Result<()>,
) -> Result<Vec<String>, Error> {
    let config = read_config(&folder.join("config.json"))?;
    // In 16 bits, for what a network copies while it is built.
    let (weights, complaints) = Weights::open(folder, DType::F16, &Device::Cpu)?.surveyed();
    weights.build(|vb| make(&config, vb))?;
    Ok(complaints.take())
}

fn tokenizer(folder: &Path) -> Result<Vec<String>, Error> {
    Tokens::open(folder, TOKENS_AROUND_MAX).map(|_| Vec::new())
}

fn hunyuan_network(folder: &Path) -> Result<Vec<String>, Error> {
    let (weights, complaints) = Weights::open(folder, DType::F32, &Device::Cpu)?.surveyed();
    hunyuan::Transformer::new(&hunyuan::Config::open(folder)?, &weights, Residence::Held)?;
    Ok(complaints.take())
}

fn wan_network(folder: &Path) -> Result<Vec<String>, Error> {
    let (weights, complaints) = Weights::open(folder, DType::F32, &Device::Cpu)?.surveyed();
    wan::Transformer::new(&wan::Config::open(folder)?, &weights, Residence::Held)?;
    Ok(complaints.take())
}

#[cfg(test)]
mod tests;
