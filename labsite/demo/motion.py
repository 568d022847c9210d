"""How the simulated animals move: RatInABox (George et al. 2024, eLife 13, e85274) steered by what the task asks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from labsite.demo.arenas import HOLD_SECONDS, ODOURS, Arena

Floats = NDArray[np.float64]

# RatInABox's own step, and the step of the path that is kept (finer than a frame, so that nothing is seen to jerk).
STEP_SECONDS = 0.05
PATH_SECONDS = 0.02
CM_PER_M = 100.0
RUN_M_PER_S = 0.42
TURN_SIGMA_SECONDS = 0.18
CLOSING_SECONDS = 8.0
# So near (m) to where it wanted to go the animal is there.
THERE_M = 0.02
# Below this (cm/s) a movement says nothing about where the animal looks.
STANDING_CM_PER_S = 2.0
STOPS_ON_THE_WAY = 0.12
OUT_OF_SEQUENCE = 0.17


@dataclass(frozen=True)
class Trial:
    """One odour: times are s in the loop. ``held`` is how long the nose stayed, ``correct`` whether that was right."""

    sequence: int
    position: int
    odour: str
    poke_in: float
    poke_out: float
    reward: float | None

    @property
    def in_sequence(self) -> bool:
        return ODOURS[self.position - 1] == self.odour

    @property
    def held(self) -> float:
        return self.poke_out - self.poke_in

    @property
    def correct(self) -> bool:
        return (self.held >= HOLD_SECONDS) == self.in_sequence


@dataclass(frozen=True)
class Walk:
    """Where the animal is: ``time`` (s, from 0 to the end of the loop), ``xy`` ``(n, 2)`` cm, ``heading`` (rad).

    The last sample is the first one of the next round. ``trials`` are those of the odour box.
    """

    time: Floats
    xy: Floats
    heading: Floats
    trials: tuple[Trial, ...] = field(default_factory=tuple)


def ratinabox() -> SimpleNamespace:
    """Import what is used of RatInABox, without the warnings that Python gives when it compiles its docstrings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ratinabox.Agent import Agent
        from ratinabox.Environment import Environment
        from ratinabox.Neurons import PlaceCells
    return SimpleNamespace(Agent=Agent, Environment=Environment, PlaceCells=PlaceCells)


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, the only one that RatInABox draws from, and give it back as it was."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def make_path(arena: Arena) -> Walk:
    """Return the animal's path through one loop of an arena; the same arena gives the same path."""
    with global_seed(arena.seed):
        if arena.motion == "track":
            return _on_track(arena)
        if arena.motion == "odour":
            return _at_odour_port(arena)
        return _in_open_field(arena)


class Axis:
    """Movement along one axis (m): RatInABox's one-dimensional agent, drawn to a goal at a speed."""

    def __init__(self, length: float, at: float, wander: float) -> None:
        package = ratinabox()
        environment = package.Environment({"dimensionality": "1D", "scale": length})
        self.agent = package.Agent(
            environment,
            {"dt": STEP_SECONDS, "speed_mean": 0.0, "speed_std": wander, "save_history": False, "name": "rat"},
        )
        self.agent.pos = np.array([at])
        self.agent.velocity = np.array([0.0])
        self.wander = wander

    @property
    def at(self) -> float:
        return float(self.agent.pos[0])

    def step(self, goal: float, speed: float, *, still: bool = False) -> None:
        """Go on for one step; near the goal it brakes, and ``still`` leaves only breathing."""
        drift = float(np.clip(2.5 * (goal - self.at), -speed, speed))
        self.agent.update(
            drift_velocity=np.array([drift]),
            drift_to_random_strength_ratio=6.0 if still else 4.0,
            speed_std=0.006 if still else self.wander,
        )


