"""``spikes.fields``: where each unit fires, and whether its spikes tell the place more than shifted ones do."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from analysis.pipelines import clocks
from analysis.pipelines.base import Input, InputRecording, Metric, Output, Parameters, Pipeline, PipelineError, Run
from analysis.pipelines.unit_choice import WHICH_UNITS, WhichUnits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.methods.place_fields import Places, UnitFields

_TO_CM = {"mm": 0.1, "cm": 1.0, "m": 100.0}
DIRECTIONS = ("forth", "back")
# A line must explain so much of the animal's movement to be taken as a track.
_LINE = 0.9


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class SpikesFieldsParameters(Parameters):
    """The defaults are those of a running rat."""

    space: Literal["auto", "track", "open"] = Field(
        "auto",
        description=(
            "'track': along a line, each running direction by itself. 'open': in two dimensions. 'auto': a track where "
            "one line explains 90 % of the movement."
        ),
    )
    epoch_start: float | None = _quantity(None, "s", "Start of the time mapped; the first position when empty.")
    epoch_stop: float | None = _quantity(None, "s", "End of the time mapped; the last position when empty.")
    bin: float = _quantity(0.05, "s", "Step of the time bins.", ge=0.005, le=1)
    place_bins: int = _quantity(50, "bins", "Bins along a track, or along the longer side.", ge=5, le=150)
    smoothing: float = _quantity(1.5, "place bins", "Sigma of the Gaussian over spikes and time.", ge=0, le=20)
    least_time: float = _quantity(0.1, "s", "Places visited for less stay unknown.", ge=0, le=60)
    position_smoothing: float = _quantity(0.1, "s", "Sigma of the Gaussian over tracked positions.", ge=0, le=5)
    speed_threshold: float = _quantity(5.0, "speed_unit", "Only faster time is mapped.", gt=0)
    speed_unit: Literal["%/s", "cm/s"] = Field(
        "%/s", description="Unit of the speed threshold; % is of the track, or of the longer side."
    )
    length: float | None = _quantity(
        None, "cm", "Length of the track or of the longer side of the animal's range; gives places in cm.", gt=0
    )
    longest_gap: float = _quantity(0.5, "s", "Longer gaps between positions are left out, not bridged.", gt=0)
    which_units: WhichUnits = Field("all", description=WHICH_UNITS)
    least_spikes: int = _quantity(50, "spikes", "Units with fewer while the animal runs are left out.", ge=2)
    field_share: float = _quantity(0.5, "", "A field reaches as far as this share of its peak.", gt=0, lt=1)
    shifts: int = _quantity(
        1000, "shifts", "Circular shifts of each unit's spikes along the running time; 0 for none.", ge=0, le=10_000
    )
    shortest_shift: float = _quantity(20.0, "s", "Least distance of a shift from none.", ge=20, le=3600)
    alpha: float = _quantity(0.01, "", "A place cell has a p below this.", gt=0, lt=1)
    least_information: float = _quantity(
        0.25,
        "bits/spike",
        "A place cell has at least this; an interneuron that is slightly slower in one place has a small p, too.",
        ge=0,
        le=20,
    )
    align: clocks.Align = Field(
        "auto",
        description=(
            "'times': spikes and positions are on one clock. 'starts': each counts from the start of its own "
            "recording, which the catalog knows. 'auto': what the recordings say with their parameter 'clock'."
        ),
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        start, stop = self.epoch_start, self.epoch_stop
        if start is not None and stop is not None and stop <= start:
            raise ValueError("epoch_stop must be after epoch_start")
        if self.shifts > 0 and 1 / (1 + self.shifts) >= self.alpha:
            raise ValueError(f"{self.shifts} shifts cannot give a p below alpha ({self.alpha:g}): use more, or 0")
        return self


class SpikesFields(Pipeline):
    """Rate maps by running direction or in two dimensions; Skaggs information against circular shifts of spikes."""

    name = "spikes.fields"
    version = "1.0.0"
    summary = "Maps where each unit fires, and says which are place cells: information against shifted spikes."
    inputs = (
        Input(("units",), "Sorted units: spike times of every unit."),
        Input(("position",), "Tracked positions on the same clock."),
    )
    parameters = SpikesFieldsParameters

    def methods(self, parameters: SpikesFieldsParameters) -> str:
        """Return how maps were made and tested."""
        whose = "units labelled good" if parameters.which_units == "good" else "units"
        unit = "cm/s" if parameters.speed_unit == "cm/s" else "% of the track or of the longer side per second"
        where = {
            "track": f"in {parameters.place_bins} bins along the track, each running direction by itself",
            "open": f"in squares of which {parameters.place_bins} lie along the longer side",
            "auto": f"in {parameters.place_bins} bins along the track, each running direction by itself, or, where no "
            f"line explained {_LINE:.0%} of the movement, in squares of which {parameters.place_bins} lie along the "
            "longer side",
        }
        said = [
            (
                f"Rate maps of {whose} with at least {parameters.least_spikes} spikes were computed "
                f"{where[parameters.space]}, of time in which the animal moved faster than "
                f"{parameters.speed_threshold:g} {unit}: spikes and time were smoothed by a Gaussian with a standard "
                f"deviation of {parameters.smoothing:g} place bins and divided; places visited for less than "
                f"{parameters.least_time:g} s stayed unknown."
            ),
        ]
        if parameters.shifts:
            said.append(
                "Spatial information (Skaggs et al. 1993) was compared with that of "
                f"{parameters.shifts} circular shifts of each unit's spikes along the running time by at least "
                f"{parameters.shortest_shift:g} s, p = (1 + k) / (1 + n); a place cell has p below "
                f"{parameters.alpha:g} and at least {parameters.least_information:g} bits per spike."
            )
        said.append(f"A field reaches as far as {parameters.field_share:.0%} of its peak.")
        return " ".join(said)

    def run(self, run: Run) -> Output:
        """Map; ``PipelineError`` when the recordings do not overlap, nobody runs or no unit has enough spikes."""
        from analysis.methods.errors import InvalidDataError

        try:
            return _map(run)
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


@dataclass(frozen=True)
class Ground:
    """What the animal did. ``places`` of its running bins; ``running`` ``(n_bins,)`` numbers them, -1 for the others.

    ``edges`` (s) ``(n_bins + 1,)``; ``path`` ``(n_bins, 1)`` or ``(n_bins, 2)`` in ``unit``, from the least of each;
    ``extent`` is the longer side.
    """

    places: Places
    running: NDArray[np.int64]
    edges: NDArray[np.floating]
    path: NDArray[np.floating]
    unit: str
    extent: float

    @property
    def is_track(self) -> bool:
        """Whether places lie along a line."""
        return len(self.places.shape) == 2


def _map(run: Run) -> Output:
    import numpy as np

    from analysis.methods import place_fields
    from analysis.readers import read_spikes

    settings: SpikesFieldsParameters = run.parameters
    units, position = _one(run, "units"), _one(run, "position")
    run.progress(0.02, "reading positions and spikes")
    ground = _ground(run, position)
    trains = read_spikes(units)
    times = clocks.on_clock_of(position, units, trains.times, settings.align)
    inside = (times >= ground.edges[0]) & (times < ground.edges[-1])
    if not inside.any():
        raise PipelineError(
            f"No spike lies between {ground.edges[0]:.2f} and {ground.edges[-1]:.2f} s, where there are positions; "
            f"spikes go from {times[0]:.2f} to {times[-1]:.2f} s: are both on one clock?"
        )
    bins = ground.running[np.minimum(np.searchsorted(ground.edges, times, "right") - 1, ground.running.size - 1)]
    mapped = inside & (bins >= 0)
    by_unit = [bins[mapped & (trains.units == unit)] for unit in range(len(trains.labels))]
    kept = [unit for unit, mine in enumerate(by_unit) if mine.size >= settings.least_spikes]
    if not kept:
        raise PipelineError(f"No unit has {settings.least_spikes} spikes while the animal runs.")
    if len(kept) < len(by_unit):
        run.log(
            f"{len(by_unit) - len(kept)} units have fewer than {settings.least_spikes} spikes while the animal runs "
            "and are left out."
        )
    found = place_fields.map_units(
        ground.places,
        [by_unit[unit] for unit in kept],
        shifts=settings.shifts,
        shortest_shift=settings.shortest_shift,
        share=settings.field_share,
        rng=np.random.default_rng(run.seed),
        report=lambda share: run.progress(0.1 + 0.8 * share, "shifting spikes"),
    )
    spikes = [(times[mapped & (trains.units == unit)], by_unit[unit]) for unit in kept]
    return _output(run, ground, [trains.labels[unit] for unit in kept], found, spikes)


def _one(run: Run, kind: str) -> InputRecording:
    found = run.of_kind(kind)
    if len(found) != 1:
        raise PipelineError(f"Place fields need one recording of {kind}, not {len(found)}.")
    return found[0]


def _ground(run: Run, recording: InputRecording) -> Ground:
    """Read where the animal was, and put its running time on places."""
    import numpy as np

    from analysis.methods import place_fields, position, spikes
    from analysis.readers import read_position

    settings: SpikesFieldsParameters = run.parameters
    tracked = read_position(recording)
    first = -np.inf if settings.epoch_start is None else settings.epoch_start
    last = np.inf if settings.epoch_stop is None else settings.epoch_stop
    inside = (tracked.time >= first) & (tracked.time <= last)
    if np.count_nonzero(inside) < 2:
        raise PipelineError(f"There are no positions between {first:.2f} and {last:.2f} s.")
    clean = position.clean_position(tracked.time[inside], tracked.xy[inside], zeros_are_missing=tracked.unit == "px")
    along = position.linearise(clean.xy)
    track = settings.space == "track" or (settings.space == "auto" and along.variance >= _LINE)
    run.log(
        f"{along.variance:.0%} of the movement is along one line: mapped "
        + ("along a track, by running direction." if track else "in two dimensions.")
    )
    values = along.percent[:, None] if track else clean.xy - np.nanmin(clean.xy, axis=0)
    measured = along.length if track else float(np.nanmax(values))
    # Whatever the positions are in: cm where that is known, else % of the track or of the longer side.
    cm = settings.length or (measured * _TO_CM[tracked.unit] if tracked.unit in _TO_CM else None)
    extent, unit = (cm, "cm") if cm else (100.0, "%")
    values = values * (extent / (100.0 if track else measured))
    threshold = settings.speed_threshold
    if settings.speed_unit == "cm/s" and not cm:
        raise PipelineError("The speed threshold is in cm/s, but positions are in px: set length (cm).")
    if settings.speed_unit == "%/s":
        threshold = threshold / 100 * extent
    edges = spikes.time_edges(float(clean.time[0]), float(clean.time[-1]), settings.bin)
    binned = position.bin_position(
        clean.time, values, edges, smoothing=settings.position_smoothing, longest_gap=settings.longest_gap
    )
    path = binned.position
    # Speed is NaN where the animal was not seen, and then not above anything.
    runs = np.isfinite(path).all(axis=1) & (np.nan_to_num(binned.speed) > threshold)
    running = np.where(runs, np.cumsum(runs) - 1, -1)
    common = {"seconds": settings.bin, "smoothing": settings.smoothing, "least": settings.least_time}
    if track:
        forward = (np.gradient(path[:, 0]) > 0)[runs]
        places = place_fields.on_track(
            path[runs, 0] / extent * 100, bins=settings.place_bins, length=extent, forward=forward, **common
        )
    else:
        if not runs.any():
            raise PipelineError("In no time bin does the animal run, so there is nothing to map.")
        path = path - path[runs].min(axis=0)
        places = place_fields.in_the_open(path[runs], size=extent / settings.place_bins, **common)
    run.log(f"The animal runs faster than {threshold:.3g} {unit}/s for {runs.sum() * settings.bin:.0f} s.")
    return Ground(places, running, edges, path, unit, extent)


def _output(
    run: Run,
    ground: Ground,
    labels: list[str],
    found: list[UnitFields],
    spikes: list[tuple[NDArray[np.floating], NDArray[np.int64]]],
) -> Output:
    import numpy as np

    from analysis.figures import place_fields as draw

    settings: SpikesFieldsParameters = run.parameters
    bits = np.array([one.information.bits for one in found])
    tuned = np.array([one.information.p < settings.alpha for one in found])
    is_cell = tuned & (bits >= settings.least_information)
    _tables(run, ground, labels, found, is_cell)
    run.progress(0.93, "drawing")
    tested = bool(settings.shifts)
    figures = [
        draw.track_maps(found, ground.places.size, ground.unit)
        if ground.is_track
        else draw.open_maps(found, ground.places.size, ground.unit, labels),
        draw.spikes_on_path(ground.edges, ground.path, spikes, labels, bits, unit=ground.unit),
        *([draw.information(found, is_cell, tuned)] if tested else []),
        draw.stable(found, is_cell, tested=tested),
        draw.occupancy(ground.places, ground.unit),
    ]
    widths = [
        one.fields[int(np.nanargmax([field.peak for field in one.fields]))].width
        for one, cell in zip(found, is_cell, strict=True)
        if (cell or not tested) and any(np.isfinite(field.peak) for field in one.fields)
    ]
    whose = "place cells" if tested else "units"
    mine = is_cell if tested else np.ones(len(found), bool)
    steady = [one.stability for one, its in zip(found, mine, strict=True) if its and np.isfinite(one.stability)]
    told = [value for value, its in zip(bits, mine, strict=True) if its and np.isfinite(value)]
    test = (
        f"at least {settings.least_information:g} bits/spike and p below {settings.alpha:g} by {settings.shifts} "
        f"circular shifts of at least {settings.shortest_shift:g} s along the running time; by chance "
        f"{settings.alpha * len(found):.2g} of {len(found)}"
    )
    metrics = {
        **(
            {"place_cells": Metric(int(is_cell.sum()), "units", "place cells", test, headline=True)} if tested else {}
        ),
        "information": Metric(
            float(np.median(told)) if told else None, "bits/spike", "spatial information",
            f"median over {len(told)} {whose}"
            + ("; what the place tells when the direction is known" if ground.is_track else ""), headline=True,
        ),
        "stability": Metric(
            float(np.median(steady)) if steady else None, "", "stability",
            f"median over {whose} of the correlation between the maps of both halves", headline=True,
        ),
        "width": Metric(
            float(np.median(widths)) if widths else None, ground.unit if ground.is_track else f"{ground.unit}²",
            "field width" if ground.is_track else "field area",
            f"median over {whose} of the main field, above {settings.field_share:.0%} of its peak", headline=True,
        ),
        **(
            {"tuned": Metric(int(tuned.sum()), "units", "units above chance", f"p below {settings.alpha:g}")}
            if tested
            else {}
        ),
        "units": Metric(
            len(found), "units", "units", f"with {settings.least_spikes} spikes or more while the animal runs"
        ),
        "running_time": Metric(
            float(ground.places.cell.size * settings.bin), "s", "running time",
            f"faster than {settings.speed_threshold:g} {settings.speed_unit}",
        ),
        "visited": Metric(
            float(ground.places.visited.mean() * 100), "%", "places visited", f"for {settings.least_time:g} s or more"
        ),
    }  # fmt: skip
    run.progress(1.0, "done")
    counted = (
        f"{int(is_cell.sum())} of {len(found)} units are place cells." if tested else f"{len(found)} units mapped."
    )
    return Output(metrics, figures, ["units.csv", "maps.npz"], [], counted)


def _tables(run: Run, ground: Ground, labels: list[str], found: list[UnitFields], is_cell: NDArray[np.bool_]) -> None:
    """Write one row a unit and group, and the maps."""
    import numpy as np

    where = ("at",) if ground.is_track else ("at_x", "at_y")
    unit = "percent" if ground.unit == "%" else ground.unit
    area = f"width_{unit}" if ground.is_track else f"area_{unit}2"
    with (run.folder / "units.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            ("unit", "direction", "spikes", "rate_Hz", "place_cell", "information_bits_per_spike", "p", "stability",
             "direction_information_bits_per_spike", "peak_Hz", *(f"{name}_{unit}" for name in where), area)
        )  # fmt: skip
        for label, one, cell in zip(labels, found, is_cell, strict=True):
            for group, field in enumerate(one.fields):
                tested = one.information
                numbers = (
                    tested.bits,
                    tested.p,
                    one.stability,
                    tested.by_group[group],
                    field.peak,
                    *field.at,
                    field.width,
                )
                table.writerow(
                    [label, DIRECTIONS[group] if ground.is_track else "", one.spikes, f"{one.rate:.6g}",
                     int(cell), *("" if np.isnan(value) else f"{value:.6g}" for value in numbers)]
                )  # fmt: skip
    np.savez_compressed(
        run.folder / "maps.npz",
        rates_Hz=np.stack([one.rates for one in found]).astype(np.float32),
        occupancy_s=ground.places.occupancy.astype(np.float32),
        visited=ground.places.visited,
        unit_labels=np.array(labels),
        place_bin=ground.places.size,
        place_unit=ground.unit,
    )
