//! The types that a model's parts are read in.

use super::check::Model;
use candle_core::{DType, Device};

/// A type for each part. On the CPU all are 32 bits wide, for which it has its fastest products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Types {
    /// Text encoders.
    pub text: DType,
    /// The image encoder.
    pub image: DType,
    /// The autoencoder.
    pub vae: DType,
    /// The network.
    pub network: DType,
}

impl Types {
    /// Those of a model on a device.
    pub fn of(model: Model, device: &Device) -> Self {
        let wide = DType::F32;
        if device.is_cpu() {
            return Self { text: wide, image: wide, vae: wide, network: wide };
        }
        // As released. UMT5 overflows in f16, and Wan's autoencoder is published in 32 bits.
        let (text, vae) = match model {
            Model::Hunyuan => (DType::F16, DType::F16),
            Model::Wan => (DType::BF16, wide),
        };
        Self { text, image: DType::F16, vae, network: DType::BF16 }
    }
}
