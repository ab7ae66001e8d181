use super::*;
use crate::golden::{Golden, farthest, golden};
use candle_core::{DType, Tensor};
use proptest::prelude::*;

/// Both sum in f32, in another order, through at most three layers; states are 27 at most.
const TOLERANCE: f32 = 5e-5;

fn ids(golden: &Golden, name: &str) -> Vec<u32> {
    golden.tensors[name].to_vec1().unwrap()
}

fn llama_config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 40,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 5,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        ..LlamaConfig::llama3_8b()
    }
}

fn clip_config() -> ClipTextConfig {
    ClipTextConfig {
        vocab_size: 40,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 12,
        ..ClipTextConfig::large()
    }
}

fn umt5_config() -> Umt5Config {
    Umt5Config {
        vocab_size: 40,
        d_model: 16,
        d_kv: 6,
        d_ff: 24,
        num_layers: 2,
        num_heads: 3,
        relative_attention_num_buckets: 8,
        relative_attention_max_distance: 10,
        ..Umt5Config::xxl()
    }
}

fn siglip_config() -> SiglipConfig {
    SiglipConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        image_size: 20,
        patch_size: 6,
        ..SiglipConfig::default()
    }
}

#[test]
fn parity_of_llama_without_padding() {
    let golden = golden("encoders_tiny.safetensors");
    let llama = Llama::new(&llama_config(), &golden.builder().pp("llama")).unwrap();
    llama.check().unwrap();
    let states = llama.forward(&ids(&golden, "llama_ids")).unwrap();
    let apart = farthest(&states, &golden.get("llama_states"));
    assert!(apart < TOLERANCE, "off by {apart}");
}

#[test]
fn parity_of_clip_without_padding() {
    let golden = golden("encoders_tiny.safetensors");
    let clip = ClipText::new(&clip_config(), &golden.builder().pp("clip")).unwrap();
    let pooled = clip.forward(&ids(&golden, "clip_ids")).unwrap();
    let apart = farthest(&pooled, &golden.get("clip_pooled"));
    assert!(apart < TOLERANCE, "off by {apart}");
    let error = clip.forward(&[1; 13]).unwrap_err().to_string();
    assert!(error.contains("at most 12 tokens, got 13"), "{error}");
}

#[test]
fn parity_of_siglip() {
    let golden = golden("encoders_tiny.safetensors");
    let siglip = Siglip::new(&siglip_config(), &golden.builder().pp("siglip")).unwrap();
    let states = siglip.forward(&golden.get("siglip_picture")).unwrap();
    let apart = farthest(&states, &golden.get("siglip_states"));
    assert!(apart < TOLERANCE, "off by {apart}");
    // One colour is stretched to itself.
    let frame = input::Frame::filled(20, 20, [0, 255, 51]);
    let filled = crate::picture::tensor(&frame, &candle_core::Device::Cpu).unwrap();
    let wider = input::Frame::filled(31, 9, [0, 255, 51]);
    let want = siglip.forward(&filled).unwrap();
    assert_eq!(farthest(&siglip.encode(&wider).unwrap(), &want), 0.0);
    let small = golden.get("siglip_picture").narrow(1, 0, 19).unwrap();
    assert!(siglip.forward(&small).unwrap_err().to_string().contains("(3, 20, 20)"));
}

#[test]
fn parity_of_umt5_without_padding() {
    let golden = golden("encoders_tiny.safetensors");
    let umt5 = Umt5::new(&umt5_config(), &golden.builder().pp("umt5")).unwrap();
    umt5.check().unwrap();
    let states = umt5.forward(&ids(&golden, "umt5_ids")).unwrap();
    let apart = farthest(&states, &golden.get("umt5_states"));
    assert!(apart < TOLERANCE, "off by {apart}");
}

