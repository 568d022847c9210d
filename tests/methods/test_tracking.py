"""The tracker follows one animal and says lost, and why, instead of inventing a position."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.methods import tracking
from analysis.methods.errors import InvalidDataError
from analysis.methods.tracking import Lost, TrackerSettings

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


def test_positions_in_a_region_are_those_of_the_whole_picture():
    where = path()
    frames = [disc(arena(*xy, seed=k), 10 + k, 10, radius=9) for k, xy in enumerate(where)]
    made = track(
        frames, background=tracking.background_of([arena(seed=k) for k in range(9)]), region=(40, 30, 300, 220)
    )
    assert np.hypot(*(made.xy - where).T).max() < 0.7


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
    with pytest.raises(InvalidDataError, match="not inside the picture"):
        track([FLOOR], background=FLOOR, region=(0, 0, 999, 100))
