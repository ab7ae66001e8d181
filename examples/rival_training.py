"""A training step of Oneiro's network beside the same step in PyTorch, on one machine in one run.

    pip install torch
    cargo build --release && python examples/rival_training.py

Both train the shipped worlds' network on four clips of eight sections a step (`assets/configs/drift/vanilla.toml`): groups
of packed history are encoded once for each clip, sections attend to the keys and values of theirs. PyTorch's step has the
same rows, blocks, attention, moving average and optimizer (Muon on the matrices of the blocks, Adam on everything else), in
f32, with its fused attention and Adam, as it is written or compiled, whichever is faster here. Its batch lies ready: clips,
noise and what leads a section cost Oneiro alone. They take turns, so that whatever else the machine does hits both.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:
    sys.exit(f"{error}: see the first lines of {__file__} for what to install")

HERE = Path(__file__).resolve().parent.parent
CONFIG, CODEC = HERE / "assets/configs/drift/vanilla.toml", HERE / "assets/worlds/mazes/codec.safetensors"

# Of that file: latent channels, width, depth, heads, channels of the condition, clips of a step, sections of a clip.
CHANNELS, WIDTH, DEPTH, HEADS, CONDITION, CLIPS, SECTIONS = 16, 256, 8, 4, 128, 4, 8
RATE = 5e-4
# Tokens of a frame at kernel 1 (rows, columns); its packed history, newest first: (groups, kernel).
ROWS, COLUMNS = 6, 8
TIERS = [(5, 1), (2, 2), (4, 4)]


def tokens(kernel):
    """Tokens of a group."""
    return -(-ROWS // kernel) * -(-COLUMNS // kernel)


def layout():
    """Distinct groups of a clip, by kernel, and for each section the rows of the clip's groups that it sees."""
    first, groups = {}, {}
    for section in range(SECTIONS):
        end = section
        for count, kernel in TIERS:
            for _ in range(count):
                groups.setdefault(kernel, {}).setdefault(end - kernel, len(groups[kernel]))
                end -= kernel
    rows = 0
    for _, kernel in TIERS:
        first[kernel] = rows
        rows += len(groups[kernel]) * tokens(kernel)
    seen = []
    for section in range(SECTIONS):
        end, mine = section, []
        for count, kernel in TIERS:
            for _ in range(count):
                begin = first[kernel] + groups[kernel][end - kernel] * tokens(kernel)
                mine.extend(range(begin, begin + tokens(kernel)))
                end -= kernel
        seen.append(mine)
    return {kernel: len(of_kernel) for kernel, of_kernel in groups.items()}, rows, torch.tensor(seen)


def turned(x, phases):
    """Heads (…, L, N, head), pairs of channels turned by complex phases (L, 1, head / 2)."""
    real, imaginary = phases
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * real - b * imaginary, a * imaginary + b * real], -1).flatten(-2)


def attend(q, k, v):
    """Batches of (L, N, head)."""
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)