#[test]
fn distances_share_biases_as_in_the_reference() {
    let golden = golden("encoders_tiny.safetensors");
    let want = golden.tensors["umt5_buckets"].to_vec1::<u8>().unwrap();
    assert_eq!(want.len(), 399);
    let buckets = umt5::buckets(&Umt5Config::xxl(), 200);
    // The first token looks ahead at all others, the last one back.
    let got = buckets[199 * 200..].iter().chain(&buckets[1..200]);
    assert!(got.zip(&want).all(|(got, want)| *got == u32::from(*want)));
}

#[test]
fn networks_are_found_where_they_are_published() {
    let golden = golden("encoders_tiny.safetensors");
    let tokens = ids(&golden, "llama_ids");
    let renamed = |prefix: &str| {
        let rename = |(name, tensor): (&String, &Tensor)| {
            name.strip_prefix("llama.").map(|name| (format!("{prefix}{name}"), tensor.clone()))
        };
        Golden { tensors: golden.tensors.iter().filter_map(rename).collect() }.builder()
    };
    for prefix in ["", "model.", "language_model.model."] {
        let llama = Llama::new(&llama_config(), &renamed(prefix)).unwrap();
        let states = llama.forward(&tokens).unwrap();
        assert!(farthest(&states, &golden.get("llama_states")) < TOLERANCE);
    }
    let error = Llama::new(&llama_config(), &renamed("other.")).unwrap_err().to_string();
    assert!(error.contains("embed_tokens.weight"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let golden = golden("encoders_tiny.safetensors");
    let vb = golden.builder();
    let llama = Llama::new(&llama_config(), &vb.pp("llama")).unwrap();
    assert!(llama.forward(&[3, 40]).unwrap_err().to_string().contains("below 40, got 40"));
    assert!(llama.forward(&[]).unwrap_err().to_string().contains("at least one token"));
    let refused =
        |config: &LlamaConfig| Llama::new(config, &vb.pp("llama")).unwrap_err().to_string();
    let odd = LlamaConfig { num_key_value_heads: 3, ..llama_config() };
    assert!(refused(&odd).contains("in 3 groups"));
    let scaled = Some(serde_json::json!({"type": "linear", "factor": 2.0}));
    assert!(
        refused(&LlamaConfig { rope_scaling: scaled, ..llama_config() }).contains("rope_scaling")
    );
    let few = LlamaConfig { num_hidden_layers: 2, ..llama_config() };
    assert!(refused(&few).contains("more than 2 layers"));
    let mut fewer = golden.tensors.clone();
    fewer.remove("llama.layers.2.mlp.up_proj.weight");
    // The last two layers are not needed.
    fewer.remove("llama.layers.3.mlp.up_proj.weight");
    fewer.remove("umt5.encoder.final_layer_norm.weight");
    let fewer = Golden { tensors: fewer };
    let llama = Llama::new(&llama_config(), &fewer.builder().pp("llama")).unwrap();
    let error = llama.check().unwrap_err();
    assert!(error.to_string().contains("llama.layers.2.mlp.up_proj.weight"), "{error}");
    let umt5 = Umt5::new(&umt5_config(), &fewer.builder().pp("umt5")).unwrap();
    let error = umt5.check().unwrap_err();
    assert!(error.to_string().contains("umt5.encoder.final_layer_norm.weight"), "{error}");
    let plain = Umt5Config { feed_forward_proj: "relu".to_owned(), ..umt5_config() };
    assert!(Umt5::new(&plain, &vb.pp("umt5")).unwrap_err().to_string().contains("got relu"));
}

#[test]
fn bf16_stays_near() {
    let golden = golden("encoders_tiny.safetensors");
    let vb = golden.builder().to_dtype(DType::BF16);
    let umt5 = Umt5::new(&umt5_config(), &vb.pp("umt5")).unwrap();
    let states = umt5.forward(&ids(&golden, "umt5_ids")).unwrap();
    assert_eq!(states.dtype(), DType::BF16);
    let want = golden.get("umt5_states");
    let mean = |x: &Tensor| x.abs().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
    let apart = mean(&(states.to_dtype(DType::F32).unwrap() - &want).unwrap());
    // 8 bits of mantissa through two layers whose scores are large.
    assert!(apart < 0.05 * mean(&want), "off by {apart} of {}", mean(&want));
}

#[test]
fn published_configurations_are_read() {
    let text = r#"{"architectures": ["LlamaModel"], "attention_bias": false, "hidden_act": "silu",
        "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 8192, "model_type": "llama",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "rope_scaling": null, "rope_theta": 500000.0, "vocab_size": 128320}"#;
    assert_eq!(serde_json::from_str::<LlamaConfig>(text).unwrap(), LlamaConfig::llama3_8b());
    let text = r#"{"attention_dropout": 0.0, "eos_token_id": 2, "hidden_act": "quick_gelu", "hidden_size": 768,
        "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 77,
        "model_type": "clip_text_model", "num_attention_heads": 12, "num_hidden_layers": 12,
        "projection_dim": 768, "vocab_size": 49408}"#;
    assert_eq!(serde_json::from_str::<ClipTextConfig>(text).unwrap(), ClipTextConfig::large());
    let text = r#"{"hidden_act": "gelu_pytorch_tanh", "hidden_size": 1152, "image_size": 384,
        "intermediate_size": 4304, "layer_norm_eps": 1e-06, "model_type": "siglip_vision_model",
        "num_attention_heads": 16, "num_channels": 3, "num_hidden_layers": 27, "patch_size": 14}"#;
    assert_eq!(serde_json::from_str::<SiglipConfig>(text).unwrap(), SiglipConfig::default());
    let text = r#"{"d_ff": 10240, "d_kv": 64, "d_model": 4096, "dense_act_fn": "gelu_new",
        "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-06, "model_type": "umt5", "num_heads": 64,
        "num_layers": 24, "relative_attention_max_distance": 128, "relative_attention_num_buckets": 32,
        "vocab_size": 256384}"#;
    assert_eq!(serde_json::from_str::<Umt5Config>(text).unwrap(), Umt5Config::xxl());
}

