"""``export.nwb``: the recordings of a session, with what the catalog knows of it, as one NWB file."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime, Field

from analysis.pipelines.base import Input, InputRecording, Metric, Output, Parameters, Pipeline, PipelineError, Run
from analysis.pipelines.clocks import Align, on_reference, shift_between

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.export.nwb import ExportedLfp, ExportedPosition, ExportedProbe, ExportedUnits

# A session has a few of each; more are a mistake in choosing.
MOST_OF_A_KIND = 20
FILE = "session.nwb"
PRIVATE: dict[str, Any] = {"private": True}


class ExportedAnimal(Parameters):
    """The animal of the session, as NWB describes a subject."""

    identifier: str = Field(min_length=1, max_length=64)
    species: str = Field(pattern=r"^[A-Z][a-z]+ [a-z]+", description="In Latin, such as Rattus norvegicus.")
    sex: str = Field("U", pattern="^[MFUO]$")
    age: str = Field("", pattern=r"^(P\d+D)?$", description="At the session, such as P90D.")
    strain: str = ""
    genotype: str = ""
    description: str = ""


class ExportedProbeParameters(Parameters):
    """What a recording of LFP was made with."""

    recording: str = Field(description="Id of the recording of LFP.")
    name: str = Field(min_length=1)
    description: str = ""
    location: str = Field("", description="Region of the brain.")
    positions: list[tuple[float, float]] | None = Field(None, description="Of each channel, um across and along.")


class TrialParameters(Parameters):
    """A trial, seconds from ``session_start``."""

    start: float
    stop: float
    outcome: str = ""
    measures: dict[str, float | None] = Field(default_factory=dict)


class ExportNwbParameters(Parameters):
    """What the file says beside the recordings; the button of a session's page fills it from the catalog.

    What may name people, animals and sessions is private: a result that is shared shows nothing of it.
    """

    session_start: AwareDatetime | None = Field(
        None,
        description="When the session began, with its time zone; the earliest recording's start when empty.",
        json_schema_extra=PRIVATE,
    )
    identifier: str = Field(
        "",
        description="What tells this session from all others; made of the recordings if empty.",
        json_schema_extra=PRIVATE,
    )
    description: str = Field(
        "A session of the laboratory.",
        min_length=1,
        description="What was done in the session.",
        json_schema_extra=PRIVATE,
    )
    session: str = Field("", description="What the laboratory calls the session.", json_schema_extra=PRIVATE)
    experiment: str = Field("", description="What the study is about.", json_schema_extra=PRIVATE)
    experimenters: list[str] = Field([], description="Each as Last, First.", json_schema_extra=PRIVATE)
    institution: str = Field("", description="Where it was done.", json_schema_extra=PRIVATE)
    keywords: list[str] = Field([], description="For who looks for such data.", json_schema_extra=PRIVATE)
    protocol: str = Field("", description="The task.", json_schema_extra=PRIVATE)
    notes: str = Field("", description="What else a reader must know.", json_schema_extra=PRIVATE)
    animal: ExportedAnimal | None = Field(None, description="The animal.", json_schema_extra=PRIVATE)
    probes: list[ExportedProbeParameters] = Field(
        [], description="What LFP was recorded with.", json_schema_extra=PRIVATE
    )
    trials: list[TrialParameters] = Field(
        [], description="Trials, s from the session's start.", json_schema_extra=PRIVATE
    )
    align: Align = Field(
        "auto",
        description="Whether recordings are on one clock (times) or count from their own start (starts); auto takes"
        " what they say.",
    )


class ExportNwb(Pipeline):
    """Recordings were written to one NWB file with times from the start of the session."""

    name = "export.nwb"
    version = "1.1.0"
    summary = "Writes units, positions and LFP of a session with its animal, probe and trials as an NWB 2 file."
    inputs = (
        Input(("units", "spikes"), "Sorted units.", 0, MOST_OF_A_KIND),
        Input(("position",), "Positions.", 0, MOST_OF_A_KIND),
        Input(("lfp",), "LFP.", 0, MOST_OF_A_KIND),
    )
    parameters = ExportNwbParameters

    def run(self, run: Run) -> Output:
        """Write and check the file; ``PipelineError`` names the recording that cannot be read or placed in time."""
        from analysis.export.nwb import ExportedSession, problems, write_nwb

        clock = _Clock(run)
        names = _names(run.recordings)
        session = ExportedSession(
            words=_words(run, clock),
            units=tuple(_units(each, names[each.id], clock) for each in run.of_kind("units", "spikes")),
            positions=tuple(_position(run, each, names[each.id], clock) for each in run.of_kind("position")),
            lfp=tuple(_lfp(run, each, names[each.id], clock) for each in run.of_kind("lfp")),
            trials=_trials(run.parameters, clock),
        )
        if left_out := len(run.parameters.trials) - len(session.trials):
            run.log(f"{left_out} trials are left out: the clock of the recordings does not count from their starts.")
        run.progress(0.1, "writing")
        write_nwb(run.folder / FILE, session, lambda share: run.progress(0.1 + 0.8 * share, "writing"))
        run.progress(0.92, "checking the file")
        if wrong := problems(run.folder / FILE):
            raise PipelineError(f"The file would break the rules of NWB: {wrong[0]}.")
        return _output(run, session)


class _Clock:
    """From the times of a recording to seconds since the session's start."""

    def __init__(self, run: Run) -> None:
        settings: ExportNwbParameters = run.parameters
        self._align = settings.align
        # As they are once fits of the catalog are gone by.
        placed = [on_reference(recording, self._align)[1] for recording in run.recordings]
        for recording in placed[1:]:
            # Raises where one counts from its start and another does not say.
            shift_between(recording, placed[0], self._align)
        self.from_start = self._align == "starts" or (
            self._align == "auto" and placed[0].parameters.get("clock") == "recording"
        )
        starts = [datetime.fromisoformat(each.start) for each in placed if each.start is not None]
        if self.from_start and len(starts) < len(placed):
            missing = next(each for each in placed if each.start is None)
            raise PipelineError(f"The recording {missing.label or missing.id} has no start in the catalog.")
        stated = settings.session_start
        if stated is None and not starts:
            raise PipelineError("Set session_start: neither it nor a recording says when the session began.")
        self._stated = stated
        # What was recorded before the session was opened must not have negative times.
        self.zero = min([*starts, *([stated] if stated else [])]) if self.from_start else stated or min(starts)

    def times(self, recording: InputRecording, times: NDArray[Any]) -> NDArray[np.floating]:
        """Return a recording's times (s) as seconds from the zero of the file."""
        line, placed = on_reference(recording, self._align)
        return (times if line is None else line.of(times)) + self._shift(placed)

    def series(self, recording: InputRecording, start: float, rate: float) -> tuple[float, float]:
        """Return start (s) and rate (Hz) of even samples on the clock of the file."""
        import numpy as np

        line, placed = on_reference(recording, self._align)
        if line is None:
            return start + self._shift(placed), rate
        return float(line.of(np.asarray(start))) + self._shift(placed), rate / (1 + line.drift)

    def _shift(self, recording: InputRecording) -> float:
        if not self.from_start or recording.start is None:
            return 0.0
        return (datetime.fromisoformat(recording.start) - self.zero).total_seconds()

    @property
    def of_session(self) -> float:
        """Return the seconds from the zero of the file to the session's start."""
        return (self._stated - self.zero).total_seconds() if self._stated else 0.0


