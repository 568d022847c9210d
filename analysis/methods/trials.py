"""What a box reported, as trials: odours of the sequence task, or laps on a track.

Events are taken in the order of their times, and what cannot have happened is refused. One that is lost shows as
something impossible (a nose that goes in twice, a fourth odour after the second), and is told with its time rather than
made into a trial that never was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

Array = NDArray[np.floating]
What = Literal["poke_in", "odour", "verdict", "poke_out"]
# At one moment a nose is in before an odour comes, and out after all that belongs to the poke.
_ORDER: dict[str, int] = {"poke_in": 0, "odour": 1, "verdict": 2, "poke_out": 3}


class OdourEvent(NamedTuple):
    """Something of the odour-sequence task at a time (s); an odour has a name and its position in the sequence.

    ``in_sequence`` and ``correct`` are None where the event does not say.
    """

    time: float
    what: What
    odour: str = ""
    position: int | None = None
    in_sequence: bool | None = None
    correct: bool | None = None


@dataclass(frozen=True)
class OdourTable:
    """Trials in order, each ``(n,)``: times (s) of the poke, the odour and the nose's leaving; odours by name.

    ``position`` and ``sequence`` count from 1. ``empty_pokes`` are pokes without an odour; ``cut`` says that the last
    trial had not ended with the events, and is left out.
    """

    poke_in: Array
    odour_on: Array
    poke_out: Array
    odour: tuple[str, ...]
    position: NDArray[np.integer]
    sequence: NDArray[np.integer]
    in_sequence: NDArray[np.bool_]
    correct: NDArray[np.bool_]
    empty_pokes: int = 0
    cut: bool = False

    @property
    def held(self) -> Array:
        """Return how long the nose stayed in (s)."""
        return self.poke_out - self.poke_in


@dataclass(frozen=True)
class LapTable:
    """Laps in order, each ``(n,)``: start and end (s), and the direction in words; ``cut`` laps had no end or start."""

    start: Array
    end: Array
    direction: tuple[str, ...]
    cut: int = 0

    @property
    def lasts(self) -> Array:
        """Return how long each lap took (s)."""
        return self.end - self.start


@dataclass
class _Trial:
    poke_in: float
    odour_on: float
    odour: str
    position: int
    in_sequence: bool | None
    poke_out: float | None = None
    correct: bool | None = None


def odour_trials(events: Iterable[OdourEvent], *, order: Sequence[str] = ()) -> OdourTable:
    """Return the trials that events of the odour-sequence task make.

    ``order`` are the odours in their right order; with it, whether an odour was in sequence follows from its position,
    and without it the events have to say. Errors: ``InvalidDataError`` with the time of what cannot have happened: a
    nose that goes in or comes out twice, an odour without a nose or two in one poke, a position that does not follow
    the one before (1 begins a sequence), an odour that contradicts ``order`` or the other sequences, a verdict that
    contradicts another, a trial in the middle without one.
    """
    nose: float | None = None
    seen_a_poke = False
    empty = 0
    found: list[_Trial] = []
    for event in sorted(events, key=lambda event: (event.time, _ORDER[event.what])):
        now = f"{event.time:.3f} s"
        if event.what == "poke_in":
            if nose is not None:
                raise InvalidDataError(f"At {now} the nose goes in, and did not come out since {nose:.3f} s.")
            nose, seen_a_poke = event.time, True
        elif event.what == "odour":
            if nose is None:
                raise InvalidDataError(f"At {now} odour {event.odour} comes, and no nose is in.")
            if found and found[-1].odour_on >= nose:
                raise InvalidDataError(
                    f"At {now} odour {event.odour} comes, and {found[-1].odour} did in the same poke, at "
                    f"{found[-1].odour_on:.3f} s."
                )
            found.append(_begun(event, nose, found[-1] if found else None))
        elif event.what == "poke_out":
            if nose is None and seen_a_poke:
                raise InvalidDataError(f"At {now} the nose comes out, and did not go in.")
            if nose is not None and found and found[-1].odour_on >= nose:
                found[-1].poke_out = event.time
            elif nose is not None:
                empty += 1
            nose, seen_a_poke = None, True
        elif found and event.correct is not None:
            if found[-1].correct not in {None, event.correct}:
                said = ["wrong", "correct"]
                raise InvalidDataError(
                    f"At {now} the trial of {found[-1].odour_on:.3f} s is said to be {said[event.correct]}, after it "
                    f"was said to be {said[not event.correct]}."
                )
            found[-1].correct = event.correct
    return _table(found, order, empty)


def _begun(event: OdourEvent, nose: float, before: _Trial | None) -> _Trial:
    if event.position is None or event.position < 1:
        raise InvalidDataError(f"The odour {event.odour} at {event.time:.3f} s has no position in the sequence.")
    if before is not None and event.position not in {1, before.position + 1}:
        raise InvalidDataError(
            f"At {event.time:.3f} s odour {event.odour} is at position {event.position}, after position "
            f"{before.position} at {before.odour_on:.3f} s: an event is missing between them."
        )
    if before is not None and before.poke_out is None:
        raise InvalidDataError(
            f"At {event.time:.3f} s odour {event.odour} comes, and the poke of {before.poke_in:.3f} s did not end."
        )
    return _Trial(nose, event.time, event.odour, event.position, event.in_sequence)


def _table(found: list[_Trial], order: Sequence[str], empty: int) -> OdourTable:
    # The last trial may not have ended yet.
    cut = bool(found) and (found[-1].poke_out is None or found[-1].correct is None)
    whole = found[:-1] if cut else found
    if not whole:
        raise InvalidDataError("There is no trial: no odour that comes in a poke, with whether it was correct.")
    for trial in whole:
        if trial.correct is None:
            raise InvalidDataError(f"Nothing says whether the trial at {trial.odour_on:.3f} s was correct.")
    in_place = _in_place(whole, order)
    sequence = np.cumsum([number == 0 or trial.position == 1 for number, trial in enumerate(whole)])
    return OdourTable(
        np.array([trial.poke_in for trial in whole]),
        np.array([trial.odour_on for trial in whole]),
        np.array([trial.poke_out for trial in whole], float),
        tuple(trial.odour for trial in whole),
        np.array([trial.position for trial in whole]),
        sequence,
        np.array(in_place, bool),
        np.array([trial.correct for trial in whole], bool),
        empty,
        cut,
    )


def _in_place(trials: list[_Trial], order: Sequence[str]) -> list[bool]:
    """Return whether each odour was at its place, and refuse what contradicts itself."""
    place = dict(enumerate(order, start=1))
    if not order:
        # What most trials in sequence have, so that one that is wrong is the one that is told.
        said = Counter((trial.position, trial.odour) for trial in trials if trial.in_sequence)
        for (position, odour), _ in said.most_common():
            place.setdefault(position, odour)
    told = []
    for trial in trials:
        expected = place.get(trial.position)
        if order and expected is None:
            raise InvalidDataError(
                f"At {trial.odour_on:.3f} s an odour is at position {trial.position}; the order has {len(order)}."
            )
        if trial.in_sequence is None and not order:
            raise InvalidDataError(
                f"Nothing says whether the odour at {trial.odour_on:.3f} s was in sequence: set the right order."
            )
        is_in = trial.odour == expected if trial.in_sequence is None else trial.in_sequence
        if expected is not None and is_in != (trial.odour == expected):
            where = "in" if is_in else "out of"
            raise InvalidDataError(
                f"At {trial.odour_on:.3f} s odour {trial.odour} at position {trial.position} is said to be {where} "
                f"sequence, where {expected} belongs."
            )
        told.append(is_in)
    return told


def laps_between_marks(starts: Sequence[tuple[float, str]], ends: Sequence[tuple[float, str]]) -> LapTable:
    """Return laps from events that say that one starts and that it ends, each ``(time in s, direction or '')``.

    Errors: ``InvalidDataError`` with the time of a start within a lap, of an end outside of one, and of directions that
    contradict each other. An end before the first start, and a start after the last end, are counted as cut.
    """
    marks = sorted([(time, 1, way) for time, way in starts] + [(time, 0, way) for time, way in ends])
    running: tuple[float, str] | None = None
    laps: list[tuple[float, float, str]] = []
    cut = 0
    for time, begins, way in marks:
        if begins:
            if running is not None:
                raise InvalidDataError(f"At {time:.3f} s a lap starts, and the one of {running[0]:.3f} s did not end.")
            running = time, way
        elif running is None:
            if laps or cut:
                raise InvalidDataError(f"At {time:.3f} s a lap ends, and none had started.")
            cut += 1
        else:
            if running[1] and way and way != running[1]:
                raise InvalidDataError(
                    f"The lap of {running[0]:.3f} s starts as {running[1]!r} and ends at {time:.3f} s as {way!r}."
                )
            laps.append((running[0], time, running[1] or way))
            running = None
    return _laps(laps, cut + (running is not None))


def laps_between_ends(visits: Sequence[tuple[float, str]]) -> LapTable:
    """Return laps from visits to the two ends of a track, each ``(time in s, which end)``.

    A lap goes from the last visit at one end to the first at the other. Errors: ``InvalidDataError`` with the time of a
    third end, and when the animal never ran from one to the other.
    """
    visits = sorted(visits)
    names: list[str] = []
    laps = []
    for number, (time, name) in enumerate(visits):
        if name not in names:
            names.append(name)
        if len(names) > 2:
            raise InvalidDataError(
                f"At {time:.3f} s the animal is at {name!r}; the ends were {names[0]!r}, {names[1]!r}."
            )
        if number and visits[number - 1][1] != name:
            laps.append((visits[number - 1][0], time, f"{visits[number - 1][1]} to {name}"))
    return _laps(laps, 0)


def laps_along(time: NDArray[Any], percent: NDArray[Any], *, end: float = 10.0) -> LapTable:
    """Return laps of an animal on a track: ``time`` (s) and ``percent`` of the track ``(n,)``, NaN where not seen.

    A lap goes from when it leaves the outermost ``end`` % to when it reaches those of the other side; the direction is
    'up' or 'down' in percent. Errors: ``InvalidDataError`` when it never does.
    """
    time, percent = np.asarray(time, float), np.asarray(percent, float)
    at = np.flatnonzero((percent <= end) | (percent >= 100 - end))
    side = percent[at] > 50
    turn = np.flatnonzero(side[1:] != side[:-1])
    return _laps(
        [(float(time[at[k]]), float(time[at[k + 1]]), "up" if side[k + 1] else "down") for k in turn.tolist()], 0
    )


def _laps(laps: list[tuple[float, float, str]], cut: int) -> LapTable:
    if not laps:
        raise InvalidDataError("There is no lap from one end of the track to the other.")
    start, end, direction = zip(*laps, strict=True)
    return LapTable(np.array(start), np.array(end), tuple(direction), cut)