/// Sizes as a configuration may tell them, likely and not.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![Just(2), 0_usize..50, any::<usize>(), Just(usize::MAX)]
}

proptest! {
    #[test]
    fn no_configuration_panics(sizes in prop::array::uniform8(size())) {
        let vb = golden("encoders_tiny.safetensors").builder();
        let [a, b, c, d, e, f, g, h] = sizes;
        let llama = LlamaConfig {
            vocab_size: a,
            hidden_size: b,
            intermediate_size: c,
            num_hidden_layers: d,
            num_attention_heads: e,
            num_key_value_heads: f,
            ..llama_config()
        };
        if let Ok(llama) = Llama::new(&llama, &vb.pp("llama")) {
            let _ = llama.forward(&[1, 2]);
        }
        let clip = ClipTextConfig {
            vocab_size: a,
            hidden_size: b,
            intermediate_size: c,
            num_hidden_layers: d,
            num_attention_heads: e,
            max_position_embeddings: f,
            ..clip_config()
        };
        let _ = ClipText::new(&clip, &vb.pp("clip"));
        let siglip = SiglipConfig {
            hidden_size: b,
            intermediate_size: c,
            num_hidden_layers: d,
            num_attention_heads: e,
            image_size: g,
            patch_size: h,
            ..siglip_config()
        };
        let _ = Siglip::new(&siglip, &vb.pp("siglip"));
        let umt5 = Umt5Config {
            vocab_size: a,
            d_model: b,
            d_kv: c,
            d_ff: d,
            num_layers: e,
            num_heads: f,
            relative_attention_num_buckets: g,
            relative_attention_max_distance: h,
            ..umt5_config()
        };
        if let Ok(umt5) = Umt5::new(&umt5, &vb.pp("umt5")) {
            let _ = umt5.forward(&[1, 2]);
        }
    }
}
