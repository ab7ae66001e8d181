//! Encoders of prompts and pictures for the video transformers that FramePack finetunes.
//!
//! | network | reads | for | gives |
//! |---|---|---|---|
//! | [`Llama`] | tokens of the prompt in its template | HunyuanVideo | (L, 4096) |
//! | [`ClipText`] | tokens of the prompt | HunyuanVideo | (768) |
//! | [`Siglip`] | a picture of 384x384 | FramePack | (729, 1152) |
//! | [`Umt5`] | tokens of the prompt | Wan | (L, 4096) |
//!
//! Tensors are named as in the published files of the `transformers` library. Inference only.

mod clip;
mod layers;
mod llama;
mod prompt;
mod siglip;
mod tokens;
mod tower;
mod umt5;

pub use clip::{ClipText, ClipTextConfig};
pub use llama::{Llama, LlamaConfig};
pub use prompt::{HunyuanPrompt, HunyuanText, WanText};
pub use siglip::{Siglip, SiglipConfig};
pub use tokens::Tokens;
pub use tower::Activation;
pub use umt5::{Umt5, Umt5Config};

#[cfg(test)]
mod tests;
