"""The figures of ``decode.position``, along a track and in an open field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.figures import decoding as draw
from analysis.figures import open_field
from analysis.methods.decoding import place_fields

if TYPE_CHECKING:
    from analysis.figures.spec import Figure
    from analysis.pipelines.decode_position import DecodePositionParameters
    from analysis.pipelines.position_output import Outcome


def position_figures(settings: DecodePositionParameters, outcome: Outcome) -> list[Figure]:
    """Return the figures of a result, those that say most first."""
    unit, scale, rows = outcome.unit, outcome.scale, outcome.bench.rows
    null, sides = outcome.null, outcome.behaviour.sides
    error = outcome.errors(outcome.attempt)
    # The longest error there can be is a diagonal.
    longest = float(np.hypot.reduce(sides)) * scale
    against = [
        draw.error_distribution(error * scale, outcome.shifted_errors * scale, unit=unit, length=longest),
    ]
    if outcome.p is not None:
        median = outcome.accuracy.median * scale
        against.append(
            draw.null_histogram(null * scale, median, outcome.p, unit=unit, shortest_shift=settings.shortest_shift)
        )
    block = outcome.block[rows]
    medians = np.array([np.median(error[block == k]) if np.any(block == k) else np.nan for k in range(settings.folds)])
    chance = float(np.median(null)) * scale if null.size else None
    by_fold = draw.error_by_fold(medians * scale, np.bincount(block, minlength=settings.folds), chance, unit=unit)
    drawn = _of_arena if settings.in_the_open else _of_track
    first, last = drawn(settings, outcome)
    compared = [_comparison(outcome)] if len(outcome.attempts) > 1 else []
    return [*first, *against, *last[:2], by_fold, *last[2:], *compared]


def _of_track(settings: DecodePositionParameters, outcome: Outcome) -> tuple[list[Figure], list[Figure]]:
    """Return figures of the posterior, and those by place."""
    unit, scale, rows = outcome.unit, outcome.scale, outcome.bench.rows
    edges, position = outcome.behaviour.edges, outcome.behaviour.position
    length, true = 100 * scale, position[rows]
    figures = []
    if outcome.attempt.posterior is not None:
        figures.append(
            draw.posterior_heat_map(
                (edges[:-1] + edges[1:]) / 2,
                outcome.attempt.posterior,
                position * scale,
                outcome.bench.as_set.usable,
                unit=unit,
                length=length,
            )
        )
    rates = place_fields(outcome.counts, position, outcome.bench.as_set.usable, outcome.bench.as_set.settings)
    enough = outcome.counts[rows].sum(axis=0) >= max(1, settings.minimum_spikes)
    return figures, [
        draw.confusion(outcome.accuracy.confusion, unit=unit, length=length),
        draw.error_by_place(true * scale, outcome.errors(outcome.attempt) * scale, unit=unit, length=length),
        draw.place_field_map(rates[enough], unit=unit, length=length),
    ]


def _of_arena(_settings: DecodePositionParameters, outcome: Outcome) -> tuple[list[Figure], list[Figure]]:
    """Return figures of path and posterior, and those by place."""
    unit, scale, rows = outcome.unit, outcome.scale, outcome.bench.rows
    edges, position, attempt = outcome.behaviour.edges, outcome.behaviour.position * scale, outcome.attempt
    x, y = outcome.behaviour.sides
    size = (x * scale, y * scale)
    time, moving, visited = (edges[:-1] + edges[1:]) / 2, outcome.bench.as_set.usable, outcome.bench.visited
    figures = []
    if attempt.posterior is not None:
        figures.append(
            open_field.posterior_moments(time, attempt.posterior, position, moving, visited, unit=unit, size=size)
        )
    figures.append(
        open_field.decoded_path(
            time,
            position,
            attempt.position * scale,
            moving,
            visited,
            unit=unit,
            size=size,
            confined=attempt.posterior is not None,
        )
    )
    return figures, [
        open_field.error_map(position[rows], outcome.errors(attempt) * scale, unit=unit, size=size),
        draw.zone_confusion(outcome.accuracy.confusion, (4, 4)),
    ]


def _comparison(outcome: Outcome) -> Figure:
    ranked = sorted(outcome.attempts, key=lambda attempt: outcome.measure(attempt).median)
    return draw.decoder_comparison(
        [attempt.label for attempt in ranked],
        [outcome.errors(attempt) * outcome.scale for attempt in ranked],
        [attempt.seconds for attempt in ranked],
        outcome.block[outcome.bench.rows],
        unit=outcome.unit,
    )
