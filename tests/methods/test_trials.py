"""Events become the trials that they tell of, from every kind of file, and what cannot have happened is refused."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import scipy.io

from analysis.methods.errors import InvalidDataError
from analysis.methods.trials import OdourEvent, laps_along, laps_between_ends, laps_between_marks, odour_trials
from analysis.pipelines.base import PipelineError
from analysis.readers.trials import read_laps, read_odours
from tests.methods.acquired import behavmatrix
from tests.methods.conftest import run_laps
from tests.methods.running import recording, run_pipeline

ORDER = "ABCDE"


def session(sequences: int = 30, seed: int = 0) -> list[dict]:
    """Return the trials of a rat that is right in most of them; a sequence ends with its first mistake."""
    rng = np.random.default_rng(seed)
    trials, now = [], 5.0
    for sequence in range(1, sequences + 1):
        for position in range(1, 6):
            now += rng.uniform(2, 4)
            in_place = position == 1 or rng.random() > 0.2
            odour = ORDER[position - 1] if in_place else rng.choice([o for o in ORDER if o != ORDER[position - 1]])
            correct = rng.random() < 0.9
            held = rng.uniform(1.0, 1.4) if in_place == correct else rng.uniform(0.3, 0.9)
            trials.append(
                {"poke_in": now, "odour_on": now + 0.1, "poke_out": now + held, "odour": str(odour),
                 "position": position, "sequence": sequence, "in_sequence": in_place, "correct": correct}
            )  # fmt: skip
            now += held
            if not correct:
                break
    return trials


def events(trials: list[dict]) -> list[OdourEvent]:
    found = []
    for t in trials:
        found += [
            OdourEvent(t["poke_in"], "poke_in"),
            OdourEvent(t["odour_on"], "odour", t["odour"], t["position"], t["in_sequence"]),
            OdourEvent(t["poke_out"], "poke_out"),
            OdourEvent(t["poke_out"], "verdict", correct=t["correct"]),
        ]
    return found


def agrees(table, trials: list[dict], *, within: float = 1e-6) -> None:
    for name in ("poke_in", "odour_on", "poke_out"):
        assert getattr(table, name) == pytest.approx([t[name] for t in trials], abs=within)
    for name in ("odour", "position", "sequence", "in_sequence", "correct"):
        assert list(getattr(table, name)) == [t[name] for t in trials]


def test_events_become_the_trials_that_were_run_in_whatever_order_they_come():
    trials = session()
    given = events(trials)
    np.random.default_rng(1).shuffle(order := np.arange(len(given)))
    for some in (given, [given[place] for place in order]):
        found = odour_trials(some)
        agrees(found, trials)
        assert (found.empty_pokes, found.cut) == (0, False)


def test_pokes_without_an_odour_are_no_trials_and_a_trial_that_has_not_ended_is_told():
    trials = session(5)
    flicker = [OdourEvent(2.0, "poke_in"), OdourEvent(2.2, "poke_out")]
    whole = events(trials)
    found = odour_trials([OdourEvent(0.5, "poke_out"), *flicker, *whole[:-2]])
    agrees(found, trials[:-1])
    assert (found.empty_pokes, found.cut) == (1, True)


def test_what_was_in_sequence_follows_from_the_order_where_events_do_not_say():
    trials = session()
    silent = [event._replace(in_sequence=None) for event in events(trials)]
    agrees(odour_trials(silent, order=ORDER), trials)
    with pytest.raises(InvalidDataError, match="set the right order"):
        odour_trials(silent)


def impossible() -> dict[str, tuple[list[OdourEvent], str]]:
    trials = session(6, seed=3)
    whole = events(trials)
    third = trials[2]
    at = {name: f"{third[name]:.3f} s" for name in ("poke_in", "odour_on", "poke_out")}

    def without(*gone: OdourEvent) -> list[OdourEvent]:
        return [event for event in whole if event not in gone]

    poke_in, odour, poke_out, verdict = whole[8:12]
    other = "E" if third["odour"] != "E" else "A"
    return {
        "lost poke in": (without(poke_in), f"At {at['odour_on']} odour {third['odour']} comes, and no nose is in."),
        "lost poke out": (without(poke_out), f"goes in, and did not come out since {at['poke_in']}"),
        "lost poke in of an empty poke": (without(poke_in, odour), f"At {at['poke_out']} the nose comes out"),
        "lost trial": (without(*whole[8:12]), f"after position 2 at {trials[1]['odour_on']:.3f} s"),
        "lost verdict": (without(verdict), f"whether the trial at {at['odour_on']} was correct"),
        "two odours": ([*whole, odour._replace(time=odour.time + 0.05)], "in the same poke"),
        "contradiction": (
            [*whole, verdict._replace(time=verdict.time + 0.1, correct=not third["correct"])],
            f"the trial of {at['odour_on']} is said to be",
        ),
        "no position": ([e._replace(position=None) if e is odour else e for e in whole], "no position"),
        "other odour": (
            [e._replace(odour=other, in_sequence=True) if e is odour else e for e in whole],
            f"odour {other} at position 3 is said to be in sequence, where",
        ),
        "nothing": ([], "There is no trial"),
    }


@pytest.mark.parametrize("case", impossible())
def test_what_cannot_have_happened_is_refused_with_its_time(case):
    given, reason = impossible()[case]
    with pytest.raises(InvalidDataError) as caught:
        odour_trials(given)
    assert reason in str(caught.value)
    assert str(caught.value).endswith(".")


def controllers_table(path, trials, *, columns: bool = False):
    """Write the events as a controller reports them: what they say in a JSON value, or in columns of their own."""
    rows = []
    for t in trials:
        odour = {name: t[name] for name in ("odour", "position", "in_sequence")}
        rows += [
            (t["poke_in"], "poke_in", {"port": "odour"}),
            (t["odour_on"], "odour", odour),
            (t["poke_out"], "poke_out", {}),
            (t["poke_out"], "trial", {**odour, "correct": t["correct"]}),
            (t["poke_out"] + 0.2, "reward" if t["correct"] else "error_tone", {}),
        ]
    said = ("odour", "position", "in_sequence", "correct")
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("time", "kind", *(said if columns else ("value",))))
        for time, kind, value in rows:
            cells = [value.get(name, "") for name in said] if columns else [json.dumps(value)]
            table.writerow((f"{time:.6f}", kind, *cells))
    return recording("events", "csv", path, clock="recording")


@pytest.mark.parametrize("columns", [False, True])
def test_a_controllers_table_becomes_a_table_of_trials(tmp_path, columns):
    trials = session()
    table = controllers_table(tmp_path / "e.csv", trials, columns=columns)
    output, _ = run_pipeline("events.trials", tmp_path / "out", table)
    (made,) = output.recordings
    assert (made.kind, made.format) == ("events", "csv")
    assert made.parameters == {"table": "odours", "clock": "recording"}
    agrees(read_odours(recording("events", "csv", tmp_path / "out" / made.files[0], **made.parameters)), trials)
    metrics = {name: metric.value for name, metric in output.metrics.items()}
    out = [t for t in trials if not t["in_sequence"]]
    assert metrics["trials"] == len(trials)
    assert metrics["correct_out"] == pytest.approx(100 * np.mean([t["correct"] for t in out]))
    assert [figure.name for figure in output.figures] == ["trials", "accuracy", "pokes"]


def test_a_reward_tells_what_was_correct_where_nothing_says_it(tmp_path):
    trials = session()
    controllers_table(tmp_path / "all.csv", trials)
    lines = [line for line in (tmp_path / "all.csv").read_text().splitlines() if ",trial," not in line]
    (tmp_path / "few.csv").write_text("\n".join(lines))
    output, _ = run_pipeline("events.trials", tmp_path / "out", recording("events", "csv", tmp_path / "few.csv"))
    agrees(read_odours(recording("events", "csv", tmp_path / "out" / "trials.csv", table="odours")), trials)
    assert output.recordings[0].parameters == {"table": "odours"}


def behavmatrix_of(path, trials):
    """Write trials as a ``behavMatrix``: rows of 1 ms, marks at delivery, the verdict at the withdrawal."""
    names = ["TimeBin", *(f"Odor{n}" for n in range(1, 6)), *(f"Position{n}" for n in range(1, 6)),
             "InSeqLog", "PerformanceLog", "PokeEvents", "FrontReward"]  # fmt: skip
    table = np.zeros((round(trials[-1]["poke_out"] * 1000) + 1000, len(names)))
    table[:, 0] = np.arange(len(table)) / 1000
    for t in trials:
        rows = {name: round(t[name] * 1000) for name in ("poke_in", "odour_on", "poke_out")}
        table[rows["odour_on"], 1 + ORDER.index(t["odour"])] = 1
        table[rows["odour_on"], 5 + t["position"]] = 1
        table[rows["odour_on"], 11] = 1 if t["in_sequence"] else -1
        table[rows["poke_out"], 12] = 1 if t["correct"] else -1
        table[rows["poke_in"], 13], table[rows["poke_out"], 13] = 1, -1
    scipy.io.savemat(path, {"behavMatrix": table, "behavMatrixColIDs": np.array(names, object)})
    return recording("events", "behavmatrix-mat", path, time_offset=100.0)


def test_a_behavmatrix_becomes_a_table_of_trials(tmp_path):
    trials = session(10)
    run_pipeline("events.trials", tmp_path / "out", behavmatrix_of(tmp_path / "b.mat", trials))
    found = read_odours(recording("events", "csv", tmp_path / "out" / "trials.csv", table="odours"))
    shifted = [
        t | {"odour": str(ORDER.index(t["odour"]) + 1)}
        | {name: t[name] + 100 for name in ("poke_in", "odour_on", "poke_out")}
        for t in trials
    ]  # fmt: skip
    agrees(found, shifted, within=1e-3)


def test_a_behavmatrix_that_marks_the_verdict_with_the_odour_is_read_as_well(tmp_path):
    run_pipeline("events.trials", tmp_path / "out", recording("events", "behavmatrix-mat", behavmatrix(tmp_path)))
    found = read_odours(recording("events", "csv", tmp_path / "out" / "trials.csv", table="odours"))
    assert found.odour == ("1", "4")
    assert found.position.tolist() == [1, 2]
    assert found.in_sequence.tolist() == [True, False]
    assert found.poke_in == pytest.approx([10.4, 11.4])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("time,kind\n1,lick\n", "neither odour nor lap_start; there is lick"),
        ("time,kind\n1,odour\n", "no event of the kind 'poke_in'"),
        ("time,value\n1,2\n", "needs the columns time and kind"),
        ("time,kind,value\n1,odour,{\n", "row 2 of e.csv is no JSON"),
        ("time,kind\n,odour\n", "Row 2 of e.csv has no time"),
        ("time,kind,odour,position\n1,poke_in,,\n2,odour,A,first\n3,poke_out,,\n", "'first', no whole number"),
        ("time,kind,odour,position,in_sequence\n1,poke_in,,,\n2,odour,A,1,maybe\n3,poke_out,,,\n", "not yes or no"),
    ],
)
def test_a_table_that_says_too_little_is_refused_with_what_is_missing(tmp_path, text, reason):
    (tmp_path / "e.csv").write_text(text)
    with pytest.raises(PipelineError, match=reason):
        run_pipeline("events.trials", tmp_path / "out", recording("events", "csv", tmp_path / "e.csv"))


def test_laps_are_found_from_marks_from_the_ends_of_the_track_and_from_the_animals_path(tmp_path):
    marks = laps_between_marks([(1.0, "east"), (5.0, "west"), (9.0, "")], [(0.5, ""), (3.0, ""), (8.0, "west")])
    assert list(zip(marks.start, marks.end, marks.direction, strict=True)) == [(1, 3, "east"), (5, 8, "west")]
    assert marks.cut == 2
    ends = laps_between_ends([(0.0, "left"), (1.0, "left"), (4.0, "right"), (9.0, "left")])
    assert list(zip(ends.start, ends.end, strict=True)) == [(1, 4), (4, 9)]
    assert ends.direction == ("left to right", "right to left")
    ran = run_laps(duration=300)
    path = laps_along(ran.time, ran.percent)
    assert set(path.direction) == {"up", "down"}
    # There and back in turn, each of at most the eight seconds that it was simulated with.
    assert path.lasts.max() < 8
    assert all(a != b for a, b in zip(path.direction, path.direction[1:], strict=False))
    crossed = np.count_nonzero(np.diff(ran.percent > 50))
    assert path.start.size == pytest.approx(crossed, abs=1)
    np.savez(tmp_path / "p.npz", time=ran.time, x=ran.percent, y=np.zeros(ran.time.size), unit="cm")
    position = recording("position", "position-npz", tmp_path / "p.npz")
    output, _ = run_pipeline("events.trials", tmp_path / "out", position)
    again = read_laps(recording("events", "csv", tmp_path / "out" / "trials.csv", table="laps"))
    assert again.start == pytest.approx(path.start, abs=1e-3)
    assert output.metrics["laps"].value == path.start.size
    assert [figure.name for figure in output.figures] == ["laps", "durations"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: laps_between_marks([(1, ""), (2, "")], [(3, "")]), "At 2.000 s a lap starts, and the one of 1.000 s"),
        (lambda: laps_between_marks([(1, "")], [(3, ""), (4, "")]), "At 4.000 s a lap ends, and none had started"),
        (lambda: laps_between_marks([(1, "a")], [(3, "b")]), "starts as 'a' and ends at 3.000 s as 'b'"),
        (lambda: laps_between_ends([(1, "a"), (2, "b"), (3, "c")]), "At 3.000 s the animal is at 'c'"),
        (lambda: laps_between_ends([(1, "a"), (2, "a")]), "There is no lap"),
        (lambda: laps_along(np.arange(9.0), np.full(9, 50.0)), "There is no lap"),
    ],
)
def test_laps_that_cannot_have_been_run_are_refused(make, reason):
    with pytest.raises(InvalidDataError, match=reason):
        make()


def units_of_pokes(path, trials: list[dict], *, tells: bool, seed: int = 0):
    """Write ten units that fire at 5 Hz and, two for each odour, at 25 Hz while it is smelt."""
    rng = np.random.default_rng(seed)
    end = trials[-1]["poke_out"] + 5
    times, units = [], []
    for unit in range(10):
        own = rng.uniform(0, end, rng.poisson(5 * end))
        times.append(own)
        for t in trials:
            if tells and ORDER.index(t["odour"]) == unit // 2:
                times[-1] = np.concatenate([times[-1], rng.uniform(t["poke_in"], t["poke_out"], rng.poisson(20))])
        units.append(np.full(times[-1].size, unit))
    np.savez(path, spike_times=np.concatenate(times) + 40, spike_units=np.concatenate(units))
    return recording("units", "units-npz", path, start="2026-03-02T11:59:20+00:00", clock="recording")


@pytest.mark.parametrize("tells", [True, False])
def test_labels_are_tested_on_sorted_units_around_the_pokes_of_a_table(tmp_path, tells):
    """Units count from 40 s before the events do; each from the start of its recording."""
    trials = session()
    run_pipeline("events.trials", tmp_path / "made", controllers_table(tmp_path / "e.csv", trials))
    table = recording(
        "events", "csv", tmp_path / "made" / "trials.csv", start="2026-03-02T12:00:00+00:00", table="odours",
        clock="recording",
    )  # fmt: skip
    units = units_of_pokes(tmp_path / "u.npz", trials, tells=tells)
    output, _ = run_pipeline("stats.labels", tmp_path / "out", units, table, permutations=60)
    metrics = {name: metric.value for name, metric in output.metrics.items()}
    right = [t for t in trials if t["correct"] and t["in_sequence"]]
    assert metrics["trials"] == len(right)
    assert metrics["left_out"] == len(trials) - len(right)
    if tells:
        assert metrics["p"] == pytest.approx(1 / 61)
        assert metrics["accuracy"] > 95
    else:
        assert metrics["p"] > 1 / 61
        assert metrics["accuracy"] < 45
    late = recording("units", "units-npz", tmp_path / "u.npz", clock="recording", time_offset=1e5)
    with pytest.raises(PipelineError, match="are both on one clock"):
        run_pipeline("stats.labels", tmp_path / "no", late, table, permutations=5, align="times")
    plain = recording("events", "csv", tmp_path / "e.csv", clock="recording", start=table.start)
    with pytest.raises(PipelineError, match="no table of odours"):
        run_pipeline("stats.labels", tmp_path / "no", units, plain, permutations=5)


def test_position_is_decoded_in_blocks_of_the_laps_given(tmp_path, laps):
    np.savez(tmp_path / "u.npz", spike_times=laps.spike_times, spike_units=laps.spike_units)
    np.savez(tmp_path / "p.npz", time=laps.time, x=laps.percent, y=np.zeros(laps.time.size), unit="cm")
    units = recording("units", "units-npz", tmp_path / "u.npz")
    position = recording("position", "position-npz", tmp_path / "p.npz")
    run_pipeline("events.trials", tmp_path / "made", position)
    table = recording("events", "csv", tmp_path / "made" / "trials.csv", table="laps")
    given, _ = run_pipeline("decode.position", tmp_path / "a", units, position, table, blocks="laps", shifts=0)
    found, _ = run_pipeline("decode.position", tmp_path / "b", units, position, blocks="laps", shifts=0)
    assert given.metrics["laps"].value == found.metrics["laps"].value
    assert given.metrics["median_error"].value == pytest.approx(found.metrics["median_error"].value, abs=0.5)
    few = tmp_path / "few.csv"
    few.write_text("\n".join((tmp_path / "made" / "trials.csv").read_text().splitlines()[:13]) + "\n")
    table = recording("events", "csv", few, table="laps")
    output, _ = run_pipeline("decode.position", tmp_path / "c", units, position, table, blocks="laps", shifts=0)
    assert output.metrics["laps"].value == 12
    for given, reason in (({}, "set blocks to 'laps'"), ({"blocks": "laps", "folds": 13}, "cannot be cut into 13")):
        with pytest.raises(PipelineError, match=reason):
            run_pipeline("decode.position", tmp_path / "no", units, position, table, shifts=0, **given)
