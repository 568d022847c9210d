"""Draws of a library that takes no seed for all of them, made to follow one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np


@contextmanager
def seeded_draws(seed: int) -> Iterator[None]:
    """Let every generator of NumPy that is made without a seed follow ``seed``, and its global one, too.

    SpikeInterface's sorters draw in places that no parameter of theirs reaches. It holds for the whole process, so only
    one that computes nothing else may use it: the child process of a job is one.
    """
    made, numbers, root = np.random.default_rng, count(), seed

    def default_rng(seed: Any = None) -> np.random.Generator:
        return made([root, next(numbers)] if seed is None else seed)

    state = np.random.get_state()  # noqa: NPY002 - the one that is drawn from
    np.random.seed(seed % 2**32)  # noqa: NPY002
    np.random.default_rng = default_rng  # type: ignore[assignment]
    try:
        yield
    finally:
        np.random.default_rng = made
        np.random.set_state(state)  # noqa: NPY002