class Block(nn.Module):
    """One block, over the rows of all groups and sections."""

    def __init__(self):
        super().__init__()
        self.modulation = nn.Linear(CONDITION, 6 * WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.q_norm, self.k_norm = (nn.RMSNorm(WIDTH // HEADS, eps=1e-6) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6, elementwise_affine=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x, condition, owner, batch):
        """x: (R, D); condition: (groups and sections, condition); owner: (R,), whose condition a row has."""
        modulation = self.modulation(condition)[owner].chunk(6, -1)
        h = self.norm(x) * (1 + modulation[1]) + modulation[0]
        q, k, v = (part.unflatten(-1, (HEADS, -1)) for part in self.qkv(h).chunk(3, -1))
        h = self.attention(self.q_norm(q), self.k_norm(k), v, batch)
        x = x + modulation[2] * self.out(h.flatten(1))
        h = self.norm(x) * (1 + modulation[4]) + modulation[3]
        return x + modulation[5] * self.down(F.gelu(self.up(h), approximate="tanh"))

    @staticmethod
    def attention(q, k, v, batch):
        """Groups attend to themselves, sections to the groups that they see and to themselves."""
        answers = []
        for begin, end, length, phases in batch.groups:
            mine = [part[begin:end].unflatten(0, (-1, length)) for part in (q, k, v)]
            answers.append(attend(turned(mine[0], phases), turned(mine[1], phases), mine[2]).flatten(0, 1))
        own = [part[batch.history :].unflatten(0, (CLIPS * SECTIONS, -1)) for part in (q, k, v)]
        keys = torch.cat([k[batch.seen], own[1]], 1)
        values = torch.cat([v[batch.seen], own[2]], 1)
        answers.append(attend(turned(own[0], batch.own_phases), turned(keys, batch.key_phases), values).flatten(0, 1))
        return torch.cat(answers)


class Batch:
    """What a step is given, random but of the right shapes."""

    def __init__(self):
        counts, rows, seen = layout()
        self.frames, owner, begin, owners = {}, [], 0, 0
        phases = lambda length: [torch.randn(length, 1, WIDTH // HEADS // 2) for _ in range(2)]
        self.groups, moved = [], torch.zeros(rows, dtype=torch.long)
        # Rows go by kernel, all clips of it together.
        in_clip, places = 0, []
        for _, kernel in TIERS:
            mine, length = counts[kernel], tokens(kernel)
            self.frames[str(kernel)] = torch.randn(CLIPS * mine, length, 4 * CHANNELS * kernel**3)
            self.groups.append((begin, begin + CLIPS * mine * length, length, phases(length)))
            places.append((in_clip, begin, mine * length))
            owner.append(torch.arange(owners, owners + CLIPS * mine).repeat_interleave(length))
            begin, owners, in_clip = begin + CLIPS * mine * length, owners + CLIPS * mine, in_clip + mine * length
        self.history = begin
        of_clips = []
        for clip in range(CLIPS):
            for from_row, to_row, count in places:
                moved[from_row : from_row + count] = to_row + clip * count + torch.arange(count)
            of_clips.append(moved[seen])
        self.seen = torch.cat(of_clips)
        length = ROWS * COLUMNS
        owner.append(torch.arange(owners, owners + CLIPS * SECTIONS).repeat_interleave(length))
        self.owner, owners = torch.cat(owner), owners + CLIPS * SECTIONS
        self.condition = torch.randn(owners, CONDITION)
        self.own_phases, self.key_phases = phases(length), phases(seen.shape[1] + length)
        self.noisy, self.clean = (torch.randn(CLIPS * SECTIONS * length, 4 * CHANNELS) for _ in range(2))


class Network(nn.Module):
    """Noisy tokens of all sections to clean ones."""

    def __init__(self):
        super().__init__()
        self.kernels = nn.ModuleDict({str(kernel): nn.Linear(4 * CHANNELS * kernel**3, WIDTH) for _, kernel in TIERS})
        self.section, self.head = nn.Linear(4 * CHANNELS, WIDTH), nn.Linear(WIDTH, 4 * CHANNELS)
        self.condition = nn.Sequential(nn.Linear(CONDITION, CONDITION), nn.SiLU(), nn.Linear(CONDITION, CONDITION), nn.SiLU())
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(CONDITION, 2 * WIDTH)

    def forward(self, batch):
        condition = self.condition(batch.condition)
        history = [self.kernels[kernel](frames).flatten(0, 1) for kernel, frames in batch.frames.items()]
        x = torch.cat([*history, self.section(batch.noisy)])
        for block in self.blocks:
            x = block(x, condition, batch.owner, batch)
        shift, scale = self.modulation(condition)[batch.owner[batch.history :]].chunk(2, -1)
        return self.head(self.norm(x[batch.history :]) * (1 + scale) + shift)


def orthogonal(matrix):
    """Five Newton-Schulz iterations; torch.optim.Muon makes them in bf16, which few CPUs have."""
    x = matrix / (matrix.norm() + 1e-7)
    x = x.T if x.shape[0] > x.shape[1] else x
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.775, alpha=2.0315), x, beta=3.4445)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class Rival:
    """Steps of PyTorch."""

    def __init__(self, compiled):
        self.network, self.batch = Network(), Batch()
        self.forward = torch.compile(self.network) if compiled else self.network
        self.weights = list(self.network.parameters())
        self.average = [weight.detach().clone() for weight in self.weights]
        of_blocks = lambda name, weight: name.startswith("blocks.") and "modulation" not in name and weight.ndim == 2
        named = list(self.network.named_parameters())
        matrices = [(name, weight) for name, weight in named if of_blocks(name, weight)]
        # Oneiro has q, k and v apart.
        self.matrices = [(weight, torch.zeros_like(weight), 3 if "qkv" in name else 1) for name, weight in matrices]
        others = [weight for name, weight in named if not of_blocks(name, weight)]
        self.optimizer = torch.optim.Adam(others, lr=RATE, betas=(0.9, 0.99), fused=True)

    def step(self):
        loss = F.mse_loss(self.forward(self.batch), self.batch.clean)
        self.network.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0, foreach=True)
        self.optimizer.step()
        with torch.no_grad():
            for weight, mean, parts in self.matrices:
                mean.lerp_(weight.grad, 0.05)
                ahead = mean.lerp(weight.grad, 0.05).chunk(parts)
                scale = RATE * 0.2 * max(ahead[0].shape) ** 0.5
                weight.mul_(1 - 0.01 * RATE).sub_(torch.cat([orthogonal(part) for part in ahead]), alpha=scale)
        torch._foreach_lerp_(self.average, [weight.detach() for weight in self.weights], 0.001)

    def rate(self, steps):
        """Section frames in a second."""
        self.step()
        began = time.perf_counter()
        for _ in range(steps):
            self.step()
        return steps * CLIPS * SECTIONS / (time.perf_counter() - began)


def oneiro(program, steps, data, threads):
    """Section frames in a second that a training says it makes."""
    config = CONFIG.read_text().replace("steps = 648", f"steps = {steps}")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.toml").write_text(config)
        # Episodes are encoded once.
        (data / "latents").mkdir(exist_ok=True)
        (Path(folder) / "latents").symlink_to(data / "latents")
        command = [program, "train", "world", "--episodes", data / "play", "--codec", CODEC, "--out", folder]
        command += ["--config", Path(folder) / "config.toml", "--checkpoint-minutes", "60"]
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        ended = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    rates = re.findall(r"([\d.]+) samples/s", ended.stdout + ended.stderr)
    return float(rates[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/oneiro", help="Oneiro's release build")
    parser.add_argument("--steps", type=int, default=25, help="steps of each turn, at least 25 [25]")
    parser.add_argument("--turns", type=int, default=3, help="turns of each [3]")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each [all cores]")
    arguments = parser.parse_args()
    if arguments.steps < 25:
        parser.error("--steps: expected at least 25, for a training tells its rate every 25 steps")
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    rivals = {}
    for name, compiled in [("as it is written", False), ("compiled", True)]:
        try:
            rivals[name] = (rival := Rival(compiled), rival.rate(3))
            print(f"torch {name}: {rivals[name][1]:.1f} samples/s", flush=True)
        except Exception as error:
            print(f"torch {name}: {str(error).splitlines()[0]}", flush=True)
    name = max(rivals, key=lambda name: rivals[name][1])
    ratios = []
    with tempfile.TemporaryDirectory() as data:
        data = Path(data)
        command = [arguments.program, "episodes", "simulate", "--frames", "2000", "--out", data / "play"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for turn in range(arguments.turns):
            ours = oneiro(arguments.program, arguments.steps, data, arguments.threads)
            theirs = rivals[name][0].rate(arguments.steps)
            ratios.append(ours / theirs)
            print(f"turn {turn + 1}: oneiro {ours:.1f}, torch {theirs:.1f} samples/s, ratio {ratios[-1]:.2f}", flush=True)
    size = sum(weight.numel() for weight in rivals[name][0].weights) / 1e6
    print(
        f"torch {torch.__version__} {name}, f32, {size:.1f} million parameters, {arguments.threads} threads; "
        f"median ratio {statistics.median(ratios):.2f} (aim: at least 1)"
    )


if __name__ == "__main__":
    main()
