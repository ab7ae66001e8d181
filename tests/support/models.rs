//! Folders of published models of the smallest size with random weights, written as they are published.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use engine::noise::Random;
use serde_json::{Value, json};

/// Known tokens of the tiny tokenizers.
const VOCABULARY: usize = 521;
/// Width of all encoders.
const WIDTH: usize = 16;

type Tensors = HashMap<String, Tensor>;

fn golden(name: &str) -> Tensors {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    candle_core::safetensors::load(path, &Device::Cpu).expect("the fixture is there")
}

/// Tensors whose names begin with one of `prefixes`, `cut` taken off.
fn under(tensors: Tensors, prefixes: &[&str], cut: &str) -> Tensors {
    let wanted = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let own = |(name, tensor): (String, Tensor)| {
        let bare = name.strip_prefix(cut)?.to_owned();
        wanted(&name).then_some((bare, tensor))
    };
    tensors.into_iter().filter_map(own).collect()
}

fn random(shape: &[usize], seed: u64) -> Tensor {
    let values = Random::new(seed, 3).normals(shape.iter().product());
    let values: Vec<f32> = values.into_iter().map(|value| 0.3 * value).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("as many values")
}

fn publish(folder: &Path, name: &str, config: &Value, tensors: &Tensors) {
    fs::create_dir_all(folder).expect("folders can be made");
    fs::write(folder.join("config.json"), config.to_string()).expect("files can be written");
    candle_core::safetensors::save(tensors, folder.join(name)).expect("files can be written");
}

const NETWORK: &str = "diffusion_pytorch_model.safetensors";
const ENCODER: &str = "model.safetensors";

/// The sizes of the tiny network of `HunyuanVideo`.
pub(crate) fn hunyuan_config(widths: [usize; 2]) -> Value {
    let [pooled, image] = widths;
    json!({"_class_name": "HunyuanVideoTransformer3DModelPacked", "in_channels": 4,
        "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "num_single_layers": 2,
        "num_refiner_layers": 1, "mlp_ratio": 2.0, "guidance_embeds": true, "text_embed_dim": 16,
        "pooled_projection_dim": pooled, "rope_theta": 256.0, "rope_axes_dim": [4, 6, 6],
        "has_image_proj": true, "image_proj_dim": image, "patch_size": 2, "patch_size_t": 1})
}

/// `HunyuanVideo` with `FramePack`.
pub(crate) fn write_hunyuan(folder: &Path) {
    let mut network = under(golden("framepack_tiny.safetensors"), &["w."], "w.");
    for (name, shape) in [
        ("time_text_embed.text_embedder.linear_1.weight", [32, WIDTH]),
        ("image_projection.up.weight", [96, WIDTH]),
    ] {
        network.insert(name.to_owned(), random(&shape, 1));
    }
    publish(&folder.join("transformer"), NETWORK, &hunyuan_config([WIDTH, WIDTH]), &network);
    let vae = json!({"latent_channels": 4, "block_out_channels": [4, 4, 8, 8],
        "layers_per_block": 1, "norm_num_groups": 2, "scaling_factor": 0.476_986});
    write_vae(folder, "hunyuan_vae_tiny.safetensors", &vae);
    let llama = json!({"vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 24,
        "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5, "rope_theta": 500_000.0});
    write_encoder(folder, "text_encoder", "llama", &llama);
    let clip = json!({"vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 77,
        "hidden_act": "quick_gelu"});
    write_encoder(folder, "text_encoder_2", "clip", &clip);
    let siglip = json!({"hidden_size": WIDTH, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 20, "patch_size": 6});
    write_encoder(folder, "image_encoder", "siglip", &siglip);
    write_tokens(folder, "tokenizer");
    let tokens = tokens();
    let words = folder.join("tokenizer_2");
    fs::create_dir_all(&words).expect("folders can be made");
    fs::write(words.join("vocab.json"), tokens["clip_vocabulary"].to_string()).expect("written");
    fs::write(words.join("merges.txt"), tokens["clip_merges"].as_str().expect("a text"))
        .expect("files can be written");
}

/// Wan 2.1, as it is before it is finetuned.
pub(crate) fn write_wan(folder: &Path) {
    let mut network = under(golden("wan_tiny.safetensors"), &["t2v.w."], "t2v.w.");
    let name = "condition_embedder.text_embedder.linear_1.weight".to_owned();
    network.insert(name, random(&[32, WIDTH], 2));
    let config = json!({"_class_name": "WanTransformer3DModel", "in_channels": 4, "out_channels": 4,
        "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "ffn_dim": 48,
        "text_dim": WIDTH, "patch_size": [1, 2, 2], "freq_dim": 256, "cross_attn_norm": true,
        "eps": 1e-6, "qk_norm": "rms_norm_across_heads"});
    publish(&folder.join("transformer"), NETWORK, &config, &network);
    let vae = json!({"base_dim": 4, "z_dim": 4, "dim_mult": [1, 1, 2, 2], "num_res_blocks": 1,
        "latents_mean": [-0.75, 0.5, 0.0, 0.25], "latents_std": [2.0, 1.5, 0.5, 1.25]});
    write_vae(folder, "wan_vae_tiny.safetensors", &vae);
    let umt5 = json!({"vocab_size": VOCABULARY, "d_model": WIDTH, "d_kv": 6, "d_ff": 24,
        "num_layers": 2, "num_heads": 3, "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 10, "layer_norm_epsilon": 1e-6,
        "feed_forward_proj": "gated-gelu"});
    write_encoder(folder, "text_encoder", "umt5", &umt5);
    write_tokens(folder, "tokenizer");
}

fn write_vae(folder: &Path, fixture: &str, config: &Value) {
    let parts = ["encoder.", "decoder.", "quant_conv.", "post_quant_conv."];
    let tensors = under(golden(fixture), &parts, "");
    let wide =
        |(name, tensor): (String, Tensor)| (name, tensor.to_dtype(DType::F32).expect("numbers"));
    publish(&folder.join("vae"), NETWORK, config, &tensors.into_iter().map(wide).collect());
}

/// An encoder of the fixture with tables for as many tokens and places as there are here.
fn write_encoder(folder: &Path, part: &str, name: &str, config: &Value) {
    let prefix = format!("{name}.");
    let sized = |(name, tensor): (String, Tensor)| {
        let tables = ["token_embedding", "embed_tokens", "shared"];
        let tensor = if tables.iter().any(|table| name.contains(table)) {
            random(&[VOCABULARY, WIDTH], 4)
        } else if name.contains("position_embedding") && part == "text_encoder_2" {
            random(&[77, WIDTH], 5)
        } else {
            tensor
        };
        (name, tensor)
    };
    let tensors = under(golden("encoders_tiny.safetensors"), &[&prefix], &prefix);
    let tensors = tensors.into_iter().map(sized).collect();
    publish(&folder.join(part), ENCODER, config, &tensors);
}

fn tokens() -> Value {
    let path = format!("{}/tests/golden/tokens_tiny.json", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).expect("the fixture is there");
    serde_json::from_str(&text).expect("it is JSON")
}

fn write_tokens(folder: &Path, name: &str) {
    let folder = folder.join(name);
    fs::create_dir_all(&folder).expect("folders can be made");
    fs::write(folder.join("tokenizer.json"), tokens()["llama"].to_string())
        .expect("files can be written");
}
