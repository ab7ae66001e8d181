"""Oneiro's larger networks in PyTorch, compiled, beside Oneiro on the same GPU.

    pip install torch
    cargo run --release --features cuda -- bench device --rival python

or by itself, with the report of `oneiro bench device`: python examples/rival_cuda.py device/device.json

Each network has the shape of Oneiro's: blocks with adaptive layer norm and RMS norm of queries and keys, whose
section attends to itself and to keys and values of packed history, which are placed once for each section. Weights
are random: speed does not depend on them. What is timed is the denoising of a section, all evaluations of it, as in
the stage `denoise` of Oneiro's report. PyTorch gets what it has: torch.compile with CUDA graphs, its fused
attention, and each precision. Oneiro's blocks work in 16-bit floats with sums and a residual of 32; "at once" is as
one captured graph.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:
    sys.exit(f"{error}: see the first lines of {__file__} for what to install")

# Latent channels, channels of the condition, features of a frame's actions, channels of a noise level's sinusoids.
CHANNELS, CONDITION, ACTIONS, SINUSOIDS = 16, 256, 12, 128
# By name in Oneiro's report: width, depth, heads.
NETWORKS = {"100 million weights": (768, 12, 12), "500 million weights": (1536, 16, 24)}
# Packed history of td_f16k4f4k2f5k1_g1: (frames, kernel).
TIERS = [(16, 4), (4, 2), (5, 1)]


def turned(x, phases):
    """Heads (L, N, head), pairs of channels turned by complex phases (L, head / 2)."""
    real, imaginary = phases
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * real - b * imaginary, a * imaginary + b * real], -1).flatten(-2)


class Block(nn.Module):
    """One block of a transformer, modulated by the condition."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.modulation = nn.Linear(CONDITION, 6 * width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.q_norm, self.k_norm = (nn.RMSNorm(width // heads, eps=1e-6) for _ in range(2))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, condition, keys, values, phases):
        """x: (L, D); keys, values: (N, history, head), placed."""
        shift, scale, gate, shift2, scale2, gate2 = self.modulation(condition).chunk(6, -1)
        h = self.norm(x) * (1 + scale) + shift
        split = lambda h: h.unflatten(-1, (self.heads, -1))
        q, k, v = turned(self.q_norm(split(self.q(h))), phases), turned(self.k_norm(split(self.k(h))), phases), split(self.v(h))
        k, v = torch.cat([keys, k.transpose(0, 1)], 1), torch.cat([values, v.transpose(0, 1)], 1)
        h = F.scaled_dot_product_attention(q.transpose(0, 1)[None], k[None], v[None])[0]
        x = x + gate * self.out(h.transpose(0, 1).flatten(1))
        h = self.norm(x) * (1 + scale2) + shift2
        return x + gate2 * self.down(F.gelu(self.up(h), approximate="tanh"))


class Network(nn.Module):
    """Noisy tokens of a frame (L, 4 C) to clean ones."""

    def __init__(self, width, depth, heads):
        super().__init__()
        self.section, self.head = nn.Linear(4 * CHANNELS, width), nn.Linear(width, 4 * CHANNELS)
        self.time_in, self.time_out = nn.Linear(SINUSOIDS, CONDITION), nn.Linear(CONDITION, CONDITION)
        self.actions = nn.Linear(ACTIONS, CONDITION, bias=False)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(CONDITION, 2 * width)

    def forward(self, noisy, level, actions, history, phases):
        x = self.section(noisy)
        condition = F.silu(self.time_out(F.silu(self.time_in(level))) + self.actions(actions))
        for block, (keys, values) in zip(self.blocks, history):
            x = block(x, condition, keys, values, phases)
        shift, scale = self.modulation(condition).chunk(2, -1)
        return self.head(self.norm(x) * (1 + scale) + shift)


