"""SpikeGLX: samples in a ``.bin`` file, what they mean in the ``.meta`` file beside it.

Source: the SpikeGLX metadata guides (``Metadata_30.html``, ``Metadata_20.html`` and older).
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources
from analysis.readers.contents import Contents, Probe, table_stream

LONGEST_META = 4 << 20
# Probes of the second generation have one fixed gain, those of the first say it for every channel.
_FIXED_GAIN = {"21": 80, "24": 80, "2003": 100, "2004": 100, "2013": 100, "2014": 100, "2020": 100, "2021": 100}


def files_of(path: Path) -> tuple[Path, Path]:
    """Return the ``.meta`` and the ``.bin`` file of a recording of which one is given."""
    return path.with_suffix(".meta"), path.with_suffix(".bin")


def open_spikeglx(_recording: InputRecording, path: Path) -> Contents:
    """Return the streams (voltages, and the digital words beside them) and the probe of a recording."""
    meta_path, bin_path = files_of(path)
    meta = read_meta(meta_path)
    kind = meta.get("typeThis", "")
    if kind not in {"imec", "nidq", "obx"}:
        raise PipelineError(f"{meta_path.name} is of the kind {kind!r}; imec, nidq and obx are known.")
    saved = _whole(meta, "nSavedChans", meta_path)
    rate = _number(meta, {"imec": "imSampRate", "nidq": "niSampRate", "obx": "obSampRate"}[kind], meta_path)
    size = _whole(meta, "fileSizeBytes", meta_path)
    samples, rest = divmod(size, 2 * saved)
    if rest or not samples:
        raise PipelineError(f"{meta_path.name} says {size:,} bytes, which {saved} channels of 16 bits do not divide.")
    told = float(meta.get("fileTimeSecs", "nan") or "nan")
    if np.isfinite(told) and abs(told - samples / rate) > 1.0:
        raise PipelineError(
            f"{meta_path.name} contradicts itself: fileTimeSecs is {told:g}, but {samples:,} samples last "
            f"{samples / rate:g} s."
        )
    notes = []
    present = bin_path.exists()
    if not present:
        notes.append(f"The samples, {bin_path.name}, are not beside {meta_path.name}; they cannot be read.")
    elif (found := bin_path.stat().st_size) != size:
        raise PipelineError(
            f"{meta_path.name} says that {bin_path.name} has {size:,} bytes; it has {found:,}: it was not copied "
            "completely, or is of another recording."
        )

    def table() -> NDArray:
        if not bin_path.exists():
            raise PipelineError(f"The samples, {bin_path.name}, are not beside {meta_path.name}.")
        return np.memmap(bin_path, dtype="<i2", mode="r", shape=(samples, saved))

    voltages, names, gains = _channels(meta, kind, saved, meta_path)
    stem, shape = _stream_name(meta_path.stem, kind), (samples, voltages)
    streams = [
        table_stream(
            stem, lambda: table()[:, :voltages], shape, rate, channels=names[:voltages], units="uV", gain=gains
        )
    ]
    if voltages < saved:
        # The words of digital lines and of the synchronisation: steps of one, without a unit.
        rest_of = (samples, saved - voltages)
        streams.append(
            table_stream(
                f"{stem} digital", lambda: table()[:, voltages:], rest_of, rate, channels=names[voltages:], gain=1.0
            )
        )
    files = (meta_path, bin_path) if present else (meta_path,)
    probe = _probe(meta_path, voltages, notes) if kind == "imec" else None
    return Contents(
        "spikeglx", files, tuple(streams), probe=probe, start=meta.get("fileCreateTime", ""), notes=tuple(notes)
    )


def read_meta(path: Path) -> dict[str, str]:
    """Return the fields of a ``.meta`` file as text; the ``~`` before tables is left out of their names."""
    sources.sound_file(path)
    with sources.damage(path, "SpikeGLX .meta file", OSError):
        text = path.read_bytes()[:LONGEST_META].decode("latin-1")
    fields = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, found, value = line.partition("=")
        if not line.strip():
            continue
        if not found or not re.fullmatch(r"~?\w+", name.strip()):
            raise PipelineError(f"Line {number} of {path.name} is no 'name=value': {line[:60]!r}.")
        fields[name.strip().lstrip("~")] = value.strip()
    return fields


def _stream_name(stem: str, kind: str) -> str:
    found = re.search(r"(imec\d*|obx\d*|nidq)(\.(ap|lf|obx))?$", stem)
    return found.group(0) if found else kind


def _channels(meta: dict[str, str], kind: str, saved: int, path: Path) -> tuple[int, list[str], NDArray | None]:
    """Return how many voltages come first, the names of all channels, and the gains (uV per step) of the voltages."""
    gains: NDArray | None
    if kind == "nidq":
        counts = _counts(meta, "snsMnMaXaDw", path, 4)
        analog = sum(counts[:3])
        labels = [
            f"{word}{k}"
            for word, n in zip(("MN", "MA", "XA", "XD"), counts, strict=True)
            for k in range(_bounded(n, saved, path))
        ]
        step = _number(meta, "niAiRangeMax", path) / float(meta.get("niMaxInt") or 32768) * 1e6
        each = [_number(meta, "niMNGain", path)] * counts[0] + [_number(meta, "niMAGain", path)] * counts[1]
        gains = np.array([step / gain for gain in each] + [step] * counts[2])
    elif kind == "obx":
        counts = _counts(meta, "snsXaDwSy", path, 3)
        analog = counts[0]
        labels = [
            f"{word}{k}"
            for word, n in zip(("XA", "XD", "SY"), counts, strict=True)
            for k in range(_bounded(n, saved, path))
        ]
        gains = np.full(analog, _number(meta, "obAiRangeMax", path) / float(meta.get("obMaxInt") or 32768) * 1e6)
    else:
        counts = _counts(meta, "snsApLfSy", path, 3)
        analog = counts[0] + counts[1]
        labels, gains = _imec(meta, counts, saved, path)
    if sum(counts) != saved:
        raise PipelineError(f"{path.name} contradicts itself: {saved} saved channels, {sum(counts)} by kinds.")
    if not analog:
        raise PipelineError(f"{path.name} has no channel of voltage.")
    return analog, labels, gains


def _imec(meta: dict[str, str], counts: list[int], saved: int, path: Path) -> tuple[list[str], NDArray | None]:
    n_ap, n_lf, n_sync = (_bounded(n, saved, path) for n in counts)
    acquired = _counts(meta, "acqApLfSy", path, 3) if "acqApLfSy" in meta else [384, 384, 1]
    numbers = _saved_numbers(meta, saved, path)
    ap = [n for n in numbers if n < acquired[0]]
    lf = [n - acquired[0] for n in numbers if acquired[0] <= n < acquired[0] + acquired[1]]
    if len(ap) != n_ap or len(lf) != n_lf:
        ap, lf = list(range(n_ap)), list(range(n_lf))
    labels = [f"AP{n}" for n in ap] + [f"LF{n}" for n in lf] + [f"SY{n}" for n in range(n_sync)]
    gains = _imec_gains(meta, ap, lf, path)
    if gains is None:
        return labels, None
    if not (np.isfinite(gains).all() and (gains > 0).all()):
        raise PipelineError(f"{path.name} has a gain of zero or less.")
    step = _number(meta, "imAiRangeMax", path) / float(meta.get("imMaxInt") or 512) * 1e6
    return labels, step / gains


def _imec_gains(meta: dict[str, str], ap: list[int], lf: list[int], path: Path) -> NDArray | None:
    """Return the amplification of each channel, or ``None`` where the metadata do not say it."""
    if "imChan0apGain" in meta and (not lf or "imChan0lfGain" in meta):
        return np.array(
            [_number(meta, "imChan0apGain", path)] * len(ap)
            + ([_number(meta, "imChan0lfGain", path)] * len(lf) if lf else [])
        )
    kind = meta.get("imDatPrb_type", "0")
    if kind in _FIXED_GAIN:
        return np.full(len(ap), float(_FIXED_GAIN[kind])) if not lf else None
    table = re.findall(r"\(([^()]*)\)", meta.get("imroTbl", ""))
    if kind == "1110" and table:
        head = table[0].split(",")
        if len(head) >= 5:
            return np.array([float(head[3])] * len(ap) + [float(head[4])] * len(lf))
        return None
    rows = [row.split() for row in table[1:]]
    if not rows or any(len(row) < 5 for row in rows) or max([*ap, *lf], default=0) >= len(rows):
        return None
    return np.array([float(rows[n][3]) for n in ap] + [float(rows[n][4]) for n in lf])


def _saved_numbers(meta: dict[str, str], saved: int, path: Path) -> list[int]:
    text = meta.get("snsSaveChanSubset", "all")
    if text == "all" or not text:
        return list(range(saved))
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        if not first.isdigit() or (last and not last.isdigit()):
            raise PipelineError(f"{path.name} has a list of saved channels that cannot be read: {part[:40]!r}.")
        stop = int(last or first) + 1
        _bounded(stop - int(first), saved, path)
        numbers += range(int(first), stop)
    return numbers


def _probe(path: Path, channels: int, notes: list[str]) -> Probe | None:
    from probeinterface import read_spikeglx

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read_spikeglx(path)
        positions = np.asarray(found.contact_positions, float)
        order = found.device_channel_indices
    except Exception as error:  # noqa: BLE001
        # A probe that the library does not know, or a damaged table of it: the samples can be read all the same.
        notes.append(f"The probe cannot be placed: {sources.first_line(error, longest=120)}.")
        return None
    if order is not None and len(order) == len(positions):
        positions = positions[np.argsort(order)]
    if len(positions) != channels:
        notes.append(f"The probe has {len(positions)} contacts for {channels} channels.")
    about = found.annotations
    return Probe(
        " ".join(str(about.get(name, "")) for name in ("manufacturer", "model_name")).strip(),
        positions,
        int(found.get_shank_count()),
        str(found.serial_number or ""),
    )


def _bounded(n: int, saved: int, path: Path) -> int:
    if not 0 <= n <= saved:
        raise PipelineError(f"{path.name} names {n} channels of a kind; {saved} were saved.")
    return n


def _counts(meta: dict[str, str], name: str, path: Path, length: int) -> list[int]:
    parts = meta.get(name, "").split(",")
    if len(parts) != length or not all(part.strip().isdigit() for part in parts):
        raise PipelineError(f"{path.name} should say {name} as {length} numbers, not {meta.get(name, '')[:40]!r}.")
    return [int(part) for part in parts]


def _number(meta: dict[str, str], name: str, path: Path) -> float:
    try:
        number = float(meta[name])
    except (KeyError, ValueError):
        number = float("nan")
    if not (np.isfinite(number) and number > 0):
        raise PipelineError(f"{path.name} should say {name} as a number above zero, not {meta.get(name, '')[:40]!r}.")
    return number


def _whole(meta: dict[str, str], name: str, path: Path) -> int:
    number = _number(meta, name, path)
    if number != int(number) or number > 1e16:
        raise PipelineError(f"{path.name} should say {name} as a whole number, not {meta[name][:40]!r}.")
    return int(number)
