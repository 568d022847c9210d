"""The formats of recordings that ``analysis.readers`` reads, and the marks by which a file may be one of them.

Read by the catalog (``sessions.formats``) when Django starts: no NumPy, no Django, and nothing here parses a file.
"""

from __future__ import annotations

from pathlib import Path

DESCRIBE = "analysis.readers.describing:describe"

# name: (what people call it, the kinds of recordings that it can hold)
FORMATS = {
    "spikeglx": ("SpikeGLX (.bin and .meta)", "ephys lfp events"),
    "openephys": ("Open Ephys (structure.oebin)", "ephys lfp events"),
    "intan": ("Intan (.rhd, .rhs)", "ephys lfp events"),
    "blackrock": ("Blackrock (.nsx, .nev)", "ephys lfp spikes units events"),
    "plexon": ("Plexon (.plx)", "ephys lfp spikes units events"),
    "axona": ("Axona (.set and .bin)", "ephys lfp spikes units"),
    "axon-abf": ("Axon (.abf)", "ephys lfp events"),
    "3brain": ("3Brain (.brw)", "ephys lfp"),
    "maxwell": ("MaxWell (.raw.h5)", "ephys lfp"),
    "nwb": ("Neurodata Without Borders (.nwb)", "ephys lfp spikes units position events"),
    "phy": ("Phy or Kilosort units", "units spikes"),
    "matclust-mat": ("MatClust units (.mat)", "units spikes"),
    "statmatrix-mat": ("statMatrix of a tetrode (.mat)", "lfp units spikes"),
    "behavmatrix-mat": ("behavMatrix of a session (.mat)", "events position"),
    "matlab-table": ("table of numbers (.mat)", "ephys lfp position events"),
    "odour-triple": ("trials, binned spikes and LFP (three .npy)", "spikes units lfp events"),
    "deeplabcut-csv": ("DeepLabCut tracks (.csv)", "position"),
    "deeplabcut-h5": ("DeepLabCut tracks (.h5)", "position"),
    "sleap-slp": ("SLEAP tracks (.slp)", "position"),
    "sleap-analysis": ("SLEAP analysis (.h5)", "position"),
    "idtracker": ("idTracker or idtracker.ai tracks (.txt, .csv)", "position"),
}

MAGIC = {
    b"\x02\x27\x91\xc6": "intan", b"\xac\x27\x91\xd6": "intan", b"PLEX": "plexon", b"ABF ": "axon-abf",
    b"ABF2": "axon-abf", b"NEURALSG": "blackrock", b"NEURALCD": "blackrock", b"NEURALEV": "blackrock",
    b"BRSMPGRP": "blackrock", b"BREVENTS": "blackrock",
}  # fmt: skip
HDF5 = b"\x89HDF\r\n\x1a\n"
MATLAB = b"MATLAB "
PHY = ("params.py", "spike_times.npy", "spike_clusters.npy")
ODOUR = ("_trial_info.npy", "_spike_data_binned.npy", "_lfp_data_sampled.npy")


def may_be(path: Path, start: bytes) -> bool:
    """Return whether a file, by its first bytes, its name and the names beside it, may be of one of these formats."""
    return (
        start.startswith((*MAGIC, HDF5, MATLAB))
        or is_spikeglx_meta(start)
        or beside(path, ".bin", ".meta")
        or path.name in {"structure.oebin", "settings.xml"}
        or path.suffix.lower() == ".pl2"
        or (path.name == "continuous.dat" and described_by(path) is not None)
        or (path.name in PHY and (path.parent / "spike_times.npy").is_file())
        or len(odour_files(path)) > 1
        or is_deeplabcut(start)
        or is_idtracker(start)
        or is_axona(path, start)
    )


def is_spikeglx_meta(start: bytes) -> bool:
    """Return whether text starts like the metadata of SpikeGLX."""
    return any(word in start for word in (b"acqApLfSy=", b"acqMnMaXaDw=", b"acqXaDwSy=", b"nSavedChans="))


def beside(path: Path, ending: str, other: str) -> bool:
    """Return whether a file has an ending and another of the same name has another."""
    return path.suffix == ending and path.with_suffix(other).is_file()


def described_by(path: Path) -> Path | None:
    """Return the ``structure.oebin`` of Open Ephys above a file, or the only one below its settings; or ``None``."""
    if path.name == "settings.xml":
        below = recordings_below(path)
        return below[0] if len(below) == 1 else None
    return next((one for folder in path.parents[:4] if (one := folder / "structure.oebin").is_file()), None)


def recordings_below(settings: Path) -> list[Path]:
    """Return each ``structure.oebin`` of the recordings that settings of Open Ephys were kept beside."""
    places = ("structure.oebin", "recording*/structure.oebin", "experiment*/recording*/structure.oebin")
    return sorted(found for place in places for found in settings.parent.glob(place))


def odour_files(path: Path) -> dict[str, Path]:
    """Return those of the three files of an odour-sequence laboratory that are there, by their endings."""
    ending = next((ending for ending in ODOUR if path.name.endswith(ending)), None)
    if ending is None:
        return {}
    places = {one: path.with_name(path.name.removesuffix(ending) + one) for one in ODOUR}
    return {one: place for one, place in places.items() if place.is_file()}


def is_deeplabcut(start: bytes) -> bool:
    """Return whether text starts like a table of DeepLabCut."""
    return start.removeprefix(b"\xef\xbb\xbf").startswith(b"scorer,")


def is_idtracker(start: bytes) -> bool:
    """Return whether text starts like a table of idTracker or idtracker.ai."""
    head = start.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].lower()
    names = [name.strip().replace(b"_", b"") for name in head.replace(b"\t", b",").split(b",")]
    return names[:2] == [b"x1", b"y1"] or (names[:1] in ([b"time"], [b"seconds"]) and names[1:3] == [b"x1", b"y1"])


def is_axona(path: Path, start: bytes) -> bool:
    """Return whether a file is the settings or the raw samples of an Axona recording."""
    return (path.suffix == ".set" and b"trial_date" in start[:64]) or (
        start.startswith(b"ADU") and path.with_suffix(".set").is_file()
    )
