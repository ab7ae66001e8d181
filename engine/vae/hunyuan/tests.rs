use super::*;
use crate::golden::{Golden, farthest, golden};
use crate::vae::check::parity;
use crate::vae::{Tiles, Tiling};
use candle_core::{DType, Device};
use proptest::prelude::*;

/// Pictures are kept in f16, which knows values from 4 to 8 in steps of 1/256; they are 6.3 at most.
const STEP: f32 = 1.0 / 512.0;

fn config() -> HunyuanVaeConfig {
    HunyuanVaeConfig {
        latent_channels: 4,
        block_out_channels: vec![4, 4, 8, 8],
        layers_per_block: 1,
        norm_num_groups: 2,
        ..HunyuanVaeConfig::default()
    }
}

fn tiles() -> Tiling {
    Tiling { frames: Tiles { size: 8, stride: 4 }, side: Tiles { size: 16, stride: 8 } }
}

fn vae(golden: &Golden, tiling: Tiling) -> HunyuanVae {
    HunyuanVae::new(&config(), tiling, &golden.builder()).unwrap()
}

#[test]
fn parity_with_the_reference_autoencoder() {
    let golden = golden("hunyuan_vae_tiny.safetensors");
    for (name, tiling) in [("whole", Tiling::WHOLE), ("tiled", tiles())] {
        let vae = vae(&golden, tiling);
        let latents = vae.encode(&golden.videos()).unwrap();
        let pictures = vae.decode(&golden.get("latents")).unwrap();
        parity(&golden, name, &latents, (&pictures, STEP));
    }
}

#[test]
fn videos_of_a_batch_are_coded_apart() {
    let golden = golden("hunyuan_vae_tiny.safetensors");
    let vae = vae(&golden, Tiling::WHOLE);
    let one = golden.get("latents");
    let other = one.neg().unwrap();
    let both = vae.decode(&Tensor::cat(&[&one, &other], 0).unwrap()).unwrap();
    for (at, latents) in [one, other].iter().enumerate() {
        let alone = vae.decode(latents).unwrap();
        assert_eq!(farthest(&both.narrow(0, at, 1).unwrap(), &alone), 0.0);
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let golden = golden("hunyuan_vae_tiny.safetensors");
    let vae = vae(&golden, Tiling::WHOLE);
    let zeros = |shape: [usize; 5]| Tensor::zeros(&shape, DType::F32, &Device::Cpu).unwrap();
    for shape in [[1, 3, 4, 8, 8], [1, 3, 5, 12, 8], [1, 4, 5, 8, 8], [1, 3, 0, 8, 8]] {
        let error = vae.encode(&zeros(shape)).unwrap_err().to_string();
        assert!(error.contains("1 + 4 k frames"), "{error}");
    }
    let error = vae.decode(&zeros([1, 5, 1, 2, 2])).unwrap_err().to_string();
    assert!(error.contains("4 channels"), "{error}");
    let refused = |config: &HunyuanVaeConfig, tiling| {
        HunyuanVae::new(config, tiling, &golden.builder()).unwrap_err().to_string()
    };
    let odd = HunyuanVaeConfig { block_out_channels: vec![4, 4, 8], ..config() };
    assert!(refused(&odd, Tiling::WHOLE).contains("4 widths"));
    let gaps = Tiling { side: Tiles { size: 8, stride: 16 }, ..Tiling::WHOLE };
    assert!(refused(&config(), gaps).contains("tiles of pixels"));
    let mut fewer = golden.tensors.clone();
    fewer.remove("decoder.up_blocks.1.resnets.0.norm2.weight");
    let fewer = Golden { tensors: fewer };
    let error = HunyuanVae::new(&config(), Tiling::WHOLE, &fewer.builder()).unwrap_err();
    assert!(error.to_string().contains("decoder.up_blocks.1.resnets.0.norm2.weight"), "{error}");
}

#[test]
fn the_published_configuration_is_read() {
    let text = r#"{"_class_name": "AutoencoderKLHunyuanVideo", "act_fn": "silu", "in_channels": 3,
        "block_out_channels": [128, 256, 512, 512], "latent_channels": 16, "layers_per_block": 2,
        "mid_block_add_attention": true, "norm_num_groups": 32, "scaling_factor": 0.476986,
        "spatial_compression_ratio": 8, "temporal_compression_ratio": 4}"#;
    let config: HunyuanVaeConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config, HunyuanVaeConfig::default());
}

proptest! {
    #[test]
    fn no_configuration_panics(
        widths in prop::collection::vec(prop_oneof![Just(4), 0_usize..9, any::<usize>()], 3..6),
        (channels, layers, groups) in (any::<usize>(), 0_usize..3, prop_oneof![Just(2), any::<usize>()]),
        scaling_factor: f64,
    ) {
        let config = HunyuanVaeConfig {
            latent_channels: channels % 6,
            block_out_channels: widths,
            layers_per_block: layers,
            norm_num_groups: groups,
            scaling_factor,
            ..config()
        };
        let golden = golden("hunyuan_vae_tiny.safetensors");
        let _ = HunyuanVae::new(&config, Tiling::WHOLE, &golden.builder());
        let config = HunyuanVaeConfig { latent_channels: channels, ..config };
        let _ = HunyuanVae::new(&config, Tiling::WHOLE, &golden.builder());
    }
}
