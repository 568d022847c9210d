"""The tracker follows one animal and says lost, and why, instead of inventing a position."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from analysis.methods import arenas, tracking
from analysis.methods.errors import InvalidDataError
from analysis.methods.tracking import Lost, TrackerSettings
from analysis.pipelines.video_track import VideoTrackParameters

HEIGHT, WIDTH = 240, 320
FLOOR = np.clip(np.add.outer(np.linspace(150, 190, HEIGHT), np.linspace(-20, 20, WIDTH)), 0, 255).astype(np.uint8)
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]


def disc(frame, x, y, radius=10, value=40):
    frame = frame.copy()
    frame[(COLUMNS - x) ** 2 + (ROWS - y) ** 2 <= radius**2] = value
    return frame


def arena(x=None, y=None, *, seed=0, **look):
    frame = FLOOR if x is None else disc(FLOOR, x, y, **look)
    shaken = frame + np.random.default_rng(seed).normal(0, 2, frame.shape)
    return np.clip(shaken, 0, 255).astype(np.uint8)


def path(n=60):
    turn = np.linspace(0, 2 * np.pi, n)
    return np.stack([160 + 80 * np.cos(turn), 120 + 60 * np.sin(turn)], axis=1)


def track(frames, *, background=None, rate=30.0, **settings):
    background = tracking.background_of(frames) if background is None else background
    return tracking.track_animal(
        ((k / rate, frame) for k, frame in enumerate(frames)), background, TrackerSettings(**settings)
    )


def test_the_centre_of_the_body_is_found_to_a_fraction_of_a_pixel():
    where = path()
    made = track([arena(x, y, seed=k) for k, (x, y) in enumerate(where)])
    assert np.all(made.reason == Lost.FOUND)
    assert np.hypot(*(made.xy - where).T).max() < 0.7
    assert made.area.mean() == pytest.approx(np.pi * 100, rel=0.05)


def test_the_tail_does_not_pull_the_centre():
    where = path()
    frames = []
    for k, (x, y) in enumerate(where):
        frame = arena(x, y, seed=k)
        frame[int(y) : int(y) + 2, int(x) : min(WIDTH, int(x) + 45)] = 40
        frames.append(frame)
    with_opening, without = track(frames), track(frames, opening=1)
    assert np.hypot(*(with_opening.xy - where).T).max() < 1.5
    assert np.hypot(*(without.xy - where).T).mean() > 2


@dataclass(frozen=True)
class Simulated:
    """What was drawn: frames, body centre ``(n, 2)`` (px), heading (rad) and speed (px/s) ``(n,)``, whether absent."""

    frames: list[np.ndarray]
    xy: np.ndarray
    heading: np.ndarray
    speed: np.ndarray
    absent: np.ndarray
    length: float


def simulated(seed, *, light=False, tail=True, count=600, rate=30.0, length=60.0, width=26.0) -> Simulated:
    """Draw an animal that walks in curves, stops, turns where it stands and is taken out for a while."""
    rng = np.random.default_rng(seed)
    rows, columns = 320, 420
    floor = np.clip(np.add.outer(np.linspace(60, 80, rows), np.linspace(-10, 10, columns)), 0, 255)
    floor = (floor if light else 255 - floor).astype(np.uint8)
    noise = [rng.normal(0, 2, floor.shape) for _ in range(8)]
    xy, heading, speed = np.empty((count, 2)), np.empty(count), np.empty(count)
    place, facing, pace, turn = np.array([210.0, 160.0]), rng.uniform(-np.pi, np.pi), 0.0, 0.0
    wanted = 0.0
    for frame in range(count):
        if frame % 45 == 0:
            wanted = rng.choice([0.0, 40.0, 90.0, 150.0])
        pace += 0.15 * (wanted - pace)
        turn = 0.9 * turn + rng.normal(0, 0.03)
        home = np.array([210.0, 160.0]) - place
        # Away from the walls, as animals turn in front of them.
        if np.hypot(*home) > 90:
            turn += 0.02 * np.sign(np.sin(np.arctan2(home[1], home[0]) - facing))
        facing += turn
        place = place + pace / rate * np.array([np.cos(facing), np.sin(facing)])
        place = np.clip(place, [60, 60], [columns - 60, rows - 60])
        xy[frame], heading[frame], speed[frame] = place, facing, pace
    absent = np.zeros(count, bool)
    absent[count // 2 : count // 2 + count // 6] = True
    value = 200 if light else 45
    frames = []
    for frame in range(count):
        picture = floor.copy()
        if not absent[frame]:
            centre = tuple(round(16 * v) for v in xy[frame])
            if tail:
                back = xy[frame] - 0.95 * length * np.array([np.cos(heading[frame]), np.sin(heading[frame])])
                cv2.line(picture, centre, tuple(round(16 * v) for v in back), value, 3, cv2.LINE_AA, 4)
            axes = (round(16 * length / 2), round(16 * width / 2))
            cv2.ellipse(picture, centre, axes, np.degrees(heading[frame]), 0, 360, value, -1, cv2.LINE_AA, 4)
        frames.append(np.clip(picture + noise[frame % 8], 0, 255).astype(np.uint8))
    return Simulated(frames, xy, heading, speed, absent, length)


@pytest.mark.parametrize(
    ("seed", "look"), [(0, {}), (1, {"light": True}), (2, {"tail": False}), (3, {"length": 44.0, "width": 22.0})]
)
def test_the_known_truth_of_simulated_animals(seed, look):
    truth = simulated(seed, **look)
    made = track(truth.frames, background=None, animal="light" if look.get("light") else "dark")
    seen = np.isfinite(made.xy[:, 0])
    assert np.mean(~seen[truth.absent]) >= 0.99
    assert np.mean(seen[~truth.absent]) >= 0.99
    away = np.hypot(*(made.xy - truth.xy)[seen & ~truth.absent].T)
    assert np.median(away) <= 0.01 * truth.length
    moves = seen & ~truth.absent & (truth.speed > 0.5 * truth.length)
    assert np.count_nonzero(moves) > 150
    off = np.angle(np.exp(1j * (made.heading - truth.heading)))
    assert np.mean(np.abs(np.degrees(off[moves])) <= 10) >= 0.95
    assert made.length == pytest.approx(truth.length, rel=0.05)


@pytest.mark.parametrize("light", [False, True])
def test_an_animal_that_rests_most_of_the_time_is_no_background(light):
    truth = simulated(0, light=light, count=200)
    rng = np.random.default_rng(1)
    resting = [np.clip(truth.frames[60] + rng.normal(0, 1, (320, 420)), 0, 255).astype(np.uint8) for _ in range(180)]
    frames = truth.frames[:60] + resting
    where = np.concatenate([truth.xy[:60], np.repeat(truth.xy[60:61], 180, axis=0)])
    quantile = VideoTrackParameters().background_quantile
    background = tracking.background_of(frames[::4], quantile=1 - quantile if light else quantile)
    made = track(frames, background=background, animal="light" if light else "dark")
    assert np.mean(made.reason == Lost.FOUND) >= 0.99
    assert np.nanmedian(np.hypot(*(made.xy - where).T)) <= 0.01 * truth.length
    of_median = track(frames, background=tracking.background_of(frames[::4]), animal="light" if light else "dark")
    assert np.mean(of_median.reason == Lost.FOUND) < 0.5, "else this animal does not rest long enough to tell"


def test_a_round_animal_has_no_heading():
    made = track([arena(x, y, seed=k) for k, (x, y) in enumerate(path())])
    assert np.all(made.reason == Lost.FOUND)
    assert np.isnan(made.heading).all()


def test_the_head_stays_the_head_where_the_animal_turns_on_the_spot():
    angle = np.concatenate([np.zeros(30), np.linspace(0, np.pi, 30), np.full(30, np.pi)])
    where = np.stack([100 + np.minimum(np.arange(90), 30) * 2.0, np.full(90, 120.0)], axis=1)
    frames = []
    for (x, y), turned in zip(where, angle, strict=True):
        frame = FLOOR.copy()
        cv2.ellipse(frame, (round(x), round(y)), (28, 11), np.degrees(turned), 0, 360, 40, -1)
        frames.append(frame)
    made = track(frames, background=FLOOR)
    off = np.degrees(np.abs(np.angle(np.exp(1j * (made.heading - angle)))))
    assert off.max() < 5


def test_an_animal_that_leaves_is_lost_and_comes_back():
    where = path()
    frames = [arena(*xy, seed=k) if not 20 <= k < 35 else arena(seed=k) for k, xy in enumerate(where)]
    made = track(frames)
    assert np.all(made.reason[20:35] == Lost.NOTHING)
    assert np.isnan(made.xy[20:35]).all()
    assert np.all(made.reason[35:] == Lost.FOUND)


def test_nothing_is_found_where_there_is_no_animal():
    made = track([arena(seed=k) for k in range(30)])
    assert np.all(made.reason != Lost.FOUND)
    assert np.isnan(made.xy).all()


def test_brighter_things_are_not_mistaken_for_a_dark_animal():
    """Plain uint8 subtraction would wrap a brighter pixel around to a large difference."""
    where = path()
    frames = [disc(arena(*xy, seed=k), 250, 30, radius=14, value=250) for k, xy in enumerate(where)]
    clean = [arena(*xy, seed=k) for k, xy in enumerate(where)]
    made = track(frames, background=tracking.background_of(clean))
    assert np.hypot(*(made.xy - where).T).max() < 0.7


def test_a_light_animal_is_found_on_a_dark_floor():
    where = path()
    frames = [255 - arena(*xy, seed=k) for k, xy in enumerate(where)]
    made = track(frames, animal="light")
    assert np.hypot(*(made.xy - where).T).max() < 0.7


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda frame: disc(frame, 60, 60), Lost.AMBIGUOUS),
        (lambda frame: (frame * 0.5).astype(np.uint8), Lost.TOO_LARGE),
        (lambda frame: disc(frame, 160, 120, radius=45), Lost.UNLIKE),
        (lambda _: arena(160, 120, radius=2), Lost.TOO_SMALL),
        (lambda _: arena(300, 20), Lost.JUMP),
        (lambda _: None, Lost.UNREADABLE),
    ],
)
def test_each_reason_is_told(change, reason):
    frames = [arena(100 + k, 120, seed=k) for k in range(60)]
    background = tracking.background_of(frames)
    frames[30] = change(frames[30])
    made = track(frames, background=background)
    assert made.reason[30] == reason
    assert np.isnan(made.xy[30]).all()
    assert np.all(np.delete(made.reason, 30) == Lost.FOUND)


def test_every_reason_has_words():
    assert all(code.sentence for code in Lost)


def test_positions_in_an_arena_are_those_of_the_whole_picture():
    where = path()
    frames = [disc(arena(*xy, seed=k), 10 + k, 10, radius=9) for k, xy in enumerate(where)]
    inside = arenas.mask_of("circle", [(160, 120), (270, 120)], height=HEIGHT, width=WIDTH)
    (made,) = tracking.track_animals(
        ((k / 30, frame) for k, frame in enumerate(frames)),
        tracking.background_of([arena(seed=k) for k in range(9)]),
        TrackerSettings(),
        [inside],
    )
    assert np.hypot(*(made.xy - where).T).max() < 0.7


def test_every_arena_has_its_own_animal_and_its_own_losses():
    where = path()
    left, right = where * 0.5, where * 0.5 + [160, 100]
    frames = []
    for k in range(60):
        frame = disc(arena(seed=k), *left[k], radius=8)
        frames.append(frame if 20 <= k < 30 else disc(frame, *right[k], radius=8))
    outlines = [[(5, 5), (145, 5), (145, 115), (5, 115)], [(165, 100), (318, 100), (318, 220), (165, 220)]]
    made = tracking.track_animals(
        ((k / 30, frame) for k, frame in enumerate(frames)),
        tracking.background_of([arena(seed=k) for k in range(9)]),
        TrackerSettings(),
        [arenas.mask_of("polygon", outline, height=HEIGHT, width=WIDTH) for outline in outlines],
    )
    assert np.all(made[0].reason == Lost.FOUND)
    assert np.hypot(*(made[0].xy - left).T).max() < 0.7
    gone = np.arange(60) // 10 == 2
    assert np.all(made[1].reason[gone] == Lost.NOTHING)
    assert np.hypot(*(made[1].xy - right)[~gone].T).max() < 0.7


def test_a_camera_that_looks_at_an_angle_gives_centimetres():
    """A floor of 60 x 40 cm, seen in perspective; truth is the pinhole camera that the corners were seen by."""
    camera = np.array([[6.0, 1.5, 60.0], [-0.4, 5.0, 50.0], [0.0004, 0.005, 1.0]])

    def seen(floor):
        full = np.column_stack([floor, np.ones(len(floor))]) @ camera.T
        return full[:, :2] / full[:, 2:]

    corners = seen(np.array([[0.0, 0], [60, 0], [60, 40], [0, 40]]))
    scale = arenas.from_corners([tuple(corner) for corner in corners], 60, 40)
    floor = np.random.default_rng(0).uniform([0, 0], [60, 40], (50, 2))
    assert np.abs(scale(seen(floor)) - floor).max() < 1e-6
    facing = np.linspace(-3, 3, 50)
    ahead = seen(floor + 1e-4 * np.stack([np.cos(facing), np.sin(facing)], axis=1)) - seen(floor)
    off = scale.heading(seen(floor), np.arctan2(ahead[:, 1], ahead[:, 0])) - facing
    assert np.degrees(np.abs(np.angle(np.exp(1j * off)))).max() < 2
    assert arenas.from_distance([(10, 10), (10, 210)], 50).length(np.zeros(2), 8) == pytest.approx(2)


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (lambda: arenas.check_outline("polygon", [(0, 0), (50, 50), (50, 0), (0, 50)]), "cross each other"),
        (lambda: arenas.check_outline("polygon", [(0, 0), (50, 0)]), "three corners"),
        (lambda: arenas.check_outline("polygon", [(0, 0), (50, 0), (25, 1)]), "too small"),
        (lambda: arenas.check_outline("circle", [(5, 5), (6, 6)]), "too small"),
        (lambda: arenas.check_outline("circle", [(5, 5)]), "centre and one point"),
        (lambda: arenas.mask_of("circle", [(-90, -90), (-80, -90)], height=50, width=50), "outside the picture"),
        (lambda: arenas.from_distance([(5, 5), (6, 6)], 10), "closer than 5 px"),
        (lambda: arenas.from_corners([(0, 0), (90, 0), (20, 20), (0, 90)], 10, 10), "no view of a rectangle"),
        (lambda: arenas.from_corners([(0, 0), (90, 0), (0, 90)], 10, 10), "four corners"),
    ],
)
def test_what_was_drawn_wrongly_is_told(drawn, words):
    with pytest.raises(InvalidDataError, match=words):
        drawn()


def test_speed_follows_the_times_of_the_frames_not_their_number():
    time = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.05, 300))
    xy = np.stack([30 * time, np.zeros(300)], axis=1)
    xy[100:110] = np.nan
    speed = tracking.speed_of(time, xy)
    assert np.isnan(speed[100:110]).all()
    assert np.nanmax(np.abs(speed - 30)) < 1e-6


def test_occupancy_is_the_time_seen():
    time = np.arange(0, 10, 0.1)
    xy = np.full((100, 2), 15.0)
    xy[50:] = [35, 5]
    xy[90:] = np.nan
    seconds = tracking.occupancy(time, xy, extent=(40, 20), bin_size=10)
    assert seconds.shape == (2, 4)
    assert seconds[1, 1] == pytest.approx(5)
    assert seconds[0, 3] == pytest.approx(4)
    assert seconds.sum() == pytest.approx(9)


def test_what_cannot_be_tracked_is_refused():
    with pytest.raises(InvalidDataError, match="too few"):
        tracking.background_of([FLOOR])
    with pytest.raises(InvalidDataError, match="differ in size"):
        tracking.background_of([FLOOR, FLOOR, FLOOR[:100]])
    with pytest.raises(InvalidDataError, match="no frame"):
        tracking.track_animal([], FLOOR, TrackerSettings())
    with pytest.raises(InvalidDataError, match="camera was changed"):
        track([FLOOR, FLOOR[:100]], background=FLOOR)
    with pytest.raises(InvalidDataError, match="another size"):
        tracking.track_animals([], FLOOR, TrackerSettings(), [FLOOR[:100]])
