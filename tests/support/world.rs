//! A world of the smallest size with random weights.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use candle_core::{DType, Device, Tensor};
use engine::atlas::{Atlas, Camera, Ground, Motion, Pose, Scenery, View};
use engine::codec::CodecConfig;
use engine::model::ModelConfig;
use engine::noise::Random;
use engine::world::{World, WorldConfig};
use input::{ActionLayout, Episode, Policy};

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
        evaluations_on_map: None,
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

/// The tiny world with an atlas: views of a hall that lies along its x axis, seen from every second step in four
/// directions. Its walks begin at step 20, looking east, and its network is told two bearings. `warped`: what stands there is known.
pub(crate) fn write_charted_world(dir: &Path, warped: bool) -> anyhow::Result<()> {
    write_tiny_world(dir)?;
    let (weights, settings) = (dir.join("model.safetensors"), dir.join("world.toml"));
    let mut config: WorldConfig = toml::from_str(&std::fs::read_to_string(&settings)?)?;
    config.model.bearings = 2;
    config.model.rendering = true;
    std::fs::write(settings, toml::to_string(&config)?)?;
    let mut tensors = candle_core::safetensors::load(&weights, &Device::Cpu)?;
    let mut random = Random::new(12, 0);
    for name in ["action_section.weight", "motion.gate.weight"] {
        let narrow = tensors[name].clone();
        let (rows, more) = (narrow.dim(0)?, config.model.told() - narrow.dim(1)?);
        let more = Tensor::from_vec(random.normals(rows * more), (rows, more), &Device::Cpu)?;
        tensors.insert(name.to_owned(), Tensor::cat(&[narrow, more], 1)?);
    }
    let (dim, inputs) = (config.model.dim, 4 * (config.model.channels + 1));
    for (name, shape) in [
        ("rendering.embedding.weight", &[dim, inputs][..]),
        ("rendering.gate.weight", &[4, dim]),
        ("rendering.gate.bias", &[4]),
    ] {
        let values = random.normals(shape.iter().product());
        tensors.insert(name.to_owned(), Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    candle_core::safetensors::save(&tensors, &weights)?;
    let mut view = |number: u16| View {
        // Plus and minus one, by the bits of their 16-bit floats.
        latent: (0..config.model.latent_len())
            .map(|_| if random.chance(0.5) { 0x3c00 } else { 0xbc00 })
            .collect(),
        picture: None,
        action: vec![0.0; config.model.action].into(),
        pose: Pose { x: f32::from(number / 4) * 2.0, y: 0.0, yaw: 90.0 * f32::from(number % 4) },
    };
    let mut views: Vec<View> = (0..VIEWS).map(&mut view).collect();
    // Whoever begins there sees what the view from there shows.
    let path = dir.join("starts/start_00.npz");
    let start = Episode::open(&path)?;
    let poses = Some(vec![input::Pose { x: 200.0, y: 0.0, yaw: 0.0 }; start.len()]);
    let world = World::open(dir, &Device::Cpu, |_| ())?;
    views[40].latent = Arc::clone(&world.latents(start.frame(0), 48, 64)?[0]);
    // Latents are compared, or pictures; the codec has learnt nothing, and makes another picture of what it is shown.
    let seen = if warped { world.picture(&views[40].latent)? } else { start.frame(0).to_vec() };
    let video = seen.repeat(start.len());
    input::write_npz(&Episode { poses, video, ..start }, &path)?;
    let places = (0..120_u8).map(|at| f32::from(at) / 2.0);
    let ground = Ground::under(places.flat_map(|x| [(x, -0.5), (x, 0.0), (x, 0.5)]));
    let (step, momentum, ticks) = (10.0, 0.5, 1);
    let motion = Motion { step, momentum, ticks, faster_aslant: false, slowed_by_walls: false };
    let camera = Camera { focal: 1.0, eye: 3.0, ceiling: 3.0, margin: 8 };
    let scenery = Scenery::new(camera, &ground).filter(|_| warped).map(Arc::new);
    let atlas = Atlas { views, motion, ground: Arc::new(ground), scenery };
    Ok(atlas.save(&dir.join("atlas.safetensors"), &config.model)?)
}

/// Views of the hall.
pub(crate) const VIEWS: u16 = 120;
