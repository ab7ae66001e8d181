//! A world of the smallest size with random weights.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use candle_core::{DType, Device, Tensor};
use engine::codec::CodecConfig;
use engine::model::ModelConfig;
use engine::noise::Random;
use engine::world::{World, WorldConfig};
use input::{ActionLayout, Policy};

/// Names and shapes of the tiny codec's tensors.
fn codec_shapes(config: &CodecConfig) -> Vec<(String, Vec<usize>)> {
    let CodecConfig { low, mid, high, .. } = *config;
    let mut convolutions = vec![
        ("encoder.filter".to_owned(), 192, config.channels),
        ("decoder.stem".to_owned(), config.channels, low),
        ("decoder.up1".to_owned(), low, 4 * mid),
        ("decoder.up2".to_owned(), mid, 4 * high),
        ("decoder.head".to_owned(), high, 12),
    ];
    for (part, width) in [("decoder.low", low), ("decoder.mid", mid), ("decoder.high", high)] {
        for name in ["conv1", "conv2"] {
            convolutions.push((format!("{part}.0.{name}"), width, width));
        }
    }
    let tensors = convolutions.into_iter().flat_map(|(name, inputs, outputs)| {
        let weight = (format!("{name}.weight"), vec![outputs, inputs, 3, 3]);
        [weight, (format!("{name}.bias"), vec![outputs])]
    });
    tensors.collect()
}

/// Writes the world's folder.
pub(crate) fn write_tiny_world(dir: &Path) -> anyhow::Result<()> {
    let (model, codec) = (ModelConfig::tiny(), CodecConfig::tiny());
    let mut random = Random::new(11, 0);
    let mut tensor = |shape: &[usize], scale: f32| {
        let count = shape.iter().product();
        let values = random.normals(count).into_iter().map(|x| scale * x).collect::<Vec<_>>();
        Tensor::from_vec(values, shape, &Device::Cpu)
    };
    // First weights hold zeros where training starts from the identity; these hold none, so that
    // every path matters.
    let mut weights = HashMap::new();
    for (name, first) in engine::train::initial_weights(&model, 5, &Device::Cpu)? {
        weights.insert(name, (&first + tensor(first.dims(), 0.1)?)?);
    }
    weights.insert("codebook".to_owned(), tensor(&[32, model.channels], 1.0)?);
    candle_core::safetensors::save(&weights, dir.join("model.safetensors"))?;
    let mut weights = HashMap::new();
    for (name, shape) in codec_shapes(&codec) {
        weights.insert(name, tensor(&shape, 0.15)?);
    }
    let mean = Tensor::zeros(codec.channels, DType::F32, &Device::Cpu)?;
    weights.insert("normalize.mean".to_owned(), mean);
    let matrix = Tensor::eye(codec.channels, DType::F32, &Device::Cpu)?;
    weights.insert("normalize.matrix".to_owned(), matrix);
    candle_core::safetensors::save(&weights, dir.join("codec.safetensors"))?;
    let config = WorldConfig {
        title: "Tiny".to_owned(),
        description: "Random weights, for tests.".to_owned(),
        credits: Vec::new(),
        width: 64,
        height: 48,
        fps: 17.5,
        schedule: "td_f16k4f4k2f5k1_g1".to_owned(),
        time_weight: 0.3,
        place_weight: WorldConfig::PLACE_WEIGHT,
        evaluations: 2,
        shortcut: false,
        guidance: 0.0,
        forcing: false,
        layout: ActionLayout { turn_degrees: 15.0, pitch_degrees: 0.0, buttons: Vec::new() },
        codec,
        model,
    };
    std::fs::write(dir.join("world.toml"), toml::to_string(&config)?)?;
    std::fs::create_dir(dir.join("starts"))?;
    let start = input::simulate(3, 40, Policy::Explore, (64, 48), 17.5);
    input::write_npz(&start, &dir.join("starts/start_00.npz"))?;
    Ok(())
}

/// The tiny world with another codebook, or none.
pub(crate) fn tiny_world_in_words(codebook: Option<Tensor>) -> Arc<World> {
    let dir = tempfile::tempdir().expect("a folder for the world");
    write_tiny_world(dir.path()).expect("the world can be written");
    let path = dir.path().join("model.safetensors");
    let mut weights = candle_core::safetensors::load(&path, &Device::Cpu).expect("weights");
    weights.remove("codebook");
    weights.extend(codebook.map(|codebook| ("codebook".to_owned(), codebook)));
    candle_core::safetensors::save(&weights, &path).expect("weights can be written");
    Arc::new(World::open(dir.path(), &Device::Cpu, |_| ()).expect("the world can be read"))
}

/// The world, read once for all tests.
pub(crate) fn tiny_world() -> Arc<World> {
    static WORLD: LazyLock<Arc<World>> = LazyLock::new(|| {
        let dir = tempfile::tempdir().expect("a folder for the world");
        write_tiny_world(dir.path()).expect("the world can be written");
        Arc::new(World::open(dir.path(), &Device::Cpu, |_| ()).expect("the world can be read"))
    });
    Arc::clone(&WORLD)
}
