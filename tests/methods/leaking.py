"""How much a decoder seems to know of data that hold nothing, by how its folds are drawn."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from analysis.methods import folds


def leakage(counts, target, bin_width):
    """Return R2 with random folds and with blocks for spikes shifted by 300 s and smoothed with a sigma of 2 s."""
    features = gaussian_filter1d(np.roll(counts, round(300 / bin_width), axis=0), 2 / bin_width, axis=0, truncate=3)
    drawn = np.random.default_rng(0).integers(0, 10, target.size)
    random = [folds.Fold(train=drawn != k, test=drawn == k) for k in range(10)]
    guard = folds.required_guard(window=bin_width, smoothing=12.0)
    blocks = folds.contiguous_folds(target.size, folds=10, guard_bins=int(np.ceil(guard / bin_width)))
    return r2_of_neighbours(features, target, random), r2_of_neighbours(features, target, blocks)


def r2_of_neighbours(features, target, blocks, neighbours=5):
    """R2 of nearest neighbours in spike counts, the decoder that has no model to be wrong."""
    predicted = np.full(target.size, np.nan)
    for block in blocks:
        train, test = np.flatnonzero(block.train), np.flatnonzero(block.test)
        squares = (features[test] ** 2).sum(1)[:, None] + (features[train] ** 2).sum(1)
        distance = squares - 2 * features[test] @ features[train].T
        nearest = np.argpartition(distance, neighbours, axis=1)[:, :neighbours]
        predicted[test] = target[train[nearest]].mean(axis=1)
    return 1 - np.sum((target - predicted) ** 2) / np.sum((target - target.mean()) ** 2)
