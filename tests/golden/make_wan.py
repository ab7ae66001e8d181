"""Makes wan_tiny.safetensors: Wan 2.1's transformer, tiny and with random weights, by the reference implementation.

Run in this folder with `torch==2.6.0`, `diffusers==0.42.1` and `safetensors` installed. Two networks: `t2v` is shown
text, `i2v` an image as well. For each the weights (`NET.w.NAME`), inputs (`NET.in.NAME`), what the stages make
(`NET.mid.NAME`) and the result (`NET.out`).
"""

import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file

HEADS, HEAD, TEXT_WIDTH, IMAGE_WIDTH = 2, 16, 8, 12
BATCH, FRAMES, HEIGHT, WIDTH = 2, 5, 6, 10


def network(channels, image):
    torch.manual_seed(0)
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=HEADS, attention_head_dim=HEAD, in_channels=channels, out_channels=4,
        text_dim=TEXT_WIDTH, freq_dim=256, ffn_dim=48, num_layers=2, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", eps=1e-6, image_dim=IMAGE_WIDTH if image else None,
        added_kv_proj_dim=HEADS * HEAD if image else None, rope_max_seq_len=64,
    ).eval()
    # Fresh norms and biases are ones and zeros, under which a mistake would not show.
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
            else:
                parameter.mul_(1.5)
    return model


def main():
    torch.set_num_threads(1)
    tensors = {}
    for name, channels, image in [("t2v", 4, False), ("i2v", 9, True)]:
        model = network(channels, image)
        generator = torch.Generator().manual_seed(3)
        given = dict(
            hidden_states=torch.randn(BATCH, channels, FRAMES, HEIGHT, WIDTH, generator=generator),
            timestep=torch.tensor([637.0, 20.5]),
            # The reference finds the image's tokens by there being 512 of the text.
            encoder_hidden_states=torch.randn(BATCH, 512 if image else 7, TEXT_WIDTH, generator=generator),
        )
        if image:
            given["encoder_hidden_states_image"] = torch.randn(BATCH, 3, IMAGE_WIDTH, generator=generator)
        seen = {}

        def before(_, block_given, seen=seen):
            seen["tokens"] = block_given[0]

        model.blocks[0].register_forward_pre_hook(before)
        model.condition_embedder.register_forward_hook(lambda _, __, made, seen=seen: seen.update(temb=made[0]))
        for i, block in enumerate(model.blocks):
            block.register_forward_hook(lambda _, __, made, i=i, seen=seen: seen.update({f"block{i}": made}))
        with torch.no_grad():
            out = model(**given, return_dict=False)[0]
        parts = {"w": model.state_dict(), "in": given, "mid": seen}
        for part, of_part in parts.items():
            for key, tensor in of_part.items():
                tensors[f"{name}.{part}.{key}"] = tensor.detach().float().clone().contiguous()
        tensors[f"{name}.out"] = out.contiguous()
    save_file(tensors, "wan_tiny.safetensors")


if __name__ == "__main__":
    main()
