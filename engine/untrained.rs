//! Networks with random weights, of any size: how fast one is does not depend on what it has learnt.

use crate::codec::Codec;
use crate::error::Error;
use crate::framepack::blocks::Residence;
use crate::framepack::check::Model;
use crate::framepack::hunyuan::{Condition, Config, Transformer};
use crate::framepack::packed::{Packed, Stream};
use crate::framepack::types::Types;
use crate::framepack::window::{Order, Times};
use crate::model::WorldModel;
use crate::train::initial_codec_weights;
use crate::weights::Weights;
use crate::world::{World, WorldConfig, check};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use input::Policy;
use std::path::PathBuf;

/// Frames of the opening: more than a schedule's recent window.
const OPENING: usize = 32;

/// A world of these sizes, whose opening is a walk in a simulated maze.
///
/// # Errors
/// The settings do not fit together, or memory is short.
pub fn world(config: WorldConfig, device: &Device) -> std::result::Result<World, Error> {
    let path = PathBuf::from("random weights");
    let schedule = check(&config).map_err(|reason| Error::World { reason, path })?;
    let weights = Weights::random(DType::F32, device);
    let mut model = weights.build(|vb| WorldModel::new(&config.model, vb))?;
    model.freeze()?;
    let mut weights = initial_codec_weights(&config.codec, 0)?;
    let channels = config.codec.channels;
    let cpu = &Device::Cpu;
    weights.insert("normalize.mean".into(), Tensor::zeros(channels, DType::F32, cpu)?);
    weights.insert("normalize.matrix".into(), Tensor::eye(channels, DType::F32, cpu)?);
    let vb = VarBuilder::from_tensors(weights.into_iter().collect(), DType::F32, device);
    let mut codec = Codec::new(&config.codec, &vb)?;
    codec.freeze()?;
    let side = |pixels: usize| u32::try_from(pixels).expect("latents have few cells");
    let size = (side(config.width), side(config.height));
    let starts = vec![input::simulate(0, OPENING, Policy::Explore, size, config.fps)];
    let (hash, device) = ("random".to_owned(), device.clone());
    Ok(World { config, schedule, codec, model, codebook: None, atlas: None, starts, hash, device })
}

/// What one evaluation of a `FramePack` network is given.
#[derive(Debug)]
pub struct Section {
    network: Transformer,
    packed: Packed,
    levels: Tensor,
    condition: Condition,
}

/// Sizes of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SectionSize {
    /// Latent frames.
    pub frames: usize,
    /// Rows of latent cells.
    pub height: usize,
    /// Columns of latent cells.
    pub width: usize,
    /// States of the text.
    pub words: usize,
    /// States of the image encoder.
    pub views: usize,
}

impl Section {
    /// `HunyuanVideo`'s network of these sizes, and a section with the history that the release packs.
    ///
    /// # Errors
    /// Memory is short.
    pub fn new(config: &Config, size: SectionSize, device: &Device) -> Result<Self> {
        let dtype = Types::of(Model::Hunyuan, device).network;
        let weights = Weights::random(dtype, device);
        let network = Transformer::new(config, &weights, Residence::Held)?;
        let random =
            |shape: &[usize], dtype| Tensor::randn(0_f32, 1.0, shape, device)?.to_dtype(dtype);
        let stream = |times: Vec<i32>| {
            let shape = [1, config.in_channels, times.len(), size.height, size.width];
            Ok::<_, candle_core::Error>(Stream { latents: random(&shape, dtype)?, times })
        };
        let Times { clean, half, quarter, noisy } = Order::Inverted.times(size.frames, 0);
        let history = [(4, quarter), (2, half), (1, clean)];
        let history = history.into_iter().map(|(k, times)| Ok((k, stream(times)?)));
        let packed = Packed { history: history.collect::<Result<_>>()?, noisy: stream(noisy)? };
        let image = (config.has_image_proj && size.views > 0)
            .then(|| random(&[1, size.views, config.image_proj_dim], dtype));
        let condition = Condition {
            text: random(&[1, size.words, config.text_embed_dim], dtype)?,
            lengths: vec![size.words],
            pooled: random(&[1, config.pooled_projection_dim], dtype)?,
            image: image.transpose()?,
            guidance: 10.0,
        };
        let levels = Tensor::full(500_f32, 1, device)?;
        Ok(Self { network, packed, levels, condition })
    }

    /// Evaluates the network once, to the end.
    ///
    /// # Errors
    /// Memory is short.
    pub fn evaluate(&self) -> Result<()> {
        let velocity = self.network.forward(&self.packed, &self.levels, &self.condition)?;
        velocity.device().synchronize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::CodecConfig;
    use crate::dreamer::{DreamOptions, Dreamer};
    use crate::model::ModelConfig;
    use input::{Action, ActionLayout};
    use std::sync::Arc;

    #[test]
    fn an_untrained_world_can_be_walked_in() {
        let config = WorldConfig {
            title: String::new(),
            description: String::new(),
            credits: Vec::new(),
            width: 64,
            height: 48,
            fps: 17.5,
            schedule: "td_f16k4f4k2f5k1_g1".to_owned(),
            time_weight: 0.3,
            place_weight: WorldConfig::PLACE_WEIGHT,
            evaluations: 1,
            evaluations_on_map: None,
            shortcut: false,
            guidance: 0.0,
            forcing: false,
            layout: ActionLayout { turn_degrees: 15.0, pitch_degrees: 0.0, buttons: Vec::new() },
            codec: CodecConfig::tiny(),
            model: ModelConfig::tiny(),
        };
        let odd = WorldConfig { width: 65, ..config.clone() };
        assert!(world(odd, &Device::Cpu).is_err());
        let world = Arc::new(world(config, &Device::Cpu).unwrap());
        let mut dreamer = Dreamer::new(Arc::clone(&world), DreamOptions::default()).unwrap();
        let frames: Vec<&[u8]> = world.starts[0].frames().collect();
        dreamer.open_with(&frames, &world.starts[0].actions).unwrap();
        let picture = dreamer.section(&[Action::NEUTRAL]).unwrap().concat();
        assert_eq!(picture.len(), 64 * 48 * 3);
    }

    #[test]
    fn a_section_of_an_untrained_network_is_evaluated() {
        let config = Config {
            in_channels: 4,
            num_attention_heads: 2,
            attention_head_dim: 16,
            num_layers: 1,
            num_single_layers: 1,
            num_refiner_layers: 1,
            text_embed_dim: 12,
            pooled_projection_dim: 8,
            rope_axes_dim: [4, 6, 6],
            image_proj_dim: 10,
            ..Config::released()
        };
        let size = SectionSize { frames: 2, height: 6, width: 8, words: 3, views: 2 };
        Section::new(&config, size, &Device::Cpu).unwrap().evaluate().unwrap();
        let odd = SectionSize { height: 5, ..size };
        assert!(Section::new(&config, odd, &Device::Cpu).unwrap().evaluate().is_err());
    }
}