def _on_track(arena: Arena) -> Walk:
    """Run back and forth with pauses at the ends, and now and then one on the way."""
    rng = np.random.default_rng(arena.seed)
    length, width = (value / CM_PER_M for value in arena.size)
    ends = (0.09, length - 0.09)
    along, across = Axis(length, ends[0], 0.05), Axis(width, width / 2, 0.02)
    steps = round(arena.loop_seconds / STEP_SECONDS)
    xy, facing = np.zeros((steps, 2)), np.zeros(steps)
    goal, pause, speed = 1, 30, RUN_M_PER_S
    stop_at: float | None = None
    closing = steps - round(CLOSING_SECONDS / STEP_SECONDS)
    for step in range(steps):
        if step == closing:
            goal, pause, stop_at = 0, 0, None
        if pause > 0:
            pause -= 1
            along.step(along.at, 0.0, still=True)
        else:
            target = ends[goal] if stop_at is None else stop_at
            along.step(target, speed)
            if abs(along.at - target) < THERE_M and step < closing:
                if stop_at is None:
                    goal = 1 - goal
                    pause = round(rng.uniform(1.2, 5.0) / STEP_SECONDS)
                    speed = float(np.clip(rng.normal(RUN_M_PER_S, 0.08), 0.25, 0.6))
                    stop_at = rng.uniform(0.35, 0.85) if rng.random() < STOPS_ON_THE_WAY else None
                else:
                    stop_at, pause = None, round(rng.uniform(0.8, 2.0) / STEP_SECONDS)
        across.step(width / 2, 0.05)
        xy[step] = along.at, across.at
        # It turns round while it pauses at an end, and by the end of the loop it looks the way it did at its start.
        parked = step >= closing and abs(along.at - ends[0]) < 2 * THERE_M
        facing[step] = 0.0 if goal == 1 or parked else np.pi
    return _finished(arena, xy * CM_PER_M, facing)


def _at_odour_port(arena: Arena) -> Walk:
    """Run to the port, poke and hold or withdraw for each odour of a sequence, then to the other end and back.

    About one odour in eight is out of sequence; the animal is right more often on those in sequence.
    """
    rng = np.random.default_rng(arena.seed)
    length, width = (value / CM_PER_M for value in arena.size)
    margin = arena.clearance / CM_PER_M
    port, rear, step_back = margin, length - margin, 0.05
    along, across = Axis(length, rear, 0.03), Axis(width, width / 2, 0.03)
    xy: list[tuple[float, float]] = []
    facing: list[float] = []
    steps = round(arena.loop_seconds / STEP_SECONDS)
    trials: list[Trial] = []

    def go(goal: float, direction: float, seconds: float | None = None, *, still: bool = False) -> bool:
        """Move until there (or for some seconds); False when the loop has no time left for it."""
        taken = 0
        while len(xy) < steps:
            if seconds is None and abs(along.at - goal) < THERE_M:
                return True
            if seconds is not None and taken >= round(seconds / STEP_SECONDS):
                return True
            along.step(goal, RUN_M_PER_S, still=still)
            lateral = width / 2 if still or goal == port else width * 0.4
            across.step(lateral, 0.12, still=still)
            xy.append((along.at, across.at))
            facing.append(direction)
            taken += 1
        return False

    sequence = 0
    longest_sequence = 32.0
    while arena.loop_seconds - len(xy) * STEP_SECONDS > longest_sequence + CLOSING_SECONDS:
        sequence += 1
        go(port, np.pi)
        for position in range(1, len(ODOURS) + 1):
            others = [odour for odour in ODOURS if odour != ODOURS[position - 1]]
            out = position > 1 and rng.random() < OUT_OF_SEQUENCE
            odour = str(rng.choice(others)) if out else ODOURS[position - 1]
            right = rng.random() < (0.76 if out else 0.94)
            hold = rng.uniform(1.25, 1.6) if right != out else rng.uniform(0.45, 1.05)
            poke_in = len(xy) * STEP_SECONDS
            go(port, np.pi, hold, still=True)
            poke_out = len(xy) * STEP_SECONDS
            reward = poke_out + 0.4 if right else None
            trials.append(Trial(sequence, position, odour, poke_in, poke_out, reward))
            go(port + step_back, np.pi, rng.uniform(1.0, 1.8))
            if not right:
                break
            if position < len(ODOURS):
                go(port, np.pi)
        go(rear, 0.0)
        go(rear, 0.0, rng.uniform(1.0, 3.0), still=True)
    go(rear, 0.0, arena.loop_seconds, still=True)
    # The last seconds are for looking back at the port, as at the start.
    turned = round(3.0 / STEP_SECONDS)
    facing[-turned:] = [np.pi] * turned
    return _finished(arena, np.array(xy) * CM_PER_M, np.array(facing), tuple(trials))


