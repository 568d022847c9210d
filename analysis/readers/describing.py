"""What a file is, told by its content, and what its header says: for whoever registers it. Run in a process of its own.

``describe`` is called by the catalog through ``sessions.isolation``: a file that crashes its parser, or never lets it
end, harms a child process with bounded time and memory and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis import marks
from analysis.pipelines.base import InputFile, InputRecording, PipelineError
from analysis.readers import matlab, sources
from analysis.readers.opening import open_recording

# What a recording of a kind has to hold to be one.
NEEDED = {
    "ephys": "streams", "lfp": "streams", "units": "units", "spikes": "units", "position": "tracks",
}  # fmt: skip
CALLED = {"streams": "samples", "units": "units", "tracks": "position or track"}


def describe(path: str, stated: str | None, kind: str | None, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``format``, ``facts`` and ``files`` (all that belong to the recording), or ``error``: a sentence."""
    place = Path(path)
    try:
        name = recognise(place)
        if name is None:
            return {"error": _unknown(place)}
        if stated is not None and stated != name and not {stated, name} <= _MATLAB:
            return {"error": f"it is said to be {stated}, but its content is {name}"}
        name = stated or name
        file = InputFile(place, place.stat().st_size)
        contents = open_recording(InputRecording("", kind or "other", name, (file,), dict(parameters)))
    except PipelineError as error:
        return {"error": str(error).rstrip(".")}
    facts = contents.facts()
    needed = NEEDED.get(kind or "")
    if needed and not _holds(needed, name, facts):
        return {"error": f"it holds no {CALLED[needed]}, so it is no recording of {kind}"}
    return {"format": name, "facts": facts, "files": [str(file) for file in contents.files]}


_MATLAB = {"matclust-mat", "matlab-table", "statmatrix-mat", "behavmatrix-mat"}


_OPEN_EPHYS = {"structure.oebin", "continuous.dat", "settings.xml"}


def _holds(needed: str, name: str, facts: Mapping[str, Any]) -> bool:
    # A plain table of MATLAB, or a series of NWB, may be anything that people say it is.
    return needed in facts or name == "matlab-table" or (name == "nwb" and needed == "tracks" and "streams" in facts)


def recognise(path: Path) -> str | None:
    """Return the format that a file's content, with the files beside it, says; ``None`` when it is none known here."""
    with path.open("rb") as stream:
        start = stream.read(4096)
    for mark, name in marks.MAGIC.items():
        if start.startswith(mark):
            return name
    if start.startswith(marks.MATLAB):
        return matlab.kind_of(matlab.variables(path))
    if start.startswith(marks.HDF5):
        return _hdf5(path)
    for name, told in (
        ("spikeglx", marks.is_spikeglx_meta(start) or _is_of_meta(path)),
        ("openephys", path.name in _OPEN_EPHYS and marks.described_by(path) is not None),
        ("phy", path.name in marks.PHY),
        ("odour-triple", len(marks.odour_files(path)) > 1),
        ("deeplabcut-csv", marks.is_deeplabcut(start)),
        ("idtracker", marks.is_idtracker(start)),
        ("axona", marks.is_axona(path, start)),
    ):
        if told:
            return name
    return None


def _hdf5(path: Path) -> str | None:
    with sources.hdf5(path, "HDF5 file") as file:
        names = set(file)
        if "nwb_version" in file.attrs or "specifications" in names:
            return "nwb"
    for needed, name in (
        ({"data_store", "wells"}, "maxwell"), ({"3BData"}, "3brain"), ({"df_with_missing"}, "deeplabcut-h5"),
        ({"frames", "instances", "points"}, "sleap-slp"), ({"tracks", "node_names", "track_names"}, "sleap-analysis"),
    ):  # fmt: skip
        if needed <= names:
            return name
    return None


def _is_of_meta(path: Path) -> bool:
    if not marks.beside(path, ".bin", ".meta"):
        return False
    with path.with_suffix(".meta").open("rb") as stream:
        return marks.is_spikeglx_meta(stream.read(4096))


def _unknown(path: Path) -> str:
    if path.name == "settings.xml":
        below = len(marks.recordings_below(path))
        which = f"one of {below} recordings below it" if below else "the recording"
        return f"it holds the settings of Open Ephys; register the structure.oebin of {which}"
    if path.suffix.lower() == ".pl2":
        return "Plexon .pl2 is read only by Plexon's own library; export it as .plx"
    with path.open("rb") as stream:
        return f"it is in no format that is known here (its first bytes are {stream.read(8)!r})"
