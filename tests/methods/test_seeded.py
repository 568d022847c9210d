"""Draws that take no seed follow the one of the run, and only for as long as they should."""

# ruff: noqa: NPY002 - the global generator is what this is about

from __future__ import annotations

import numpy as np
import pytest

from analysis.pipelines.seeded import seeded_draws


def drawn(seed: int) -> list[float]:
    with seeded_draws(seed):
        return [np.random.default_rng().random(), np.random.default_rng().random(), np.random.random()]


def test_what_is_drawn_without_a_seed_follows_the_seed():
    assert drawn(3) == drawn(3)
    assert set(drawn(3)).isdisjoint(drawn(4))


def test_a_seed_that_is_given_is_kept():
    expected = np.random.default_rng(7).random()
    with seeded_draws(3):
        assert np.random.default_rng(7).random() == expected
        assert np.random.default_rng(seed=7).random() == expected


def test_what_comes_after_is_as_before_also_when_the_sorter_gave_up():
    made, state = np.random.default_rng, np.random.get_state()

    def give_up() -> None:
        with seeded_draws(3):
            np.random.random()
            raise ValueError("gave up")

    with pytest.raises(ValueError, match="gave up"):
        give_up()
    assert np.random.default_rng is made
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])
