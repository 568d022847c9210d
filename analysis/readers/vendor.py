"""Formats of acquisition systems that neo reads: Intan, Blackrock, Plexon, Axona, Axon, 3Brain."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources
from analysis.readers.contents import Contents, Events, Segment, Stream, Units

# The class of neo.rawio, what the format is called, and the endings of files that belong together.
READERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "intan": ("IntanRawIO", "Intan recording", ()),
    "blackrock": ("BlackrockRawIO", "Blackrock recording", (".nev", ".ccf", *(f".ns{n}" for n in range(1, 10)))),
    "plexon": ("PlexonRawIO", "Plexon recording", ()),
    "axona": ("AxonaRawIO", "Axona recording", (".set", ".bin", *(f".{n}" for n in range(1, 33)))),
    "axon-abf": ("AxonRawIO", "Axon recording", ()),
    "3brain": ("BiocamRawIO", "3Brain recording", ()),
}


def open_vendor(recording: InputRecording, path: Path) -> Contents:
    """Return streams, spike trains and events of a recording as its maker's system wrote it."""
    name = recording.format
    class_name, what, endings = READERS[name]
    if name == "3brain":
        sources.check_hdf5(path, what)
    if name == "axona":
        _whole_packets(path.with_suffix(".bin"))
    with _parsing(path, what):
        reader = _reader(class_name, path)
        segments = int(reader.header["nb_segment"][0])
        if int(reader.header["nb_block"]) != 1 or segments < 1:
            raise PipelineError(f"{path.name} holds {segments} recordings in {reader.header['nb_block']} blocks.")
        streams = tuple(_streams(reader, class_name, path, what, segments))
        units = _units(reader, class_name, path, what, segments)
        events = tuple(_events(reader, class_name, path, what, segments))
        about = reader.raw_annotations["blocks"][0]
        start = about.get("rec_datetime") or about["segments"][0].get("rec_datetime")
    if not streams and units is None and not events:
        raise PipelineError(f"{path.name} holds neither samples nor spikes nor events.")
    beside: Iterator[Path] = (path.with_suffix(ending) for ending in endings if path.suffix != ending)
    if path.name in {"info.rhd", "info.rhs"}:
        # Intan's other layouts: a file for each kind of signal or each channel beside the header.
        beside = iter(sorted(path.parent.glob("*.dat")))
    files = (path, *(file for file in beside if file.is_file()))
    notes = [f"It has {segments} segments with gaps between them: sweeps or pauses."] if segments > 1 else []
    return Contents(name, files, streams, units, events, start=start.isoformat() if start else "", notes=tuple(notes))


def _whole_packets(path: Path) -> None:
    """Refuse raw samples of Axona that end within a packet of 432 bytes, as a copy that was cut off does."""
    if path.is_file() and path.stat().st_size % 432:
        raise PipelineError(f"{path.name} breaks off within a packet; it was not copied completely.")