_OTHER_CLOCK = "Times are on the clock that the recordings share; its zero need not be the start of the session."


def _words(run: Run, clock: _Clock) -> Any:
    from analysis.export.nwb import AnimalWords, SessionWords

    settings: ExportNwbParameters = run.parameters
    animal = settings.animal
    return SessionWords(
        identifier=settings.identifier or "-".join(recording.id for recording in run.recordings),
        start=clock.zero,
        description=settings.description,
        session=settings.session,
        experiment=settings.experiment,
        experimenters=tuple(settings.experimenters),
        institution=settings.institution,
        keywords=tuple(settings.keywords),
        protocol=settings.protocol,
        notes=settings.notes if clock.from_start else f"{settings.notes} {_OTHER_CLOCK}".strip(),
        animal=None if animal is None else AnimalWords(**animal.model_dump()),
    )


def _names(recordings: tuple[InputRecording, ...]) -> dict[str, str]:
    """Return a name for each recording by its id, as people know it, told apart by numbers; without slashes."""
    names: dict[str, str] = {}
    for recording in recordings:
        wanted = (recording.label.partition(" (")[0] or recording.kind).replace("/", "-").replace(":", "-")
        number, name = 1, wanted
        while name in names.values():
            number += 1
            name = f"{wanted} {number}"
        names[recording.id] = name
    return names


