"""Makes rope_tiny.safetensors: the rotary tables of the public FramePack network, packed history included.

Run in this folder with `torch`, `safetensors` and `diffusers` (0.42.1) installed. Two layouts of time: `f1`, where
history lies before the section, and `inv`, where it lies after it, beyond six blank indices from the first frame. Rows
are the tokens of 16 frames at 4x, 2 at 2x, 2 at 1x and of 3 section frames, on a grid of 5 by 7 tokens that neither
kernel divides; columns are every second one of the tables, which hold each number twice.
"""

import torch
from diffusers import HunyuanVideoFramepackTransformer3DModel
from safetensors.torch import save_file

FRAMES, HEIGHT, WIDTH, BLANK = 3, 10, 14, 6


def network():
    return HunyuanVideoFramepackTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=1,
        num_single_layers=1, num_refiner_layers=1, mlp_ratio=2.0, patch_size=2, patch_size_t=1,
        qk_norm="rms_norm", guidance_embeds=True, text_embed_dim=16, pooled_projection_dim=8,
        rope_theta=256.0, rope_axes_dim=(4, 6, 6), image_condition_type=None, has_image_proj=1,
        image_proj_dim=12, has_clean_x_embedder=1,
    ).eval()


def times(layout):
    if layout == "f1":
        first, coarse, middle, newest, section = torch.arange(23).split([1, 16, 2, 1, FRAMES])
    else:
        all_times = torch.arange(1 + BLANK + FRAMES + 1 + 2 + 16)
        first, _, section, newest, middle, coarse = all_times.split([1, BLANK, FRAMES, 1, 2, 16])
    return coarse, middle, torch.cat([first, newest]), section


def inputs(layout):
    coarse, middle, fine, section = times(layout)
    zeros = lambda frames: torch.zeros(1, 4, frames, HEIGHT, WIDTH)
    return dict(
        hidden_states=zeros(FRAMES), timestep=torch.tensor([500.0]), guidance=torch.tensor([6000.0]),
        encoder_hidden_states=torch.zeros(1, 5, 16), encoder_attention_mask=torch.ones(1, 5),
        pooled_projections=torch.zeros(1, 8), image_embeds=torch.zeros(1, 4, 12),
        indices_latents=section, latents_clean=zeros(2), indices_latents_clean=fine,
        latents_history_2x=zeros(2), indices_latents_history_2x=middle,
        latents_history_4x=zeros(16), indices_latents_history_4x=coarse,
    )


def main():
    model, tables = network(), {}
    for layout in ["f1", "inv"]:

        def keep(_, arguments):
            for name, table in zip(["cos", "sin"], arguments[4]):
                tables[f"{layout}.{name}"] = table[:, ::2].float().contiguous()

        hook = model.transformer_blocks[0].register_forward_pre_hook(keep)
        with torch.no_grad():
            model(**inputs(layout), return_dict=False)
        hook.remove()
    save_file(tables, "rope_tiny.safetensors")


main()
