#!/usr/bin/env python3
"""Record episodes of play from a ViZDoom scenario, as training data for a world.

    pip install vizdoom numpy
    python examples/record_vizdoom.py --frames 80000 --policy explore --out data/explore
    python examples/record_vizdoom.py --frames 80000 --policy revisit --seed 2 --out data/revisit
    python examples/record_vizdoom.py --frames 30000 --policy wander --seed 3 --out data/wander
    python examples/record_vizdoom.py --check data/explore

No Doom game file is needed: the scenarios and the Freedoom pictures come with the package, and
nothing is shown on a screen. `explore` walks on planned paths between the least visited places,
looks around, pauses and presses keys at random; `revisit` walks out and comes back by the same
path, again and again, and makes full turns in place, so that places are seen more than once;
`wander` goes anywhere without looking, so that walls are seen from close by as well.

One compressed npz file per episode:

    video    u8  (T, H, W, 3)  frames, RGB
    actions  f32 (T, 4)        turn, forward, strafe, pitch, each in -1..1
    pose     f32 (T, 3)        x, y in map units, yaw in degrees counter-clockwise
    meta     u8  (n,)          UTF-8 JSON: fps, turn_degrees, source, seed, policy ...

`actions[t]` is what was applied between frame t-1 and frame t; `actions[0]` is neutral. A turn of
1 is 15 degrees to the right per frame, forward 1 is Doom's walking speed, strafe 1 the same to the
right. Recording again into the same folder continues it; the same seed gives the same data.
The players are in `vizdoom_walker.py`.
"""

import argparse
import io
import json
import os
import re
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

try:
    import numpy as np
except ImportError:
    sys.exit("error: numpy is missing; install it with: pip install vizdoom numpy")

from vizdoom_walker import ROOM, TURN_DEGREES, FloorPlan, Walker, room_of, wrap

TICS_PER_SECOND = 35.0
MOVE_STEP = 25  # Doom's walking thrust: what forward = 1 and strafe = 1 stand for
FLAT = 6.0  # a view whose coarse picture varies less than this (of 255) is a bare wall


# --- the game ------------------------------------------------------------------------------------


