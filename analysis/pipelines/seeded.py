"""Draws of a library that takes no seed for all of them, made to follow one."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from zlib import crc32

import numpy as np


@contextmanager
def seeded_draws(seed: int) -> Iterator[None]:
    """Let every generator of NumPy that is made without a seed follow ``seed``, and its global one, too.

    SpikeInterface's sorters draw in places that no parameter of theirs reaches. Each place has draws of its own, one
    time after another, so that what a library draws while it is imported changes nothing. It holds for the whole
    process, so only one that computes nothing else may use it: the child process of a job is one.
    """
    made, root, times = np.random.default_rng, seed, Counter[str]()

    def default_rng(seed: Any = None) -> np.random.Generator:
        if seed is not None:
            return made(seed)
        frame = inspect.currentframe()
        caller = frame.f_back if frame is not None else None
        place = f"{caller.f_globals.get('__name__')}.{caller.f_code.co_name}" if caller is not None else ""
        times[place] += 1
        return made([root, crc32(place.encode()), times[place]])

    state = np.random.get_state()  # noqa: NPY002 - the one that is drawn from
    np.random.seed(seed % 2**32)  # noqa: NPY002
    np.random.default_rng = default_rng
    try:
        yield
    finally:
        np.random.default_rng = made
        np.random.set_state(state)  # noqa: NPY002
