"""Where to walk in a ViZDoom map, and how: the players of `record_vizdoom.py`."""

import heapq
import math
import sys
from collections import Counter

import numpy as np

TURN_DEGREES = 15.0  # what turn = 1 turns per frame
KEY_TURN = 0.5  # the turn a keyboard sends
CELL = 16.0  # side of a cell of the map grid, in map units
BODY = 18.0  # the player's radius and a little more
THING = 34.0  # how far the player stays from things, which may end the episode when touched
COAST = 4.5  # how many frames' way one slides on when the keys are let go
ROOM = 64.0  # side of the squares in which visits are counted


def wrap(degrees):
    """The same angle in -180..180."""
    return (degrees + 180.0) % 360.0 - 180.0


# --- the map -------------------------------------------------------------------------------------


class FloorPlan:
    """Where one can stand in a map, how far walls are, and which way leads to a place."""

    def __init__(self, state):
        self.walls = np.array(self._walls(state.sectors), np.float64).reshape(-1, 4)
        self.origin = np.floor(np.min(self.walls.reshape(-1, 2), 0) / CELL) * CELL
        size = np.ceil((np.max(self.walls.reshape(-1, 2), 0) - self.origin) / CELL)
        self.width, self.height = (max(1, int(s)) for s in size)
        ys, xs = np.mgrid[0 : self.height, 0 : self.width]
        self.centers = np.stack([xs, ys], -1) * CELL + self.origin + CELL / 2
        self.things = [np.array([thing.position_x, thing.position_y])
                       for thing in state.objects or [] if thing.name != "DoomPlayer"]
        self.clearance = self._clearance()
        self.free = self._reachable(state)
        self.cells = np.argwhere(self.free)
        if not len(self.cells):
            sys.exit("error: no open floor around the spawn point; try another scenario")
        near = np.clip((44.0 - self.clearance) / 44.0, 0.0, 1.0)
        self.cost = np.where(self.free, 1.0 + 3.0 * near, np.inf)
        self.roomy = np.array([c for c in self.cells if self._is_roomy(*c)])
        self.room_sizes = Counter(room_of(*self.centers[y, x]) for y, x in self.cells)
        self.fields = {}

    @staticmethod
    def _walls(sectors):
        """Lines that cannot be crossed: blocking ones, high steps and low openings."""
        sides = {}
        for sector in sectors:
            for line in sector.lines:
                ends = (line.x1, line.y1, line.x2, line.y2)
                sides.setdefault(ends, []).append((sector, line.is_blocking))
        walls = []
        for ends, seen in sides.items():
            floors = [sector.floor_height for sector, _ in seen]
            ceilings = [sector.ceiling_height for sector, _ in seen]
            step, opening = max(floors) - min(floors), min(ceilings) - max(floors)
            if step > 24 or opening < 56 or any(blocking for _, blocking in seen):
                walls.append(ends)
        return walls

    def _clearance(self):
        """Distance from each cell to the nearest wall; things to pick up count as walls."""
        clearance = np.full((self.height, self.width), np.inf)
        for x1, y1, x2, y2 in self.walls:
            a, d = np.array([x1, y1]), np.array([x2 - x1, y2 - y1])
            along = np.clip((self.centers - a) @ d / max(d @ d, 1e-9), 0, 1)
            gap = np.linalg.norm(a + along[..., None] * d - self.centers, axis=-1)
            np.minimum(clearance, gap, out=clearance)
        for at in self.things:
            gap = np.linalg.norm(self.centers - at, axis=-1) - THING
            np.minimum(clearance, gap, out=clearance)
        return clearance

    def _reachable(self, state):
        """Open cells joined to the spawn point."""
        self.free = self.clearance >= BODY
        self.cells = np.argwhere(self.free)
        reached = np.zeros_like(self.free)
        if not len(self.cells):
            return reached
        stack = [self.cell_at(*state.game_variables[:2])]
        while stack:
            y, x = stack.pop()
            if self.free[y, x] and not reached[y, x]:
                reached[y, x] = True
                stack += [(ny, nx) for ny, nx, _ in self._neighbours(y, x)]
        return reached

    def _is_roomy(self, y, x):
        """Whether a cell is away from walls, as far as its surroundings allow."""
        around = self.clearance[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        return self.clearance[y, x] >= min(40.0, around.max())

    def is_open(self, x, y):
        """Whether a position is on a cell where one can stand."""
        col, row = int((x - self.origin[0]) // CELL), int((y - self.origin[1]) // CELL)
        return 0 <= row < self.height and 0 <= col < self.width and bool(self.free[row, col])

    def _neighbours(self, y, x):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                ny, nx = y + dy, x + dx
                if (dy or dx) and 0 <= ny < self.height and 0 <= nx < self.width:
                    yield ny, nx, math.hypot(dy, dx)

    def cell_at(self, x, y):
        """The open cell nearest to a position."""
        col, row = int((x - self.origin[0]) // CELL), int((y - self.origin[1]) // CELL)
        if self.is_open(x, y):
            return row, col
        gaps = np.abs(self.cells - (row, col)).sum(1)
        return tuple(int(i) for i in self.cells[np.argmin(gaps)])

    def field(self, goal):
        """Walking cost from every cell to `goal`; kept, since goals come again."""
        if goal not in self.fields:
            cost = np.full(self.free.shape, np.inf)
            cost[goal] = 0.0
            queue = [(0.0, goal)]
            while queue:
                so_far, (y, x) = heapq.heappop(queue)
                if so_far > cost[y, x]:
                    continue
                for ny, nx, length in self._neighbours(y, x):
                    total = so_far + length * self.cost[ny, nx]
                    if total < cost[ny, nx]:
                        cost[ny, nx] = total
                        heapq.heappush(queue, (total, (ny, nx)))
            self.fields[goal] = cost
        return self.fields[goal]

    def path(self, x, y, field, steps):
        """The next cells' centres from a position downhill in `field`."""
        cell, points = self.cell_at(x, y), []
        for _ in range(steps):
            points.append(self.centers[cell])
            best = min(self._neighbours(*cell), key=lambda n: field[n[0], n[1]])
            if field[best[0], best[1]] >= field[cell]:
                break
            cell = best[:2]
        return points

    def clear_line(self, x, y, point):
        """Whether one can walk straight from a position to a point."""
        count = 2 + int(math.hypot(point[0] - x, point[1] - y) / (CELL / 2))
        along = np.linspace(0, 1, count)[1:]
        cols = ((x + along * (point[0] - x) - self.origin[0]) // CELL).astype(int)
        rows = ((y + along * (point[1] - y) - self.origin[1]) // CELL).astype(int)
        inside = (rows >= 0) & (cols >= 0) & (rows < self.height) & (cols < self.width)
        return bool(inside.all() and self.free[rows, cols].all())

    def depth(self, x, y, yaw):
        """Distance to the wall in direction `yaw` (degrees)."""
        dx, dy = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
        px, py = self.walls[:, 0] - x, self.walls[:, 1] - y
        ex, ey = self.walls[:, 2] - self.walls[:, 0], self.walls[:, 3] - self.walls[:, 1]
        cross = dx * ey - dy * ex
        with np.errstate(divide="ignore", invalid="ignore"):
            along, side = (px * ey - py * ex) / cross, (px * dy - py * dx) / cross
        hit = (along > 0) & (side >= 0) & (side <= 1)
        return float(along[hit].min()) if hit.any() else 4096.0


# --- policies ------------------------------------------------------------------------------------


class Style:
    """How someone handles the controls for a while: keys or a stick, fast or slow."""

    def __init__(self, rng):
        self.keyboard = rng.random() < 0.5
        self.turn_speed = 3.0 * 5.0 ** rng.random()  # degrees per frame, 3 to 15
        self.gain = rng.uniform(0.4, 1.0)  # share of an error that is turned away per frame
        self.pace = 1.0 if rng.random() < 0.4 else rng.uniform(0.35, 1.0)
        self.offset = 0.0  # where one looks, against where one walks
        kind = rng.random()
        if kind < 0.25:
            self.offset = rng.uniform(-60.0, 60.0)
        elif kind < 0.35:
            self.offset = rng.choice([-90.0, 90.0, 180.0])


class Walker:
    """A player. Behaviours are generators: they yield one (turn, forward, strafe) per frame and
    find the pose that came of it in `self.pose` when they are resumed."""

    def __init__(self, plan, visits, rng):
        self.plan, self.visits, self.rng = plan, visits, rng
        self.pose, self.turn, self.trail = (0.0, 0.0, 0.0), 0.0, []
        self.behaviour = None

    def act(self, policy, pose):
        """The action after a pose: the policy's, or a brake where one would slide into a thing."""
        moved = np.subtract(pose[:2], self.pose[:2]) if self.behaviour else np.zeros(2)
        self.behaviour = self.behaviour or getattr(self, policy)()
        self.pose = pose
        turn, forward, strafe = next(self.behaviour)
        rest = pose[:2] + COAST * moved
        for thing in self.plan.things:
            if np.linalg.norm(rest - thing) < THING + BODY and moved @ (thing - pose[:2]) > 0.0:
                way = math.atan2(-moved[1], -moved[0]) - math.radians(pose[2])
                return turn, float(round(math.cos(way))), float(-round(math.sin(way)))
        return turn, forward, strafe

    def steer(self, heading, style):
        """One frame's turn towards a heading."""
        error = -wrap(heading - self.pose[2])
        if style.keyboard:
            goes_on = self.turn * error > 0.0  # a key that is down is let go late
            margin = KEY_TURN * TURN_DEGREES * (0.5 if goes_on else 1.5)
            self.turn = math.copysign(KEY_TURN, error) if abs(error) > margin else 0.0
            return self.turn
        if abs(error) < (2.0 if self.turn else 10.0):  # good enough: hands off
            self.turn = 0.0
            return self.turn
        wanted = max(-style.turn_speed, min(style.turn_speed, style.gain * error)) / TURN_DEGREES
        self.turn += 0.6 * (wanted - self.turn)
        return self.turn

    def toward(self, point, style):
        """One frame of walking to a point: turn, forward, strafe."""
        heading = math.degrees(math.atan2(point[1] - self.pose[1], point[0] - self.pose[0]))
        side = self.plan.depth(*self.pose[:2], heading + style.offset)
        if abs(style.offset) < 100.0 and side < 56.0:
            style.offset = 0.0  # nobody walks on with the eyes on a near wall
        turn = self.steer(heading + style.offset, style)
        angle = math.radians(heading - self.pose[2])
        ahead, left = math.cos(angle), math.sin(angle)
        if style.offset == 0.0:  # turns first, then walks
            ahead, left = max(0.0, ahead) ** 2, 0.0
        if style.keyboard:
            return turn, float(round(ahead)), float(-round(left))
        return turn, style.pace * ahead, -style.pace * left

    def walk(self, goal, style, limit):
        """Walks to a cell by a planned path."""
        field, last, stuck = self.plan.field(goal), self.pose, 0
        for _ in range(limit):
            x, y, _ = self.pose
            if self.distance(self.plan.centers[goal]) < 32.0:  # nearer, one would circle round it
                return
            path = self.plan.path(x, y, field, 9)
            clear = [point for point in path[2:] if self.plan.clear_line(x, y, point)]
            action = self.toward(clear[-1] if clear else path[min(2, len(path) - 1)], style)
            yield action
            moved = math.hypot(self.pose[0] - last[0], self.pose[1] - last[1])
            stuck = stuck + 1 if moved < 1.0 and abs(action[0]) < 0.1 else 0
            last = self.pose
            if stuck > 5:
                yield from self.press(0.0, -1.0, self.rng.choice([-1.0, 1.0]), 4)
                return

    def retrace(self, trail, style):
        """Walks along earlier positions, in their order."""
        index, patience = 0, 2 * len(trail) + 40
        while patience:
            patience -= 1
            while index < len(trail) and self.distance(trail[index]) < 48.0:
                index += 1
            if index == len(trail):
                return
            yield self.toward(trail[index], style)

    def distance(self, point):
        """How far away a point is."""
        return math.hypot(point[0] - self.pose[0], point[1] - self.pose[1])

    def rotate(self, degrees, style):
        """Turns in place by an angle of any size; positive is to the right."""
        left = degrees
        hurry = 5.0 if abs(degrees) > 120.0 else 0.0
        speed = KEY_TURN * TURN_DEGREES if style.keyboard else max(style.turn_speed, hurry)
        while abs(left) > 1.0:
            if style.keyboard and abs(left) < speed / 2:
                break
            step = speed if style.keyboard else min(speed, abs(left))
            self.turn = math.copysign(step, left) / TURN_DEGREES
            yield self.turn, 0.0, 0.0
            left -= self.turn * TURN_DEGREES
        self.turn = 0.0

    def press(self, turn, forward, strafe, count):
        """Holds keys for some frames."""
        for _ in range(count):
            yield turn, forward, strafe
        self.turn = 0.0

    def doodle(self):
        """Keys pressed at random, but not towards a wall or a thing, nor staring at one."""
        end = self.rng.integers(16, 80)
        for _ in range(60):
            turn = KEY_TURN * self.rng.choice([-1.0, 0.0, 0.0, 1.0])
            forward, strafe = self.rng.choice([-1.0, 0.0, 1.0], 2)
            for _ in range(self.rng.integers(4, 16)):
                if not self.leads_on(forward, strafe) or (self.view() < 56.0 and not turn):
                    break
                yield turn, forward, strafe
                end -= 1
                if end <= 0:
                    self.turn = 0.0
                    return

    def leads_on(self, forward, strafe):
        """Whether there is room to go on with these keys held."""
        if not forward and not strafe:
            return True
        x, y, yaw = self.pose
        way = math.radians(yaw) + math.atan2(-strafe, forward)
        return self.plan.clear_line(x, y, (x + 40.0 * math.cos(way), y + 40.0 * math.sin(way)))

    def view(self):
        """How far one sees: the longest of three looks ahead."""
        return max(self.plan.depth(*self.pose[:2], self.pose[2] + a) for a in (-25.0, 0.0, 25.0))

    def look(self, style):
        """Turns to an open view on the spot, and rests there a little."""
        angles = self.rng.uniform(-180.0, 180.0, 4)
        depths = [self.plan.depth(*self.pose[:2], self.pose[2] - a) for a in angles]
        yield from self.rotate(float(angles[int(np.argmax(depths))]), style)
        yield from self.press(0.0, 0.0, 0.0, self.rng.integers(0, 40))

    def next_goal(self):
        """An open cell in a little visited place, not too near; seldom close to a wall."""
        cells = self.plan.cells if self.rng.random() < 0.15 else self.plan.roomy
        picks = cells[self.rng.integers(0, len(cells), 24)]
        picks = [tuple(int(i) for i in pick) for pick in picks]
        far = [p for p in picks if self.distance(self.plan.centers[p]) > 96.0] or picks
        return min(far, key=self.visits_at)

    def visits_at(self, cell):
        """How often the place of a cell was visited, for its size."""
        room = room_of(*self.plan.centers[cell])
        return self.visits.get(room, 0) / self.plan.room_sizes[room]

    def explore(self):
        """Visits everything evenly, in many manners."""
        while True:
            style = Style(self.rng)
            yield from self.walk(self.next_goal(), style, 240)
            kind = self.rng.random()
            if kind < 0.3:
                yield from self.look(style)
            elif kind < 0.6:
                yield from self.doodle()
            elif kind < 0.64:
                yield from self.rotate(self.rng.choice([-360.0, 360.0]), style)

    def outward(self):
        """Walks to new places for 64 to 300 frames, keeping the trail."""
        self.trail, length = [], self.rng.integers(64, 301)
        while len(self.trail) < length:
            for action in self.walk(self.next_goal(), Style(self.rng), 240):
                self.trail.append(self.pose)
                yield action
                if len(self.trail) >= length:
                    break
            else:  # the goal was reached, perhaps at once: a frame's rest, so that time goes on
                yield from self.press(0.0, 0.0, 0.0, 1)

    def revisit(self):
        """Walks out and back by the same path, once or more, with full turns in between."""
        while True:
            yield from self.outward()
            for _ in range(self.rng.integers(2, 5)):
                style, kind = Style(self.rng), self.rng.random()
                yield from self.press(0.0, 0.0, 0.0, self.rng.integers(0, 24))
                if kind < 0.25:
                    whole = self.rng.choice([-360.0, 360.0])
                    yield from self.rotate(whole, style)
                    yield from self.press(0.0, 0.0, 0.0, self.rng.integers(0, 16))
                    yield from self.rotate(-whole, style)
                style.offset = 180.0 if kind > 0.75 else 0.0
                if not style.offset:  # or else back to front, through the very same views
                    yield from self.rotate(self.rng.choice([-180.0, 180.0]), style)
                self.trail.reverse()
                yield from self.retrace(self.trail, style)

    def wander(self):
        """Goes anywhere without looking, into walls and along them, as one does who is new here."""
        while True:
            style, now = Style(self.rng), np.zeros(3)
            ease = 1.0 if style.keyboard else 1.0 / 3.0
            for _ in range(12):
                side, fast = self.rng.choice([-1.0, 1.0]), self.rng.uniform(0.1, 1.0)
                turn = side * (KEY_TURN if style.keyboard else fast)
                pace = 1.0 if style.keyboard else style.pace
                aims = {  # how often, and turn, forward, strafe
                    "on": (0.35, 0.0, pace, 0.0), "bend": (0.2, turn / 3.0, pace, 0.0),
                    "turn": (0.2, turn, 0.5 * pace, 0.0), "look": (0.1, turn, 0.0, 0.0),
                    "aside": (0.1, 0.0, 0.4 * pace, side * pace), "back": (0.05, 0.0, -pace, 0.0)}
                odds = [aim[0] for aim in aims.values()]
                aim = list(aims.values())[self.rng.choice(len(aims), p=odds)][1:]
                for _ in range(self.rng.integers(6, 36)):
                    now += ease * (np.array(aim) - now)
                    yield tuple(float(v) for v in now)


def room_of(x, y):
    """The square of the visit count in which a position lies."""
    return int(x // ROOM), int(y // ROOM)
