"""Videos in every order between two pictures of recorded play, held against what was played.

    pip install numpy pillow av
    oneiro episodes simulate --frames 40000 --seed 9000 --out heldout
    cargo build --release && python examples/orders.py heldout mazes/off-map mazes

Of each episode a stretch of some seconds is taken: its first and last picture and the actions between them are given, the
frames between them are dreamed. PSNR is of these alone, with 95 % bootstrap intervals over stretches; `step to the end` is that
of the last dreamed frame to the given end, and the game's own beside it. `--sheet FILE` puts some stretches below each other.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import av
    import numpy as np
    from PIL import Image
except ImportError as error:
    sys.exit(f"{error}: see the first lines of {__file__} for what to install")

ORDERS = ["vanilla", "endpoint", "inverted"]
COLUMNS = ["first third", "middle", "last third", "last frame", "step to the end", "detail over real"]
FPS = 17.5
# Frames that a sheet shows, as shares of the stretch.
SHOWN = [0.0, 0.06, 0.15, 0.3, 0.5, 0.7, 0.85, 0.9, 0.96, 1.0]


def psnr(a, b):
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))


def detail(frames):
    """Mean difference of neighbouring pixels of a row."""
    return np.abs(np.diff(frames.astype(float).mean(-1), axis=-1)).mean()


def stretch(number, path, frames):
    """Pictures and actions of a stretch of an episode, another place in each."""
    episode = np.load(path)
    if len(episode["video"]) < frames:
        sys.exit(f"{path}: expected at least {frames} frames, got {len(episode['video'])}")
    first = (200 + 97 * number) % (len(episode["video"]) - frames + 1)
    names = ["turn", "forward", "strafe", "pitch"]
    actions = episode["actions"][first + 1 : first + frames].tolist()
    lines = [json.dumps(dict(zip(names, action))) for action in actions]
    return episode["video"][first : first + frames], "\n".join(lines) + "\n"


def dream(args, world, order, played, actions):
    """The video between the first and the last picture."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        Image.fromarray(played[0]).save(folder / "start.png")
        Image.fromarray(played[-1]).save(folder / "end.png")
        (folder / "actions.jsonl").write_text(actions)
        command = [args.oneiro, "dream", "--world", world, "--order", order, "--start", folder / "start.png"]
        command += ["--seconds", str((len(played) - 1) / FPS), "--out", folder / "film"]
        command += ["--actions", folder / "actions.jsonl"]
        if order != "vanilla":
            command += ["--waypoint", f"{(len(played) - 1) / FPS}={folder / 'end.png'}"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        with av.open(str(folder / "film" / "video.mp4")) as video:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])


def figures(played, dreamed):
    # What lies between the given pictures.
    each = [psnr(a, b) for a, b in zip(played, dreamed)][1:-1]
    third = len(each) // 3
    parts = [each[:third], each[third : 2 * third], each[2 * third :]]
    step = psnr(dreamed[-2], dreamed[-1])
    sharp = detail(dreamed[1:-1]) / detail(played[1:-1])
    return [*map(np.mean, parts), each[-1], step, sharp]


def interval(values, random):
    means = [random.choice(values, len(values)).mean() for _ in range(2000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{values.mean():.2f} ({low:.2f} to {high:.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("episodes", type=Path, help="folder of recorded play (.npz)")
    parser.add_argument("worlds", nargs="+", help="folders or names of worlds")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--stretches", type=int, default=16)
    parser.add_argument("--oneiro", type=Path, default="target/release/oneiro")
    parser.add_argument("--sheet", type=Path, help="picture of the first world's first stretches")
    args = parser.parse_args()
    paths = sorted(args.episodes.glob("*.npz"))[: args.stretches]
    if not paths:
        sys.exit(f"{args.episodes}: expected episodes (.npz), found none")
    frames = round(args.seconds * FPS) + 1
    stretches = [stretch(number, path, frames) for number, path in enumerate(paths)]
    own = np.mean([psnr(played[-2], played[-1]) for played, _ in stretches])
    print(f"the game's own step to the end: {own:.2f} dB\n")
    print(f"| world | order | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 2)}")
    rows = {}
    for world in args.worlds:
        for order in ORDERS:
            all_figures = []
            for number, (played, actions) in enumerate(stretches):
                dreamed = dream(args, world, order, played, actions)
                all_figures.append(figures(played, dreamed))
                rows.setdefault(number, [played]).append(dreamed)
            random = np.random.default_rng(0)
            cells = [interval(column, random) for column in np.array(all_figures).T]
            print(f"| {world} | {order} | {' | '.join(cells)} |", flush=True)
    if args.sheet:
        shown = [round(share * (frames - 1)) for share in SHOWN]
        lines = [video for number in list(rows)[:2] for video in rows[number][: len(ORDERS) + 1]]
        picture = np.concatenate([np.concatenate(video[shown], axis=1) for video in lines])
        Image.fromarray(picture).save(args.sheet, quality=85)


if __name__ == "__main__":
    main()
