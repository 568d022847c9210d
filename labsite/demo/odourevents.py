"""What the controller of the simulated odour box reports: pokes, odours, trials and rewards, as events of a session."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from labsite.demo.motion import Trial
from labsite.demo.world import World

SOURCE = "odour-controller (simulated)"
REWARD_UL = 20
# So long after the poke the odour has reached the port.
ODOUR_DELAY_SECONDS = 0.1
# Places for the events of one trial in the controller's count.
NUMBERS_PER_TRIAL = 8


def odour_events(world: World, *, since: float, start: float, stop: float) -> Iterator[dict[str, Any]]:
    """Yield the events from ``start`` to before ``stop`` of a session that runs ``since`` then (all Unix time, s).

    The first trial is the first A that begins after that. The controller's ``number`` follows from the time, so that
    events which are sent twice are taken once.
    """
    loop = world.arena.loop_seconds
    first_turn = int(since // loop)
    sequences = max(trial.sequence for trial in world.trials)
    skipped, before = next(
        (
            (index, trial.sequence - 1)
            for index, trial in enumerate(world.trials)
            if trial.position == 1 and first_turn * loop + trial.poke_in >= since
        ),
        (len(world.trials), sequences),
    )
    for turn in range(int(start // loop) - 1, int(stop // loop) + 1):
        for index, trial in enumerate(world.trials):
            if turn < first_turn or (turn == first_turn and index < skipped):
                continue
            count = (turn - first_turn) * len(world.trials) + index - skipped
            sequence = (turn - first_turn) * sequences + trial.sequence - before
            for place, (moment, kind, value) in enumerate(_of_trial(trial, count + 1, sequence)):
                time = turn * loop + moment
                if start <= time < stop:
                    yield {
                        "time": datetime.fromtimestamp(time, UTC),
                        "kind": kind,
                        "value": value,
                        "source": SOURCE,
                        "number": count * NUMBERS_PER_TRIAL + place,
                    }


def _of_trial(trial: Trial, number: int, sequence: int) -> list[tuple[float, str, dict[str, Any]]]:
    odour = {"odour": trial.odour, "position": trial.position, "in_sequence": trial.in_sequence}
    held = round(trial.held, 3)
    told: list[tuple[float, str, dict[str, Any]]] = [
        (trial.poke_in, "poke_in", {"port": "odour"}),
        (trial.poke_in + ODOUR_DELAY_SECONDS, "odour", {**odour, "sequence": sequence}),
        (trial.poke_out, "poke_out", {"port": "odour", "held_s": held}),
        (
            trial.poke_out,
            "trial",
            {"trial": number, "sequence": sequence, **odour, "held_s": held, "correct": trial.correct},
        ),
    ]
    if trial.reward is not None:
        told.append((trial.reward, "reward", {"port": "odour", "volume_ul": REWARD_UL}))
    else:
        told.append((trial.poke_out, "error_tone", {"sequence_ends": True}))
    return told
