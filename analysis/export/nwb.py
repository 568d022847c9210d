"""A session as one NWB 2 file: units, positions, LFP and trials, with what the catalog knows of animal and probe.

Numbers are written as they were read; what turns them into the units of NWB (volts, metres) is written beside them, as
NWB does. Long LFP is read and written piece by piece.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# How many metres one of the unit of a position is; positions in px stay in px.
METRES = {"mm": 1e-3, "cm": 1e-2, "m": 1.0}
VOLTS_PER_MICROVOLT = 1e-6
# Steps of time that agree to so many digits after the point are one rate, as nwbinspector counts it.
_RATE_DIGITS = 9
# Columns that a table of trials has already, or knows in its own meaning.
_OF_TRIALS = ("id", "start_time", "stop_time", "outcome", "tags", "tags_index", "timeseries", "timeseries_index")


@dataclass(frozen=True)
class AnimalWords:
    """The animal of a session: ``species`` in Latin, ``age`` as a duration of ISO 8601, such as P90D, or empty."""

    identifier: str
    species: str
    sex: str = "U"
    age: str = ""
    strain: str = ""
    genotype: str = ""
    description: str = ""


@dataclass(frozen=True)
class SessionWords:
    """What a file says of its session; ``start`` has a time zone, and all times of the file count from it (s)."""

    identifier: str
    start: datetime
    description: str
    session: str = ""
    experiment: str = ""
    experimenters: tuple[str, ...] = ()
    institution: str = ""
    keywords: tuple[str, ...] = ()
    protocol: str = ""
    notes: str = ""
    animal: AnimalWords | None = None


@dataclass(frozen=True)
class ExportedUnits:
    """Sorted units: ``trains`` of spike times (s), one per unit, and what the sorter called each.

    ``resolution`` (s) is the step of the clock that the times were read from, if known.
    """

    name: str
    trains: Sequence[NDArray[np.floating]]
    labels: Sequence[str]
    resolution: float | None = None


@dataclass(frozen=True)
class ExportedPosition:
    """Where an animal was: ``time`` ``(n,)`` in s, ascending, and ``xy`` ``(n, 2)`` in ``unit``, NaN where lost."""

    name: str
    time: NDArray[np.floating]
    xy: NDArray[np.floating]
    unit: str


@dataclass(frozen=True)
class ExportedProbe:
    """What an LFP was recorded with; ``positions`` ``(n_channels, 2)`` in um across and along the probe, if known."""

    name: str
    description: str = ""
    location: str = ""
    positions: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class ExportedLfp:
    """LFP: ``read(start, stop)`` gives microvolts ``(stop - start, n_channels)``; ``start`` is the first time (s)."""

    name: str
    read: Callable[[int, int], NDArray[np.float32]]
    n_samples: int
    n_channels: int
    rate: float
    start: float
    probe: ExportedProbe


@dataclass(frozen=True)
class ExportedTrial:
    """A trial from ``start`` to ``stop`` (s), how it ended, and what was measured of it (s; ``None`` where nothing)."""

    start: float
    stop: float
    outcome: str = ""
    measures: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportedSession:
    """All that goes into one file."""

    words: SessionWords
    units: tuple[ExportedUnits, ...] = ()
    positions: tuple[ExportedPosition, ...] = ()
    lfp: tuple[ExportedLfp, ...] = ()
    trials: tuple[ExportedTrial, ...] = ()


def write_nwb(path: Path, session: ExportedSession, progress: Callable[[float], None] = lambda _share: None) -> None:
    """Write the file; ``progress`` hears from 0 to 1 how much of the LFP is written.

    Raises ``ValueError`` for a start without time zone, and ``OSError`` when the disk refuses.
    """
    if session.words.start.tzinfo is None:
        raise ValueError("The start of a session in NWB needs a time zone.")
    with warnings.catch_warnings():
        # What the library's own modules warn of when they are imported is nothing that a user could act on.
        warnings.simplefilter("ignore")
        from pynwb import NWBHDF5IO
    file = _described(session.words)
    _add_units(file, session.units)
    _add_positions(file, session.positions)
    _add_lfp(file, session.lfp, progress)
    _add_trials(file, session.trials)
    with NWBHDF5IO(str(path), "w") as output:
        output.write(file)
    progress(1.0)


def problems(path: Path) -> list[str]:
    """Return where a file breaks the rules of NWB, one sentence each; none for a sound file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pynwb import validate

        return [str(problem) for problem in validate(path=str(path))]


def _described(words: SessionWords) -> Any:
    from pynwb import NWBFile
    from pynwb.file import Subject

    file = NWBFile(
        session_description=words.description,
        identifier=words.identifier,
        session_start_time=words.start,
        session_id=words.session or None,
        experiment_description=words.experiment or None,
        experimenter=list(words.experimenters) or None,
        institution=words.institution or None,
        keywords=list(words.keywords) or None,
        protocol=words.protocol or None,
        notes=words.notes or None,
    )
    if (animal := words.animal) is not None:
        file.subject = Subject(
            subject_id=animal.identifier,
            species=animal.species,
            sex=animal.sex,
            age=animal.age or None,
            strain=animal.strain or None,
            genotype=animal.genotype or None,
            description=animal.description or None,
        )
    return file


def _add_units(file: Any, recordings: Sequence[ExportedUnits]) -> None:
    if not any(units.trains for units in recordings):
        return
    from pynwb.misc import Units

    steps = [units.resolution for units in recordings]
    known = max(step for step in steps if step) if all(steps) else None
    file.units = Units(name="units", description="Sorted units.", resolution=known)
    file.add_unit_column("label", "what the sorter called the unit")
    file.add_unit_column("recording", "the recording of the catalog that the unit is of")
    for units in recordings:
        for train, label in zip(units.trains, units.labels, strict=True):
            file.add_unit(spike_times=np.asarray(train, float), label=label, recording=units.name)


