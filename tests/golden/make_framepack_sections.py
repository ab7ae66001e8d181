"""Makes framepack_sections_tiny.safetensors: videos of five sections by the reference pipeline, in both orders.

Run in this folder like make_framepack.py, with `transformers` and `accelerate` as well. The network is that of
framepack_tiny.safetensors. Encoders and the codec are left out: conditions and the start latent are random, and the
result is latents. Three latent frames a section, four Euler steps at shift 7, guidance 6.
"""

import argparse
import contextlib
import types

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideoFramepackPipeline
from diffusers.video_processor import VideoProcessor
from safetensors.torch import save_file

from make_framepack import network

SIZES = argparse.Namespace(channels=4, heads=2, dual=2, single=2, refiner=1, text_width=16, image_width=12,
                           mlp_ratio=2.0, axes=[4, 6, 6])


class NoCodec(torch.nn.Module):
    dtype = torch.float32
    config = types.SimpleNamespace(scaling_factor=0.476986)


class LatentsOnly(HunyuanVideoFramepackPipeline):
    """The pipeline with given conditions; keeps the noise that each section starts from."""

    _execution_device = torch.device("cpu")

    def __init__(self, image, pictures):
        self._internal_dict = {}
        self.image, self.pictures, self.noises = image, list(pictures), []
        parts = dict(transformer=network(SIZES), vae=NoCodec(), scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
                     vae_scale_factor_temporal=4, vae_scale_factor_spatial=8,
                     video_processor=VideoProcessor(vae_scale_factor=8))
        for name, part in parts.items():
            object.__setattr__(self, name, part)

    __setattr__ = object.__setattr__

    def maybe_free_model_hooks(self):
        pass

    def progress_bar(self, total=None):
        return contextlib.nullcontext(types.SimpleNamespace(update=lambda: None))

    def encode_image(self, *_, **__):
        return self.image

    def prepare_image_latents(self, *_, **__):
        return self.pictures.pop(0)

    def prepare_latents(self, *given, **named):
        noise = super().prepare_latents(*given, **named)
        self.noises.append(noise.clone())
        return noise


def main():
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(5)
    shapes = dict(emb=(1, 5, 16), pool=(1, 8), img=(1, 4, 12), lat0=(1, 4, 1, 10, 14))
    given = {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()}
    given["lat1"] = torch.randn(1, 4, 1, 10, 14, generator=torch.Generator().manual_seed(6))
    tensors = dict(given)
    for name, order, pictures in [
        ("vanilla", "vanilla", ["lat0"]),
        ("inverted_anti_drifting", "inverted_anti_drifting", ["lat0"]),
        ("ending", "inverted_anti_drifting", ["lat0", "lat1"]),
    ]:
        pipeline = LatentsOnly(given["img"], [given[picture] for picture in pictures])
        picture = torch.zeros(1, 3, 80, 112)
        videos = pipeline(
            image=picture, last_image=picture if len(pictures) > 1 else None, prompt_embeds=given["emb"], pooled_prompt_embeds=given["pool"],
            prompt_attention_mask=torch.ones(1, 5), height=80, width=112, num_frames=42, latent_window_size=3,
            num_inference_steps=4, guidance_scale=6.0, generator=torch.Generator().manual_seed(0),
            output_type="latent", sampling_type=order, return_dict=False,
        )[0]
        tensors[f"{name}.latents"] = videos[-1].contiguous()
        tensors.update({f"{name}.noise.{i}": noise.contiguous() for i, noise in enumerate(pipeline.noises)})
    save_file(tensors, "framepack_sections_tiny.safetensors")


if __name__ == "__main__":
    main()