def _units(recording: InputRecording, name: str, clock: _Clock) -> ExportedUnits:
    import numpy as np

    from analysis.export.nwb import ExportedUnits
    from analysis.readers import read_spikes

    spikes = read_spikes(recording)
    times = clock.times(recording, spikes.times)
    trains = [times[spikes.units == unit] for unit in range(len(spikes.labels))]
    stated = recording.rate or recording.parameters.get("clockrate")
    resolution = 1 / float(stated) if stated else None
    return ExportedUnits(name, [np.sort(train) for train in trains], spikes.labels, resolution)


def _position(run: Run, recording: InputRecording, name: str, clock: _Clock) -> ExportedPosition:
    from analysis.export.nwb import ExportedPosition
    from analysis.readers import read_position

    found = read_position(recording)
    kept = _ascending(found.time)
    if left_out := int((~kept).sum()):
        run.log(
            f"{name}: {left_out:,} of {kept.size:,} samples have a time that is not after the one before; left out."
        )
    return ExportedPosition(name, clock.times(recording, found.time[kept]), found.xy[kept], found.unit)


def _ascending(time: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which samples come after all before them: the first of those with one stamp."""
    import numpy as np

    latest = np.maximum.accumulate(np.where(np.isnan(time), -np.inf, time))
    return np.concatenate([[np.isfinite(time[0])], (time[1:] > latest[:-1])])


def _lfp(run: Run, recording: InputRecording, name: str, clock: _Clock) -> ExportedLfp:
    from analysis.export.nwb import ExportedLfp
    from analysis.readers import open_signal

    signal = open_signal(recording)
    start, rate = clock.series(recording, signal.start, signal.rate)
    return ExportedLfp(
        name,
        signal.read,
        signal.n_samples,
        signal.n_channels,
        rate,
        start,
        _probe(run, recording, name, signal.n_channels),
    )


def _probe(run: Run, recording: InputRecording, name: str, n_channels: int) -> ExportedProbe:
    import numpy as np

    from analysis.export.nwb import ExportedProbe
    from analysis.readers.probe import read_positions

    settings: ExportNwbParameters = run.parameters
    stated = next((probe for probe in settings.probes if probe.recording == recording.id), None)
    positions = read_positions(recording, n_channels)
    if stated is None:
        return ExportedProbe(f"probe of {name}", positions=positions)
    if positions is None and stated.positions is not None:
        positions = np.array(stated.positions, float)
        if len(positions) != n_channels:
            raise PipelineError(
                f"The probe of {name} has {len(positions)} positions; the recording has {n_channels} channels."
            )
    return ExportedProbe(stated.name, stated.description, stated.location, positions)


def _trials(settings: ExportNwbParameters, clock: _Clock) -> Any:
    from analysis.export.nwb import ExportedTrial

    if not clock.from_start:
        # Those are on the laboratory's clock, and what lies between it and that of the recordings is not known.
        return ()
    shift = clock.of_session
    ordered = sorted(settings.trials, key=lambda trial: trial.start)
    return tuple(ExportedTrial(t.start + shift, t.stop + shift, t.outcome, t.measures) for t in ordered)


def _output(run: Run, session: Any) -> Output:
    units = sum(len(each.trains) for each in session.units)
    spikes = sum(len(train) for each in session.units for train in each.trains)
    channels = sum(lfp.n_channels for lfp in session.lfp)
    size = (run.folder / FILE).stat().st_size
    metrics = {
        "units": Metric(units, "units", "units", "sorted units in the file", headline=True),
        "spikes": Metric(spikes, "spikes", "spikes"),
        "positions": Metric(
            sum(each.time.size for each in session.positions), "samples", "positions", "of all tracks", headline=True
        ),
        "lfp_channels": Metric(channels, "channels", "LFP channels", headline=True),
        "trials": Metric(len(session.trials), "trials", "trials", headline=True),
    }
    run.log(f"{FILE}: {size:,} bytes, {units} units, {len(session.positions)} tracks, {channels} channels of LFP.")
    animal = session.words.animal
    of = f" of {animal.identifier}" if animal else ""
    return Output(
        metrics,
        artifacts=[FILE],
        summary=f"An NWB file{of} with {units} units, {channels} channels of LFP and {len(session.trials)} trials.",
    )