def _add_positions(file: Any, positions: Sequence[ExportedPosition]) -> None:
    if not positions:
        return
    from pynwb.behavior import Position

    container = Position(name="Position")
    for each in positions:
        metres = METRES.get(each.unit)
        container.create_spatial_series(
            name=each.name,
            description=f"Position of the animal, x and y, tracked in {each.unit}; NaN where it was lost.",
            data=np.asarray(each.xy, float),
            unit="meters" if metres is not None else each.unit,
            conversion=metres if metres is not None else 1.0,
            reference_frame="as tracked: the origin is that of the tracker",
            **_times(each.time),
        )
    file.create_processing_module("behavior", "what the animal did").add(container)


def _times(time: NDArray[np.floating]) -> dict[str, Any]:
    """Return times as start and rate where the steps are one, else one by one."""
    steps = np.unique(np.round(np.diff(time), _RATE_DIGITS))
    if time.size > 2 and steps.size == 1 and steps[0] > 0:  # noqa: PLR2004 - two times have no rate yet
        return {"starting_time": float(time[0]), "rate": float((time.size - 1) / (time[-1] - time[0]))}
    return {"timestamps": np.asarray(time, float)}


def _add_lfp(file: Any, recordings: Sequence[ExportedLfp], progress: Callable[[float], None]) -> None:
    if not recordings:
        return
    from pynwb.ecephys import LFP

    # In the file before it is filled: its rows of the electrode table have to be of this file.
    container = LFP(name="LFP")
    file.create_processing_module("ecephys", "extracellular electrophysiology").add(container)
    total, before = sum(lfp.n_samples for lfp in recordings), 0
    for lfp in recordings:
        region = _electrodes(file, lfp, placed=any(each.probe.positions is not None for each in recordings))

        def heard(done: int, before: int = before) -> None:
            progress((before + done) / total)

        container.create_electrical_series(
            name=lfp.name,
            description="Local field potential.",
            data=_pieces(lfp, heard),
            electrodes=region,
            starting_time=float(lfp.start),
            rate=float(lfp.rate),
            conversion=VOLTS_PER_MICROVOLT,
        )
        before += lfp.n_samples


def _electrodes(file: Any, lfp: ExportedLfp, *, placed: bool) -> Any:
    """Add the probe of an LFP with an electrode for each channel; return the rows of the table.

    The table has places where those of any probe are known (``placed``).
    """
    probe, location = lfp.probe, lfp.probe.location or "unknown"
    called = _allowed(probe.name)
    device = file.devices.get(called) or file.create_device(called, probe.description or probe.name)
    group = file.create_electrode_group(
        name=lfp.name, description=probe.description or f"channels of {probe.name}", location=location, device=device
    )
    known = file.electrodes is not None
    first = len(file.electrodes) if known else 0
    if not known:
        file.add_electrode_column("channel", "which channel of the recording it is, from 0")
    for channel in range(lfp.n_channels):
        x, y = (float(value) for value in probe.positions[channel]) if probe.positions is not None else (np.nan, np.nan)
        place = {"rel_x": x, "rel_y": y} if placed else {}
        file.add_electrode(group=group, location=location, channel=channel, **place)
    return file.create_electrode_table_region(list(range(first, first + lfp.n_channels)), f"all channels of {lfp.name}")


def _allowed(name: str) -> str:
    """Return a name as HDF5 takes it, in which a slash or a colon would lead to another place."""
    return name.replace("/", "-").replace(":", "-")


def _columns(measures: Sequence[str]) -> dict[str, str]:
    """Return the column of each measure: its name, told apart from those that NWB keeps for itself and from others."""
    columns: dict[str, str] = {}
    for measure in measures:
        name, number = _allowed(measure), 1
        while name in (*_OF_TRIALS, *columns.values()):
            number += 1
            name = f"{_allowed(measure)} {number}"
        columns[measure] = name
    return columns


def _pieces(lfp: ExportedLfp, heard: Callable[[int], None]) -> Any:
    """Return the samples as what writes an array without ever holding more than a piece of it."""
    from hdmf.backends.hdf5.h5_utils import H5DataIO
    from hdmf.data_utils import GenericDataChunkIterator

    class Samples(GenericDataChunkIterator):
        def _get_data(self, selection: tuple[slice, ...]) -> NDArray[np.float32]:
            heard(selection[0].stop)
            return lfp.read(selection[0].start, selection[0].stop)[:, selection[1]]

        def _get_maxshape(self) -> tuple[int, int]:
            return lfp.n_samples, lfp.n_channels

        def _get_dtype(self) -> np.dtype:
            return np.dtype("f4")

    return H5DataIO(Samples(buffer_gb=0.06), compression="gzip", compression_opts=4)


def _add_trials(file: Any, trials: Sequence[ExportedTrial]) -> None:
    if not trials:
        return
    measures = list(dict.fromkeys(name for trial in trials for name in trial.measures))
    file.add_trial_column("outcome", "how the trial ended, by the rule of the task; empty where it says nothing")
    columns = _columns(measures)
    for name, column in columns.items():
        file.add_trial_column(column, f"{name}, s from the start of the trial; NaN where there was none")
    for trial in trials:
        values = {column: trial.measures.get(name) for name, column in columns.items()}
        file.add_trial(
            start_time=trial.start,
            stop_time=trial.stop,
            outcome=trial.outcome,
            **{name: np.nan if value is None else float(value) for name, value in values.items()},
        )
