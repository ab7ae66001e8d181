"""Makes framepack_tiny.safetensors: the released FramePack transformer, tiny and with random weights.

Run in this folder with `torch==2.6.0`, `diffusers==0.42.1` and `safetensors` installed. The file holds the weights
(`w.NAME`), and for each case its inputs (`CASE.in.NAME`), what the stages make (`CASE.mid.NAME`) and the result
(`CASE.out`). Options make other shapes; the test named `parity` reads them from ONEIRO_PARITY_FIXTURE.
"""

import argparse

import torch
from diffusers import HunyuanVideoFramepackTransformer3DModel
from safetensors.torch import save_file

HISTORY = [1, 2, 16]


def network(o):
    torch.manual_seed(0)
    head = sum(o.axes)
    model = HunyuanVideoFramepackTransformer3DModel(
        in_channels=o.channels, out_channels=o.channels, num_attention_heads=o.heads, attention_head_dim=head,
        num_layers=o.dual, num_single_layers=o.single, num_refiner_layers=o.refiner, mlp_ratio=o.mlp_ratio,
        patch_size=2, patch_size_t=1, qk_norm="rms_norm", guidance_embeds=True, text_embed_dim=o.text_width,
        pooled_projection_dim=8, rope_theta=256.0, rope_axes_dim=tuple(o.axes), image_condition_type=None,
        has_image_proj=1, image_proj_dim=o.image_width, has_clean_x_embedder=1,
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


def inputs(o, padding=None, batch=1, seed=3, words=5):
    """What a section is shown: forward, or inverted with frames left out before it."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator)

    near, half, quarter = HISTORY
    if padding is None:
        runs = torch.arange(1 + sum(HISTORY) + o.frames).split([1, quarter, half, near, o.frames])
        start, at_quarter, at_half, at_near, at_noisy = runs
    else:
        runs = torch.arange(1 + padding + o.frames + sum(HISTORY)).split([1, padding, o.frames, near, half, quarter])
        start, _, at_noisy, at_near, at_half, at_quarter = runs
    mask = torch.zeros(batch, words)
    mask[:, :3] = 1
    picture = (o.height, o.width)
    return dict(
        hidden_states=randn(batch, o.channels, o.frames, *picture),
        timestep=torch.full((batch,), 637.0),
        encoder_hidden_states=randn(batch, words, o.text_width),
        encoder_attention_mask=mask,
        pooled_projections=randn(batch, 8),
        image_embeds=randn(batch, 4, o.image_width),
        guidance=torch.full((batch,), 6000.0),
        indices_latents=at_noisy,
        latents_clean=randn(batch, o.channels, 2, *picture),
        indices_latents_clean=torch.cat([start, at_near]),
        latents_history_2x=randn(batch, o.channels, half, *picture),
        indices_latents_history_2x=at_half,
        latents_history_4x=randn(batch, o.channels, quarter, *picture),
        indices_latents_history_4x=at_quarter,
    )


def watch(model, seen):
    """Hooks that keep what the stages make."""

    def keep(**tensors):
        for name, tensor in tensors.items():
            seen[name] = tensor.detach().float().clone().contiguous()

    def before(_, given):
        keep(tokens=given[0], text_tokens=given[1], temb=given[2], rope_cos=given[4][0], rope_sin=given[4][1])

    hooks = [model.transformer_blocks[0].register_forward_pre_hook(before)]
    for kind, blocks in [("dual", model.transformer_blocks), ("single", model.single_transformer_blocks)]:
        for i, block in enumerate(blocks):
            hooks.append(block.register_forward_hook(
                lambda _, given, made, at=f"{kind}{i}": keep(**{f"{at}.img": made[0], f"{at}.txt": made[1]})))
    hooks.append(model.context_embedder.register_forward_hook(lambda _, given, made: keep(refiner_out=made)))
    hooks.append(model.norm_out.register_forward_hook(lambda _, given, made: keep(norm_out=made)))
    return hooks


def main():
    parser = argparse.ArgumentParser()
    for name, value in dict(channels=4, heads=2, dual=2, single=2, refiner=1, text_width=16, image_width=12,
                            frames=3, height=10, width=14, padding=6).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--mlp-ratio", type=float, default=2.0)
    parser.add_argument("--axes", type=int, nargs=3, default=[4, 6, 6])
    parser.add_argument("--out", default="framepack_tiny.safetensors")
    o = parser.parse_args()
    torch.set_num_threads(1)
    model = network(o)
    tensors = {f"w.{name}": tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
    cases = dict(f1=inputs(o), inv=inputs(o, padding=o.padding), b2=inputs(o, batch=2, seed=9))
    cases["b2"]["encoder_attention_mask"] = torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    for name, given in cases.items():
        seen = {}
        hooks = watch(model, seen)
        with torch.no_grad():
            out = model(**given, return_dict=False)[0]
        for hook in hooks:
            hook.remove()
        tensors.update({f"{name}.in.{key}": tensor.float().contiguous() for key, tensor in given.items()})
        tensors.update({f"{name}.mid.{key}": tensor for key, tensor in seen.items()})
        tensors[f"{name}.out"] = out.contiguous()
    save_file(tensors, o.out)


if __name__ == "__main__":
    main()
