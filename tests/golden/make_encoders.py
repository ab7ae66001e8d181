"""Makes encoders_tiny.safetensors: small LLaMA, CLIP, SigLIP and UMT5 encoders with random weights, inputs and outputs,
and a picture in other sizes.

Run in this folder with `torch`, `transformers`, `pillow` and `safetensors` installed. The engine's encoders must read the
same weights and give the same states. Prompts are padded and masked here, as the reference pipelines do; the engine's
are not, and must agree on what is no padding.
"""

import numpy
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, LlamaConfig, LlamaModel
from transformers import SiglipVisionConfig, SiglipVisionModel, UMT5Config, UMT5EncoderModel

VOCABULARY, WIDTH, INNER = 40, 16, 24
SIZES = dict(vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=INNER)


def randomize(model, generator, prefix):
    """Weights that f16 holds exactly, of a size at which every layer shows in the result."""
    model.eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
            elif "relative_attention_bias" in name:
                weight.copy_(2 * torch.randn(weight.shape, generator=generator))
            else:
                weight.copy_(0.4 * torch.randn(weight.shape, generator=generator))
            weight.copy_(weight.half().float())
    return {prefix + name: weight.half() for name, weight in model.state_dict().items()}


def padded(ids, length, pad):
    mask = torch.zeros(1, length, dtype=torch.long)
    mask[:, : len(ids)] = 1
    return torch.tensor([list(ids) + [pad] * (length - len(ids))]), mask


def llama(generator, ids):
    model = LlamaModel(
        LlamaConfig(
            **SIZES, num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
            rope_theta=500000.0, bos_token_id=1, eos_token_id=2,
        )
    )
    tensors = randomize(model, generator, "llama.")
    tokens, mask = padded(ids, 13, 0)
    states = model(tokens, attention_mask=mask, output_hidden_states=True).hidden_states[-3]
    return tensors | {"llama_states": states[0, : len(ids)]}


def clip(generator, ids):
    end = VOCABULARY - 1
    model = CLIPTextModel(
        CLIPTextConfig(
            **SIZES, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=12, hidden_act="quick_gelu",
            bos_token_id=end - 1, eos_token_id=2, pad_token_id=end,
        )
    )
    tensors = randomize(model, generator, "clip.text_model.")
    tokens, mask = padded(ids, 12, end)
    return tensors | {"clip_pooled": model(tokens, attention_mask=mask).pooler_output[0]}


def siglip(generator):
    model = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=2, num_attention_heads=2, image_size=20,
            patch_size=6,
        )
    )
    tensors = randomize(model, generator, "siglip.vision_model.")
    tensors = {name: weight for name, weight in tensors.items() if ".head." not in name}
    picture = torch.rand(1, 3, 20, 20, generator=generator) * 2 - 1
    states = model(pixel_values=picture).last_hidden_state[0]
    return tensors | {"siglip_picture": picture[0], "siglip_states": states}


def umt5(generator, ids):
    model = UMT5EncoderModel(
        UMT5Config(
            vocab_size=VOCABULARY, d_model=WIDTH, d_kv=6, d_ff=INNER, num_layers=2, num_heads=3,
            relative_attention_num_buckets=8, relative_attention_max_distance=10,
        )
    )
    tensors = randomize(model, generator, "umt5.")
    del tensors["umt5.encoder.embed_tokens.weight"]  # The same as shared.weight.
    tokens, mask = padded(ids, 20, 0)
    states = model(tokens, attention_mask=mask).last_hidden_state[0, : len(ids)]
    return tensors | {"umt5_states": states, "umt5_buckets": published_buckets()}


def published_buckets():
    """Which bias a token has for those from 199 before to 199 behind it, in the published size: (399)."""
    config = UMT5Config(num_layers=1, d_model=8, d_kv=4, d_ff=8, num_heads=2, vocab_size=8)
    attention = UMT5EncoderModel(config).encoder.block[0].layer[0].SelfAttention
    return attention._relative_position_bucket(torch.arange(-199, 200)).to(torch.uint8)


def pictures(generator):
    """Noise, whose every pixel shows, resampled by the library that pictures are prepared with."""
    picture = torch.randint(0, 256, (13, 22, 3), generator=generator, dtype=torch.uint8)
    tensors = {"picture": picture}
    for name, filter in (("bicubic", Image.Resampling.BICUBIC), ("lanczos", Image.Resampling.LANCZOS)):
        for size, sides in (("smaller", (9, 7)), ("larger", (25, 16))):
            resized = Image.fromarray(picture.numpy()).resize(sides, filter)
            tensors[f"picture_{name}_{size}"] = torch.from_numpy(numpy.array(resized))
    return tensors


def main():
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(2)
    ids = {
        "llama_ids": [1, 7, 30, 7, 12, 5, 39, 0, 21],
        "clip_ids": [38, 5, 17, 17, 3, 39],
        "umt5_ids": list(range(3, 20)) + [1],
    }
    with torch.no_grad():
        tensors = llama(generator, ids["llama_ids"])
        tensors |= clip(generator, ids["clip_ids"])
        tensors |= siglip(generator)
        tensors |= umt5(generator, ids["umt5_ids"])
        tensors |= pictures(generator)
    for name in ("llama_states", "clip_pooled", "siglip_states", "umt5_states"):
        print(name, tuple(tensors[name].shape), tensors[name].abs().max().item())
    tensors |= {name: torch.tensor(value, dtype=torch.uint32) for name, value in ids.items()}
    save_file({name: t.contiguous() for name, t in tensors.items()}, "encoders_tiny.safetensors")


if __name__ == "__main__":
    main()
