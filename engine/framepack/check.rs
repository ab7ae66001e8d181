//! A folder of a published model, looked over without running it.
//!
//! The folder has one folder for each part, as models are published for the `diffusers` library.

use super::blocks::Residence;
use super::{embed, hunyuan, wan};
use crate::error::Error;
use crate::weights::{Weights, read_text};
use candle_core::{DType, Device};
use std::fmt;
use std::path::{Path, PathBuf};

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
const TOKENIZER: &[&[&str]] = &[&["tokenizer.json", "vocab.json", "spiece.model"]];

const HUNYUAN: &[Part] = &[
    Part {
        folder: "transformer",
        what: "the network",
        files: DIFFUSERS,
        published: "huggingface.co/lllyasviel/FramePackI2V_HY (inverted) or FramePack_F1_I2V_HY_20250503 (forward)",
    },
    Part { folder: "vae", what: "the codec", files: DIFFUSERS, published: HUNYUAN_PARTS },
    Part { folder: "text_encoder", what: "LLaMA", files: TRANSFORMERS, published: HUNYUAN_PARTS },
    Part {
        folder: "text_encoder_2",
        what: "CLIP-L",
        files: TRANSFORMERS,
        published: HUNYUAN_PARTS,
    },
    Part { folder: "tokenizer", what: "LLaMA's words", files: TOKENIZER, published: HUNYUAN_PARTS },
    Part {
        folder: "tokenizer_2",
        what: "CLIP-L's words",
        files: TOKENIZER,
        published: HUNYUAN_PARTS,
    },
    Part {
        folder: "image_encoder",
        what: "SigLIP",
        files: TRANSFORMERS,
        published: "huggingface.co/lllyasviel/flux_redux_bfl",
    },
];
const HUNYUAN_PARTS: &str = "huggingface.co/hunyuanvideo-community/HunyuanVideo";

const WAN: &[Part] = &[
    Part { folder: "transformer", what: "the network", files: DIFFUSERS, published: WAN_PARTS },
    Part { folder: "vae", what: "the codec", files: DIFFUSERS, published: WAN_PARTS },
    Part { folder: "text_encoder", what: "UMT5", files: TRANSFORMERS, published: WAN_PARTS },
    Part { folder: "tokenizer", what: "UMT5's words", files: TOKENIZER, published: WAN_PARTS },
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

    /// Everything that is wrong with the model in `folder`: missing files, and in the network damaged files and
    /// tensors that are missing or of another shape. Of the other parts only the files are looked for.
    pub fn faults(self, folder: &Path) -> Vec<Fault> {
        let mut faults = Vec::new();
        for part in self.parts() {
            for choice in part.files {
                let path = folder.join(part.folder);
                if !choice.iter().any(|name| path.join(name).is_file()) {
                    let expected = format!("expected {} of {}", choice.join(" or "), part.what);
                    faults.push(Fault { path, expected, published: part.published });
                }
            }
        }
        if faults.iter().all(|fault| fault.path != folder.join("transformer")) {
            faults.extend(self.network_faults(folder));
        }
        faults
    }

    /// Faults of the network's tensors, by their headers alone.
    fn network_faults(self, folder: &Path) -> Vec<Fault> {
        let path = folder.join("transformer");
        let fault = |expected: String| Fault {
            path: path.clone(),
            expected,
            published: self.parts()[0].published,
        };
        let survey = || -> Result<Vec<String>, Error> {
            let (weights, complaints) = Weights::open(&path, DType::F32, &Device::Cpu)?.surveyed();
            match self {
                Self::Hunyuan => {
                    hunyuan::Transformer::new(
                        &hunyuan::Config::open(&path)?,
                        &weights,
                        Residence::Held,
                    )?;
                    for k in [1, 2, 4] {
                        complaints.expect(&weights, &embed::history_weight(k));
                    }
                }
                Self::Wan => {
                    wan::Transformer::new(&wan::Config::open(&path)?, &weights, Residence::Held)?;
                }
            }
            Ok(complaints.take())
        };
        match survey() {
            Ok(complaints) => complaints.into_iter().map(fault).collect(),
            Err(error) => vec![fault(error.to_string())],
        }
    }
}

#[cfg(test)]
mod tests;