@contextmanager
def _parsing(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into one sentence; its warnings and prints are no news."""
    quiet = logging.getLogger("neo")
    before = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except PipelineError:
        raise
    except Exception as error:
        # The library checks little: on a damaged header it may raise anything at all.
        reason = (str(error).splitlines() or [""])[0][:160] or type(error).__name__
        raise PipelineError(f"The file {path.name} is not a sound {what}: {reason.rstrip('.')}.") from error
    finally:
        quiet.setLevel(before)


def _reader(class_name: str, path: Path) -> Any:
    from neo import rawio

    options: dict[str, dict[str, Any]] = {
        "BlackrockRawIO": {"nsx_to_load": "all"},
        "PlexonRawIO": {"progress_bar": False},
    }
    known = options.get(class_name, {})
    name = str(path.with_suffix("") if class_name == "BlackrockRawIO" else path)
    reader = getattr(rawio, class_name)(filename=name, **known)
    reader.parse_header()
    return reader


def _streams(reader: Any, class_name: str, path: Path, what: str, segments: int) -> Iterator[Stream]:
    header = reader.header["signal_channels"]
    for index in range(reader.signal_streams_count()):
        mine = header[header["stream_id"] == reader.header["signal_streams"][index]["id"]]
        rate = float(reader.get_signal_sampling_rate(stream_index=index))
        pieces = []
        for number in range(segments):
            size = int(reader.get_signal_size(0, number, index))
            first = float(reader.get_signal_t_start(0, number, index))
            if size < 0 or not np.isfinite(first):
                raise PipelineError(f"Segment {number + 1} of {path.name} has {size} samples from {first:g} s on.")
            pieces.append(Segment(first, size))
        if not (np.isfinite(rate) and rate > 0) or not mine.size or not any(piece.n_samples for piece in pieces):
            raise PipelineError(f"A stream of {path.name} has {mine.size} channels at {rate:g} Hz and no samples.")
        # Plexon's gains are of millivolts (SDK, "PL_SlowChannelHeader"); neo leaves the unit open.
        units = tuple("mV" if class_name == "PlexonRawIO" else str(unit) for unit in mine["units"])
        # neo says a gain of one and no unit where the file tells neither.
        known = all(units) and np.isfinite(mine["gain"]).all() and (mine["gain"] != 0).all()
        yield Stream(
            str(reader.header["signal_streams"][index]["name"]),
            tuple(str(name) for name in mine["name"]),
            rate,
            tuple(pieces),
            units,
            _stored(class_name, path, what, index),
            np.asarray(mine["gain"], float) if known else None,
            np.asarray(mine["offset"], float) if known else None,
        )


def _stored(class_name: str, path: Path, what: str, index: int) -> Callable[[int, int, int], NDArray]:
    opened: list[Any] = []

    def stored(segment: int, first: int, last: int) -> NDArray:
        # Opened when the first piece is asked for: a list of what is there holds no file open.
        with _parsing(path, what):
            if not opened:
                opened.append(_reader(class_name, path))
            try:
                return np.array(opened[0].get_analogsignal_chunk(0, segment, first, last, stream_index=index))
            finally:
                # neo would leave Blackrock's files open.
                for file in getattr(opened[0], "_nsx_fids", {}).values():
                    file.close()
                vars(opened[0]).pop("_nsx_fids", None)

    return stored


def _units(reader: Any, class_name: str, path: Path, what: str, segments: int) -> Units | None:
    channels = reader.header["spike_channels"]
    if not channels.size:
        return None
    counts = tuple(
        sum(int(reader.spike_count(0, number, index)) for number in range(segments)) for index in range(channels.size)
    )

    def read() -> list[NDArray[np.floating]]:
        with _parsing(path, what):
            again = _reader(class_name, path)
            return [
                np.concatenate([
                    np.asarray(again.rescale_spike_timestamp(again.get_spike_timestamps(0, number, index)), float)
                    for number in range(segments)
                ])
                for index in range(channels.size)
            ]  # fmt: skip

    names = [str(name) for name in channels["name"]]
    if len(set(names)) < len(names):
        # Units of one channel that share its name.
        names = [str(number) for number in channels["id"]]
    return Units(tuple(names), read, counts)


def _events(reader: Any, class_name: str, path: Path, what: str, segments: int) -> Iterator[Events]:
    for index, channel in enumerate(reader.header["event_channels"]):
        count = sum(int(reader.event_count(0, number, index)) for number in range(segments))

        def read(index: int = index) -> tuple[NDArray[np.floating], tuple[str, ...]]:
            times: list[NDArray] = []
            labels: list[str] = []
            with _parsing(path, what):
                again = _reader(class_name, path)
                for number in range(segments):
                    stamps, _, words = again.get_event_timestamps(0, number, index)
                    times.append(np.asarray(again.rescale_event_timestamp(stamps, event_channel_index=index), float))
                    labels += [str(word) for word in words]
            return np.concatenate(times), tuple(labels)

        yield Events(str(channel["name"]), count, read)
