use super::*;
use crate::golden::{Golden, farthest, golden};
use crate::vae::check::parity;
use candle_core::{DType, Device};
use proptest::prelude::*;

/// Pictures are kept in f16, which knows values from 1/2 to 1 in steps of 1/2048; they are 1 at most.
const STEP: f32 = 1.0 / 4096.0;

fn config() -> WanVaeConfig {
    WanVaeConfig {
        base_dim: 4,
        z_dim: 4,
        dim_mult: vec![1, 1, 2, 2],
        num_res_blocks: 1,
        latents_mean: vec![-0.75, 0.5, 0.0, 0.25],
        latents_std: vec![2.0, 1.5, 0.5, 1.25],
        ..WanVaeConfig::default()
    }
}

fn vae(golden: &Golden, tiles: Tiles) -> WanVae {
    WanVae::new(&config(), tiles, &golden.builder()).unwrap()
}

#[test]
fn parity_with_the_reference_autoencoder() {
    let golden = golden("wan_vae_tiny.safetensors");
    for (name, tiles) in [("whole", Tiles::WHOLE), ("tiled", Tiles { size: 16, stride: 8 })] {
        let vae = vae(&golden, tiles);
        let latents = vae.encode(&golden.videos()).unwrap();
        let pictures = vae.decode(&golden.get("latents")).unwrap();
        parity(&golden, name, &latents, (&pictures, STEP));
    }
}

#[test]
fn what_comes_later_changes_nothing_before() {
    let golden = golden("wan_vae_tiny.safetensors");
    let vae = vae(&golden, Tiles::WHOLE);
    let latents = golden.get("latents");
    let whole = vae.decode(&latents).unwrap();
    let shorter = vae.decode(&latents.narrow(2, 0, 2).unwrap()).unwrap();
    assert_eq!(farthest(&whole.narrow(2, 0, 5).unwrap(), &shorter), 0.0);
    let videos = golden.videos();
    let whole = vae.encode(&videos).unwrap();
    let first = vae.encode(&videos.narrow(2, 0, 1).unwrap()).unwrap();
    assert_eq!(farthest(&whole.mode().narrow(2, 0, 1).unwrap(), first.mode()), 0.0);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let golden = golden("wan_vae_tiny.safetensors");
    let vae = vae(&golden, Tiles::WHOLE);
    let zeros = |shape: [usize; 5]| Tensor::zeros(&shape, DType::F32, &Device::Cpu).unwrap();
    let error = vae.encode(&zeros([1, 3, 4, 8, 8])).unwrap_err().to_string();
    assert!(error.contains("1 + 4 k frames"), "{error}");
    let error = vae.decode(&zeros([1, 3, 1, 2, 2])).unwrap_err().to_string();
    assert!(error.contains("4 channels"), "{error}");
    let refused = |config: &WanVaeConfig| {
        WanVae::new(config, Tiles::WHOLE, &golden.builder()).unwrap_err().to_string()
    };
    let flat = WanVaeConfig { temperal_downsample: vec![false, false, true], ..config() };
    assert!(refused(&flat).contains("two of which halve time"));
    assert!(refused(&WanVaeConfig { is_residual: true, ..config() }).contains("Wan 2.1"));
    assert!(refused(&WanVaeConfig { base_dim: 3, ..config() }).contains("even widths"));
    let still = WanVaeConfig { latents_std: vec![1.0, 0.0, 1.0, 1.0], ..config() };
    assert!(refused(&still).contains("deviation above 0"));
}

#[test]
fn the_published_configuration_is_read() {
    let text = r#"{"_class_name": "AutoencoderKLWan", "attn_scales": [], "base_dim": 96,
        "dim_mult": [1, 2, 4, 4], "dropout": 0.0, "num_res_blocks": 2,
        "temperal_downsample": [false, true, true], "z_dim": 16}"#;
    let config: WanVaeConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config, WanVaeConfig::default());
    config.check().unwrap();
    assert_eq!(config.widths(), [96, 192, 384, 384]);
}

proptest! {
    #[test]
    fn no_configuration_panics(
        times in prop::collection::vec(prop_oneof![Just(1), 0_usize..4, any::<usize>()], 3..6),
        time in prop::collection::vec(any::<bool>(), 2..5),
        (base_dim, z_dim) in (prop_oneof![Just(4), any::<usize>()], prop_oneof![Just(4), any::<usize>()]),
        num_res_blocks in prop_oneof![Just(1), any::<usize>()],
        latents_std in prop::collection::vec(any::<f64>(), 3..6),
    ) {
        let golden = golden("wan_vae_tiny.safetensors");
        let config = WanVaeConfig {
            base_dim,
            z_dim,
            dim_mult: times,
            num_res_blocks,
            temperal_downsample: time,
            latents_std,
            ..config()
        };
        let _ = WanVae::new(&config, Tiles::WHOLE, &golden.builder());
    }
}