def _in_open_field(arena: Arena) -> Walk:
    """Explore: RatInABox's two-dimensional random motion with its usual wish to stay near walls."""
    package = ratinabox()
    x0, y0, _, _ = arena.bounds
    inset = arena.clearance / CM_PER_M
    width, height = (value / CM_PER_M - 2 * inset for value in arena.size)
    if arena.shape == "circle":
        angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        boundary = [[width / 2 * (1 + np.cos(a)), height / 2 * (1 + np.sin(a))] for a in angles]
        environment = package.Environment({"boundary": boundary})
    else:
        environment = package.Environment({"scale": height, "aspect": width / height})
    agent = package.Agent(
        environment,
        {"dt": STEP_SECONDS, "speed_mean": 0.13, "thigmotaxis": 0.4, "save_history": False, "name": "rat"},
    )
    agent.pos = np.array([width / 2, height / 2])
    steps = round(arena.loop_seconds / STEP_SECONDS)
    closing = steps - round(CLOSING_SECONDS / STEP_SECONDS)
    home = np.array([width / 2, height / 2])
    xy = np.zeros((steps, 2))
    for step in range(steps):
        if step < closing:
            agent.update()
        else:
            agent.update(drift_velocity=np.clip(home - agent.pos, -0.15, 0.15), drift_to_random_strength_ratio=8.0)
        xy[step] = agent.pos
    return _finished(arena, (xy + inset) * CM_PER_M + (x0, y0), None)


def _finished(arena: Arena, xy: Floats, facing: Floats | None, trials: tuple[Trial, ...] = ()) -> Walk:
    """Close the loop, refine the steps to those of the path, and turn the body smoothly."""
    from scipy.interpolate import CubicSpline
    from scipy.ndimage import gaussian_filter1d

    steps = len(xy)
    # What is left between the end and the start is spread over the last seconds, so that the animal never jumps.
    closing = round(CLOSING_SECONDS / STEP_SECONDS)
    share = np.linspace(0, 1, closing)[:, None] ** 2 * (3 - 2 * np.linspace(0, 1, closing)[:, None])
    xy = gaussian_filter1d(xy, 1.5, axis=0, mode="nearest")
    xy[-closing:] += share * (xy[0] - xy[-1])
    x0, y0, x1, y1 = arena.bounds
    xy = np.clip(xy, (x0 + 3, y0 + 3), (x1 - 3, y1 - 3))
    coarse = np.arange(steps + 1) * STEP_SECONDS
    fine: Floats = PATH_SECONDS * np.arange(round(arena.loop_seconds / PATH_SECONDS) + 1, dtype=float)
    closed = np.vstack([xy, xy[:1]])
    path = CubicSpline(coarse, closed, axis=0)(fine)
    path[-1] = path[0]
    if facing is None:
        heading = _direction_of(path)
    else:
        nearest = np.minimum((fine / STEP_SECONDS).astype(int), steps - 1)
        heading = np.unwrap(facing[nearest])
    heading = gaussian_filter1d(heading, TURN_SIGMA_SECONDS / PATH_SECONDS, mode="nearest")
    # A whole number of turns apart is the same direction; the rest is turned in the last second.
    turning = round(1.0 / PATH_SECONDS)
    rest = np.angle(np.exp(1j * (heading[0] - heading[-1])))
    heading[-turning:] += np.linspace(0, rest, turning)
    return Walk(fine, path, heading, trials)


def _direction_of(path: Floats) -> Floats:
    """Return the unwrapped direction of movement (rad); an animal that stands keeps the last one."""
    velocity = np.gradient(path, PATH_SECONDS, axis=0)
    moving = np.hypot(velocity[:, 0], velocity[:, 1]) > STANDING_CM_PER_S
    last = np.maximum.accumulate(np.where(moving, np.arange(len(path)), 0))
    return np.unwrap(np.arctan2(velocity[:, 1], velocity[:, 0])[last])
