"""Makes hunyuan_vae_tiny.safetensors and wan_vae_tiny.safetensors: a small AutoencoderKLHunyuanVideo and a small
AutoencoderKLWan with random weights, their inputs and outputs.

Run in this folder with `torch`, `diffusers` and `safetensors` installed. The engine's autoencoders must read the
same weights and give the same latents and videos, in one piece and in tiles.
"""

import torch
from diffusers import AutoencoderKLHunyuanVideo, AutoencoderKLWan
from safetensors.torch import save_file

HUNYUAN = dict(
    latent_channels=4,
    block_out_channels=(4, 4, 8, 8),
    layers_per_block=1,
    norm_num_groups=2,
    scaling_factor=0.476986,
)
WAN = dict(
    base_dim=4,
    z_dim=4,
    dim_mult=[1, 1, 2, 2],
    num_res_blocks=1,
    temperal_downsample=[False, True, True],
    latents_mean=[-0.75, 0.5, 0.0, 0.25],
    latents_std=[2.0, 1.5, 0.5, 1.25],
)
# Tiles of 16 pixels every 8, of 8 frames every 4.
SIDES = dict(
    tile_sample_min_height=16,
    tile_sample_min_width=16,
    tile_sample_stride_height=8,
    tile_sample_stride_width=8,
)
FRAMES = dict(tile_sample_min_num_frames=8, tile_sample_stride_num_frames=4)


def randomize(model, generator):
    """Weights that f16 holds exactly, of a size at which every layer shows in the result."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.numel() == weight.shape[0]:
                weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
            else:
                weight.mul_(1.6)
            weight.copy_(weight.half().float())
    return {name: weight.half() for name, weight in model.state_dict().items()}


def both_ways(vae, videos, latents, shift, scale):
    """Latents of the videos and videos of the latents, which are told as (x - shift) * scale."""
    shift, scale = (torch.tensor(x).reshape(1, -1, 1, 1, 1) for x in (shift, scale))
    moments = vae.encode(videos / 127.5 - 1).latent_dist
    decoded = vae.decode(latents / scale + shift).sample
    print("pictures:", decoded.std().item(), decoded.abs().max().item())
    return {"mean": (moments.mean - shift) * scale, "deviation": moments.std * scale, "pictures": decoded.half()}


def save(file, *parts):
    tensors = {name: tensor.contiguous() for part in parts for name, tensor in part.items()}
    save_file(tensors, file)


def named(prefix, tensors):
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def inputs(generator, frames):
    videos = torch.randint(0, 256, (1, 3, frames, 24, 32), generator=generator, dtype=torch.uint8)
    return {"videos": videos, "latents": torch.randn(1, 4, (frames + 3) // 4, 3, 4, generator=generator)}


def hunyuan(generator):
    vae = AutoencoderKLHunyuanVideo(**HUNYUAN).eval()
    weights, given = randomize(vae, generator), inputs(generator, 13)
    units = ([0.0], [HUNYUAN["scaling_factor"]])
    vae.use_framewise_encoding = vae.use_framewise_decoding = False
    whole = both_ways(vae, **given, shift=units[0], scale=units[1])
    vae.use_framewise_encoding = vae.use_framewise_decoding = True
    vae.enable_tiling(**SIDES, **FRAMES)
    tiled = both_ways(vae, **given, shift=units[0], scale=units[1])
    save("hunyuan_vae_tiny.safetensors", weights, given, named("whole", whole), named("tiled", tiled))


def wan(generator):
    vae = AutoencoderKLWan(**WAN).eval()
    weights, given = randomize(vae, generator), inputs(generator, 9)
    units = (WAN["latents_mean"], [1 / deviation for deviation in WAN["latents_std"]])
    whole = both_ways(vae, **given, shift=units[0], scale=units[1])
    vae.enable_tiling(**SIDES)
    tiled = both_ways(vae, **given, shift=units[0], scale=units[1])
    save("wan_vae_tiny.safetensors", weights, given, named("whole", whole), named("tiled", tiled))


def main():
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        hunyuan(generator)
        wan(generator)


if __name__ == "__main__":
    main()
