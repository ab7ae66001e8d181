//! What a network is told of a section beside its latents: a prompt, and pictures.

use super::check::Model;
use super::types::Types;
use super::{hunyuan, wan};
use crate::encoders::{HunyuanPrompt, HunyuanText, Siglip, WanText};
use crate::error::Error;
use crate::vae::Autoencoder;
use candle_core::{DType, Device, Result, Tensor};
use input::Frame;
use std::path::Path;

/// A prompt as a model's encoders have read it.
#[derive(Clone, Debug)]
pub enum Text {
    /// For `HunyuanVideo`.
    Hunyuan(HunyuanPrompt),
    /// For Wan: the prompt's states, and those of no prompt at all, each (512, D).
    Wan {
        /// The prompt.
        prompt: Tensor,
        /// No prompt.
        empty: Tensor,
    },
}

/// What a network is told of a section.
#[derive(Clone, Debug)]
pub struct Told {
    /// The prompt.
    pub text: Text,
    /// States of an image encoder: (L, D).
    pub image: Option<Tensor>,
}

/// Reads prompts by the encoders in a model's folder, which are let go of then.
///
/// # Errors
/// A file is missing, damaged or of another network; it is named.
pub fn read_prompts(
    model: Model,
    folder: &Path,
    prompts: &[&str],
    device: &Device,
) -> std::result::Result<Vec<Text>, Error> {
    let dtype = Types::of(model, device).text;
    match model {
        Model::Hunyuan => {
            let reader = HunyuanText::open(folder, dtype, device)?;
            prompts.iter().map(|prompt| Ok(Text::Hunyuan(reader.encode(prompt)?))).collect()
        }
        Model::Wan => {
            let reader = WanText::open(folder, dtype, device)?;
            let empty = reader.encode("")?;
            let text = |prompt: &&str| {
                Ok(Text::Wan { prompt: reader.encode(prompt)?, empty: empty.clone() })
            };
            prompts.iter().map(text).collect()
        }
    }
}

/// The image encoder of a model, where it has one.
#[derive(Clone, Debug)]
pub struct Eye(Option<Siglip>);

impl Eye {
    /// Opens the image encoder in a model's folder.
    ///
    /// # Errors
    /// A file is missing, damaged or of another network; it is named.
    pub fn open(model: Model, folder: &Path, device: &Device) -> std::result::Result<Self, Error> {
        Ok(Self(match model {
            Model::Hunyuan => {
                let dtype = Types::of(model, device).image;
                Some(Siglip::open(&folder.join("image_encoder"), dtype, device)?)
            }
            Model::Wan => None,
        }))
    }

    /// What it sees in a picture, in 32 bits: (L, D).
    ///
    /// # Errors
    /// The picture's bytes are not as many as its size says.
    pub fn look(&self, picture: &Frame) -> Result<Option<Tensor>> {
        let states = |encoder: &Siglip| encoder.encode(picture)?.to_dtype(DType::F32);
        self.0.as_ref().map(states).transpose()
    }
}

/// Opens the autoencoder in a model's folder.
///
/// # Errors
/// A file is missing, damaged or of another network; it is named.
pub fn open_vae(
    model: Model,
    folder: &Path,
    device: &Device,
) -> std::result::Result<Autoencoder, Error> {
    let (folder, dtype) = (folder.join("vae"), Types::of(model, device).vae);
    match model {
        Model::Hunyuan => Autoencoder::hunyuan(&folder, dtype, device),
        Model::Wan => Autoencoder::wan(&folder, dtype, device),
    }
}

impl Told {
    /// For a batch of one, `HunyuanVideo`.
    pub(super) fn hunyuan(
        &self,
        prompt: &HunyuanPrompt,
        guidance: f64,
    ) -> Result<hunyuan::Condition> {
        let text = prompt.states.unsqueeze(0)?;
        Ok(hunyuan::Condition {
            lengths: vec![text.dim(1)?],
            text,
            pooled: prompt.pooled.unsqueeze(0)?,
            image: self.image.as_ref().map(|image| image.unsqueeze(0)).transpose()?,
            guidance,
        })
    }

    /// For a batch of one, Wan; `text` is the prompt or none.
    pub(super) fn wan(&self, text: &Tensor) -> Result<wan::Condition> {
        Ok(wan::Condition { text: text.unsqueeze(0)?, image: None })
    }
}