def history_tokens(rows, columns):
    """Tokens of the packed history for frames of so many tokens at kernel 1."""
    return sum(frames // k * -(-rows // k) * -(-columns // k) for frames, k in TIERS)


def timed(sizes, rows, columns, evaluations, dtype, arguments):
    """Milliseconds that the evaluations of a section take, the median of all sections."""
    (width, depth, heads), device = sizes, arguments.device
    head, tokens, history = width // heads, rows * columns, history_tokens(rows, columns)
    random = lambda *shape: torch.randn(*shape, device=device, dtype=dtype)
    network = Network(width, depth, heads).to(device, dtype).eval()
    network = torch.compile(network, mode="max-autotune") if arguments.compile else network
    phases = [random(tokens, 1, head // 2), random(tokens, 1, head // 2)]
    levels = [random(1, SINUSOIDS) for _ in range(evaluations)]
    own = [random(history, 1, head // 2) for _ in range(2)]
    # Kept before their phases are applied, as Oneiro keeps them.
    kept = [(random(history, heads, head), random(heads, history, head)) for _ in range(depth)]

    def section(noise, actions):
        placed = [(turned(keys, own).transpose(0, 1).contiguous(), values) for keys, values in kept]
        x = noise
        for at, level in enumerate(levels):
            clean = network(x, level, actions, placed, phases)
            left = (evaluations - at - 1) / (evaluations - at)
            x = clean + left * (x - clean)
        return x

    times = []
    for at in range(arguments.warm_up + arguments.sections):
        noise, actions = random(tokens, 4 * CHANNELS), random(1, ACTIONS)
        times.append(clocked(device, lambda: section(noise, actions)))
    return statistics.median(times[arguments.warm_up :])


def clocked(device, work):
    """Milliseconds of some work on a device."""
    synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
    synchronize()
    began = time.perf_counter()
    work()
    synchronize()
    return 1e3 * (time.perf_counter() - began)


def ours(report):
    """Networks of Oneiro's report: name, tokens of a frame (rows, columns), evaluations, milliseconds of denoising, also at once."""
    for world in report["worlds"]:
        name, _, size = world["name"].partition(", ")
        measured = [world[how].get("measured") for how in ("outcome", "at_once")]
        if name in NETWORKS and measured[0]:
            columns, rows = (int(side) // 16 for side in size.split("x"))
            took = [denoising(report) for report in measured if report]
            yield world["name"], NETWORKS[name], (rows, columns), measured[0]["evaluations"], took


def denoising(report):
    """Milliseconds of the stage."""
    return next(stage["ms"] for stage in report["stages"] if stage["part"] == "denoise")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="device.json of `oneiro bench device`")
    parser.add_argument("--sections", type=int, default=50, help="sections that count [50]")
    parser.add_argument("--warm-up", type=int, default=10, help="sections before them [10]")
    parser.add_argument("--device", default="cuda", help="where PyTorch runs [cuda]")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="run it as it is written")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("expected a CUDA GPU that PyTorch can use")
    torch.manual_seed(0)
    report = json.loads(arguments.report.read_text())
    print(f"oneiro on {report['device']}; torch {torch.__version__} on {arguments.device}")
    print("| network | oneiro, ms | at once, ms | torch in | torch, ms | torch over oneiro |\n|---|---|---|---|---|---|")
    with torch.no_grad():
        for name, sizes, (rows, columns), evaluations, mine in ours(report):
            for precision, dtype, tf32 in [("f32", torch.float32, False), ("TF32", torch.float32, True), ("f16", torch.float16, False), ("bf16", torch.bfloat16, False)]:
                torch.backends.cuda.matmul.allow_tf32 = tf32
                theirs = timed(sizes, rows, columns, evaluations, dtype, arguments)
                launched, at_once = f"{mine[0]:.2f}", f"{mine[1]:.2f}" if len(mine) > 1 else "failed"
                ratio = f"{theirs / min(mine):.2f}"
                print(f"| {name} | {launched} | {at_once} | {precision} | {theirs:.2f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