def pick_resolution(vizdoom, size):
    """The game's resolution that is an exact multiple of the frame's: best 4, at least 2."""
    names = [n for n in dir(vizdoom.ScreenResolution) if n.startswith("RES_")]
    sizes = {n: tuple(int(v) for v in re.findall(r"\d+", n)) for n in names}
    fits = {w // size[0]: n for n, (w, h) in sizes.items()
            if w % size[0] == 0 and w // size[0] >= 2 and h == size[1] * (w // size[0])}
    if fits:
        scale = min((k for k in fits if k >= 4), default=max(fits))
        return getattr(vizdoom.ScreenResolution, fits[scale]), scale
    works = {(w // k, h // k) for w, h in sizes.values() for k in (2, 4, 5, 8)
             if w % k == 0 and h % k == 0 and w // k >= 64}
    listed = ", ".join(f"{w}x{h}" for w, h in sorted(works))
    sys.exit(f"error: --size {size[0]}x{size[1]} divides none of the game's resolutions; "
             f"sizes that do: {listed}")


def open_game(args):
    """A headless game with nothing drawn over the view."""
    try:
        import vizdoom
    except ImportError:
        sys.exit("error: vizdoom is missing; install it with: pip install vizdoom numpy")
    wad = Path(vizdoom.scenarios_path) / f"{args.scenario}.wad"
    if not wad.is_file():
        known = ", ".join(sorted(p.stem for p in wad.parent.glob("*.wad")))
        sys.exit(f"error: no scenario {args.scenario}; there are: {known}")
    resolution, scale = pick_resolution(vizdoom, args.size)
    game = vizdoom.DoomGame()
    game.set_doom_game_path(str(Path(vizdoom.__file__).parent / "freedoom2.wad"))
    game.set_doom_scenario_path(str(wad))
    game.set_doom_map("map01")
    game.set_screen_resolution(resolution)
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    for part in ("hud", "weapon", "crosshair", "decals", "particles", "messages",
                 "effects_sprites", "corpses", "screen_flashes"):
        getattr(game, f"set_render_{part}")(False)
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.set_sectors_info_enabled(True)
    game.set_objects_info_enabled(True)
    game.add_game_args("+movebob 0 +stillbob 0")  # the eye stays level: the view is pose alone
    button, variable = vizdoom.Button, vizdoom.GameVariable
    game.set_available_buttons([button.TURN_LEFT_RIGHT_DELTA,
                                button.MOVE_FORWARD_BACKWARD_DELTA,
                                button.MOVE_LEFT_RIGHT_DELTA])
    game.set_available_game_variables([variable.POSITION_X, variable.POSITION_Y, variable.ANGLE])
    game.set_mode(vizdoom.Mode.PLAYER)
    game.set_episode_timeout(0)
    game.set_episode_start_time(10)
    game.init()
    return game, scale


def shrink(picture, scale):
    """Box filter: every frame pixel is the mean of scale x scale rendered ones."""
    rows = sum(picture[i::scale].astype(np.uint16) for i in range(scale))
    total = sum(rows[:, i::scale] for i in range(scale))
    area = scale * scale
    return ((total + area // 2) // area).astype(np.uint8)


def to_command(action):
    """The action as recorded, on the game's own steps, and its button values per tic."""
    turn, forward, strafe = (max(-1.0, min(1.0, float(v))) for v in action)
    forward, strafe = (round(v * MOVE_STEP) / MOVE_STEP for v in (forward, strafe))
    return turn, forward, strafe


def play(game, scale, args, length, walker):
    """One episode: frames, actions and poses, aligned so that actions[t] led to frame t."""
    video = np.empty((length, args.size[1], args.size[0], 3), np.uint8)
    actions, poses = np.zeros((length, 4), np.float32), np.zeros((length, 3), np.float32)
    for t in range(length):
        if t:
            pose = tuple(float(v) for v in poses[t - 1])
            action = actions[t, :3] = to_command(walker.act(args.policy, pose))
            turn = float(action[0]) * TURN_DEGREES / args.skip
            moves = [round(float(v) * MOVE_STEP) for v in action[1:]]
            game.make_action([turn, *moves], args.skip)
        state = None if game.is_episode_finished() else game.get_state()
        if state is None:  # the scenario's goal was reached
            return video[:t], actions[:t], poses[:t]
        video[t], poses[t] = shrink(state.screen_buffer, scale), state.game_variables[:3]
        place = room_of(*poses[t, :2])
        walker.visits[place] = walker.visits.get(place, 0) + 1
    return video, actions, poses


def save_episode(path, arrays):
    """Writes an npz under another name first, so that a file is whole or not there.

    Light compression: the frames hardly get smaller with more, and it would take most of the time.
    """
    part = path.with_suffix(".part")
    with zipfile.ZipFile(part, "w") as archive:
        for name, array in arrays.items():
            body = io.BytesIO()
            np.lib.format.write_array(body, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # of no date: same seed, same file
            archive.writestr(entry, body.getbuffer(), zipfile.ZIP_DEFLATED, 1)
    os.replace(part, path)


def describe(args, seed):
    """What is written beside the arrays."""
    return {"format": "oneiro-episode-1", "fps": TICS_PER_SECOND / args.skip,
            "turn_degrees": TURN_DEGREES, "pitch_degrees": 0, "buttons": [],
            "source": f"vizdoom {args.scenario}", "seed": seed, "policy": args.policy}


def load(path, *names):
    """An episode's meta data and the named arrays."""
    try:
        with np.load(path) as file:
            return json.loads(bytes(file["meta"])), *(file[name] for name in names)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as cause:
        sys.exit(f"error: {path} is damaged ({cause}); delete it and record it again")


def keep(path, expected):
    """The poses of an episode recorded earlier, which must be of the same kind."""
    meta, poses = load(path, "pose")
    if meta != expected:
        sys.exit(f"error: {path} was recorded with other options; choose another --out\n"
                 f"  there:  {json.dumps(meta)}\n  wanted: {json.dumps(expected)}")
    return poses


def record(args):
    """Records episodes until the folder holds the asked number of frames."""
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as litter:  # the game writes settings where it is started
        os.chdir(litter)
        try:
            game, scale = open_game(args)
            record_episodes(game, scale, args)
            game.close()
        finally:
            os.chdir(home)


def record_episodes(game, scale, args):
    """Records what is missing, episode by episode."""
    done, index, plan, visits, begin, fresh = 0, 0, None, {}, time.monotonic(), 0
    while done < args.frames:
        path = args.out / f"episode_{index:05}.npz"
        seed = (args.seed * 1_000_003 + index) % 2**31
        index += 1
        if path.is_file():  # kept; its visits count towards the evenness of what follows
            poses = keep(path, describe(args, seed))
            for x, y, _ in poses:
                visits[room_of(x, y)] = visits.get(room_of(x, y), 0) + 1
            done += len(poses)
            continue
        game.set_seed(seed)
        game.new_episode()
        plan = plan or FloorPlan(game.get_state())
        walker = Walker(plan, visits, np.random.default_rng(seed))
        length = min(args.episode, args.frames - done)
        video, actions, poses = play(game, scale, args, length, walker)
        if not len(video):
            sys.exit(f"error: {args.scenario} ends before its first frame; try another scenario")
        meta = json.dumps(describe(args, seed)).encode()
        save_episode(path, {"video": video, "actions": actions, "pose": poses,
                            "meta": np.frombuffer(meta, np.uint8)})
        done, fresh = done + len(video), fresh + len(video)
        rate = fresh / (time.monotonic() - begin)
        print(f"{path.name}: {done}/{args.frames} frames, {rate:.0f} frames/s", flush=True)


# --- check ---------------------------------------------------------------------------------------


def load_checked(path):
    """An episode's meta data and arrays, after their shapes and ranges were verified."""
    meta, video, actions, pose = load(path, "video", "actions", "pose")
    count = len(video)
    faults = [
        (video.dtype != np.uint8 or video.ndim != 4 or video.shape[3] != 3, "video"),
        (actions.dtype != np.float32 or actions.shape != (count, 4), "actions"),
        (pose.dtype != np.float32 or pose.shape != (count, 3), "pose"),
        (not np.isfinite(pose).all() or not (np.abs(actions) <= 1).all(), "values"),
        (actions[0].any(), "actions[0], which must be neutral"),
        (meta.get("format") != "oneiro-episode-1", "format"),
    ]
    for wrong, what in faults:
        if wrong:
            sys.exit(f"error: {path}: wrong {what}")
    return meta, video, actions, pose


def turn_error(actions, pose, unit, shift=0):
    """Largest difference, in degrees, of the turn made and the turn asked `shift` frames before."""
    made = wrap(np.diff(pose[:, 2].astype(np.float64)))[shift:]
    asked = -unit * actions[1 : len(actions) - shift, 0]
    return float(np.abs(wrap(made - asked)).max(initial=0.0))


def contrast(video):
    """How much each frame varies once details are averaged out, in 0..255."""
    count, height, width, _ = video.shape
    rows, cols = height // 8, width // 8
    coarse = video[:, : rows * 8, : cols * 8].reshape(count, 8, rows, 8, cols, 3)
    return coarse.mean((2, 4), dtype=np.float32).std((1, 2)).max(-1)


def seen_again(pose, gap=100):
    """Share of frames whose view (32 units, 15 degrees) was there `gap` or more frames before."""
    again = 0
    for t in range(gap, len(pose)):
        past = pose[: t - gap + 1]
        near = np.hypot(past[:, 0] - pose[t, 0], past[:, 1] - pose[t, 1]) < 32.0
        again += bool((near & (np.abs(wrap(past[:, 2] - pose[t, 2])) < 15.0)).any())
    return again / len(pose)


def check(folder):
    """Prints what a folder holds; ends with an error where it is not as it should be."""
    rows, actions, poses, flat = [], [], [], []
    for path in sorted(folder.glob("episode_*.npz")):
        meta, video, act, pose = load_checked(path)
        error, late = (turn_error(act, pose, meta["turn_degrees"], n) for n in (0, 1))
        still = ~np.diff(pose, axis=0).any(1)
        same = (video[1:] == video[:-1]).all((1, 2, 3))
        rows.append((error, late, still.sum(), (still & same).sum(), (~still & same).sum(),
                     seen_again(pose) * len(pose)))
        actions.append(act[1:]), poses.append(pose), flat.append(contrast(video) < FLAT)
    if not rows:
        sys.exit(f"error: no episode_*.npz in {folder}")
    rows, pose = np.array(rows), np.concatenate(poses)
    count, (_, _, rest, frozen, stale, again) = len(pose), rows.sum(0)
    print(f"episodes {len(rows)}, frames {count}, {video.shape[2]}x{video.shape[1]}, "
          f"{meta['fps']} frames/s, {meta['source']}, {meta['policy']}")
    print(f"turn against yaw: largest error {rows[:, 0].max():.3f} degrees "
          f"(if the action were one frame late: {rows[:, 1].max():.1f})")
    print(f"frames against pose: {frozen:.0f} of {rest:.0f} frames at rest repeat the last one, "
          f"{stale:.0f} of {count - len(rows) - rest:.0f} moving ones do")
    print(f"bare walls: {100 * np.concatenate(flat).mean():.1f} % of the views")
    print(f"views seen again after 100 frames or more: {100 * again / count:.1f} %")
    print_actions(np.concatenate(actions), meta["turn_degrees"], video.shape[2])
    print_coverage(pose)
    if rows[:, 0].max() > 1.0:
        sys.exit("error: turns and yaw do not match: the actions are out of step with the frames")


def print_actions(actions, unit, width):
    """How often each strength of each axis occurs, and each combination of directions."""
    edges = np.array([-1.001, -0.75, -0.45, -0.15, -0.01, 0.01, 0.15, 0.45, 0.75, 1.001])
    print("share of frames, %   " + "".join(f"{v:>8}" for v in
          ("-1", "-0.6", "-0.3", "-0.1", "0", "0.1", "0.3", "0.6", "1")))
    for axis, name in enumerate(("turn", "forward", "strafe")):
        shares = 100 * np.histogram(actions[:, axis], edges)[0] / len(actions)
        print(f"  {name:<19}" + "".join(f"{share:8.1f}" for share in shares))
    signs = np.sign(np.round(actions[:, :3], 2)).astype(int) + 1
    counts = np.bincount(signs @ (9, 3, 1), minlength=27)
    print(f"combinations of directions: {(counts > 0).sum()} of 27, "
          f"the rarest {100 * counts.min() / len(actions):.2f} %")
    turns = np.abs(actions[:, 0])[np.abs(actions[:, 0]) > 0.01] * unit
    if len(turns):
        shown = [f"{d:.1f} deg = {width / 2 * np.tan(np.radians(d)):.1f} px"
                 for d in np.percentile(turns, (10, 50, 90))]
        print("turning, 10/50/90 % (shift at the middle): " + ", ".join(shown))


def print_coverage(pose):
    """A map of the share of frames in each square, in tenths of a percent."""
    squares = np.floor(pose[:, :2] / ROOM).astype(int)
    low, high = squares.min(0), squares.max(0)
    counts = np.zeros(high - low + 1, int)
    np.add.at(counts, tuple((squares - low).T), 1)
    share = 1000 * counts / len(pose)
    seen = share[counts > 0]
    print(f"squares of {ROOM:.0f} units: {len(seen)} visited, each {seen.min():.1f} / "
          f"{np.median(seen):.1f} / {seen.max():.1f} (least, median, most; tenths of a percent)")
    for row in share.T[::-1]:
        print("  " + "".join(f"{v:4.0f}" if v else "   ." for v in row))


# --- command line --------------------------------------------------------------------------------


def parse_size(text):
    """WIDTHxHEIGHT as a pair."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found or "0" in found.groups():
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 128x96")
    return int(found[1]), int(found[2])


def positive(text):
    """A whole number above 0."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def main():
    """Reads the command line and records or checks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenario", default="my_way_home", help="a scenario of the package")
    parser.add_argument("--frames", type=positive, default=10_000, help="frames in all")
    parser.add_argument("--size", type=parse_size, default=(128, 96), help="WIDTHxHEIGHT")
    parser.add_argument("--skip", type=positive, default=2, help="game tics (1/35 s) per frame")
    parser.add_argument("--policy", choices=("explore", "revisit", "wander"), default="explore")
    parser.add_argument("--episode", type=positive, default=1000, help="frames per episode")
    parser.add_argument("--seed", type=int, default=1)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="folder of the episodes")
    what.add_argument("--check", type=Path, metavar="DIR", help="verify a folder, print a table")
    args = parser.parse_args()
    check(args.check) if args.check else record(args)


if __name__ == "__main__":
    main()
