"""Oneiro's network beside a streaming transformer of another project, on one machine in one run.

    pip install torch einops pydantic && pip install --no-deps alakazam-mira-mini==0.1.11
    cargo build --release && python examples/rival.py

The rival is the diffusion transformer of MIRA Mini (MIT): space-time attention, keys and values of past frames
kept in a ring. It gets the size of Oneiro's shipped network: as many tokens of a frame, as wide, as many
parameters to within one layer, as many frames of context as Oneiro's packed history has tokens for, as many
evaluations and threads, random weights (speed does not depend on them). Both are timed for what one latent frame
takes, pictures left out: Oneiro's new history groups and its evaluations; the rival's evaluations and the pass
that adds the new frame to its cache. They take turns, so that whatever else the machine does hits both.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import torch
    from mira.world_model.actions_config import ActionConfig
    from mira.world_model.config import LatentWorldModelConfig
    from mira.world_model.diffusion_transformer import DiffusionTransformer
    from mira.ml.image_config import ImageConfig
except ImportError as error:
    sys.exit(f"{error}: see the first lines of {__file__} for what to install")

# Of assets/worlds/doom-rooms: latent channels, tokens (rows, columns), width, heads, parameters of the blocks.
CHANNELS, ROWS, COLUMNS, WIDTH, HEADS = 16, 6, 8, 256, 4
PARAMETERS = 9.0e6
# The packed history has 280 tokens; six frames of 48 have 288.
CONTEXT = 6


def rival(layers):
    """The rival with so many layers."""
    config = LatentWorldModelConfig(
        actions=ActionConfig(valid_keys=["W", "A", "S", "D"], source_fps=20, target_fps=20),
        video=ImageConfig(height=8 * 2 * ROWS, width=8 * 2 * COLUMNS, channels=3, timesteps=CONTEXT + 1, fps=20),
        hidden_dim=WIDTH,
        n_head=HEADS,
        n_layers=layers,
        patch_size=2,
        ada_attn_ln=True,
    )
    return DiffusionTransformer(config, latent_dim=CHANNELS, temporal_downsampling=1, spatial_downsampling=8).eval()


def size(model):
    """Its parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


class Stream:
    """A latent frame after another from noise, keys and values of the last frames kept."""

    def __init__(self, model, evaluations):
        self.model, self.evaluations, self.cache = model, evaluations, None
        self.dtype = next(model.parameters()).dtype
        self.remember(self.noise(CONTEXT), CONTEXT)

    def noise(self, frames):
        return torch.randn(1, frames, 2 * ROWS, 2 * COLUMNS, CHANNELS, dtype=self.dtype)

    def condition(self, frames, level):
        return torch.zeros(1, frames, WIDTH, dtype=self.dtype), torch.full((1, frames, 1, 1, 1), level, dtype=self.dtype)

    def remember(self, latents, frames):
        action, level = self.condition(frames, 0.0)
        _, new = self.model(latents, action, level, return_kv=True, kv_caches=self.cache)
        if self.cache is None:
            self.cache = new
        else:
            # The ring: as many frames as before.
            join = lambda old, new: torch.cat([old, new], dim=1)[:, -CONTEXT:]
            self.cache = [tuple(join(o, n) for o, n in zip(old, new)) for old, new in zip(self.cache, new)]

    def frame(self):
        x = self.noise(1)
        for step in range(self.evaluations):
            action, level = self.condition(1, step / self.evaluations)
            x = x + self.model(x, action, level, kv_caches=self.cache) / self.evaluations
        self.remember(x, 1)


def timed(model, evaluations, frames):
    """Milliseconds that the rival takes for a latent frame."""
    stream = Stream(model, evaluations)
    for _ in range(5):
        stream.frame()
    began = time.perf_counter()
    for _ in range(frames):
        stream.frame()
    return 1e3 * (time.perf_counter() - began) / frames


def oneiro(program, evaluations, frames, threads):
    """Milliseconds that Oneiro takes for a latent frame, and how often it ran its network."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speed.json"
        command = [program, "bench", "speed", "--sections", str(frames), "--steps", str(evaluations), "--json", path]
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        report = json.loads(path.read_text())
    stages = {stage["part"]: stage["ms"] for stage in report["stages"]}
    return stages["encode"] + stages["denoise"], report["evaluations"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/oneiro", help="Oneiro's release build")
    parser.add_argument("--evaluations", type=int, default=6, help="evaluations for each frame [6]")
    parser.add_argument("--frames", type=int, default=60, help="frames of each turn [60]")
    parser.add_argument("--turns", type=int, default=3, help="turns of each [3]")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each [all cores]")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    layers = min(range(1, 17), key=lambda layers: abs(size(rival(layers)) - PARAMETERS))
    ratios = []
    with torch.no_grad():
        # In whichever precision is faster here.
        models = [rival(layers).to(dtype) for dtype in (torch.float32, torch.bfloat16)]
        model = min(models, key=lambda model: timed(model, arguments.evaluations, 10))
        for turn in range(arguments.turns):
            ours, runs = oneiro(arguments.program, arguments.evaluations, arguments.frames, arguments.threads)
            # Guidance costs Oneiro a run of its network more; the rival has as many.
            theirs = timed(model, runs, arguments.frames)
            ratios.append(theirs / ours)
            print(f"turn {turn + 1}: oneiro {ours:.1f} ms, rival {theirs:.1f} ms for a latent frame, ratio {ratios[-1]:.2f}")
    print(
        f"rival: {layers} layers, {size(model) / 1e6:.1f} million parameters, torch {torch.__version__} in {Stream(model, 1).dtype}, "
        f"{arguments.threads} threads; {runs} runs of each network for a frame; "
        f"median ratio {statistics.median(ratios):.2f} (aim: at least 3)"
    )


if __name__ == "__main__":
    main()
