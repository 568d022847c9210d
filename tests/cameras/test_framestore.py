"""Frames on disk, torn at any byte."""

from __future__ import annotations

import io
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cameras import frametable
from cameras.framestore import Frame, FrameStore
from cameras.sequences import SequenceSet
from cameras.wire import FrameHeader

RECORDING = UUID(int=7)


def frames(first: int, last: int) -> list[Frame]:
    return [
        Frame(
            FrameHeader(n, 1_000 + n, 64, 48, received_ns=2_000 + n), b"\xff\xd8\xff" + bytes([n % 256]) * (n % 50 + 5)
        )
        for n in range(first, last + 1)
    ]


def pictures(folder: Path) -> dict[int, bytes]:
    table = frametable.read(folder)
    return {int(r["sequence"]): frametable.read_picture(folder, r) for r in table.records}


def wanted(first: int, last: int) -> dict[int, bytes]:
    return {f.header.sequence: bytes(f.picture) for f in frames(first, last)}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_crash_at_any_byte_keeps_what_was_stored_and_goes_on(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / str(uuid4())
    store = FrameStore(folder, RECORDING, segment_bytes=data.draw(st.integers(150, 2000)))
    store.write(frames(1, 20))
    sizes = {path: path.stat().st_size for path in folder.iterdir()}
    store.write(frames(21, 30))
    store.close()
    # Of what was written last, each file has kept some bytes more or less than the first write synced.
    for path in sorted(folder.iterdir()):
        size = data.draw(st.integers(sizes.get(path, 0), path.stat().st_size), label=path.name)
        with path.open("r+b") as file:
            file.truncate(size)
        if data.draw(st.booleans(), label=f"zeros after {path.name}"):
            with path.open("ab") as file:
                file.write(bytes(data.draw(st.integers(1, 200))))
    found = pictures(folder) if (folder / "frames.labt").stat().st_size >= frametable.HEADER_SIZE else {}
    assert wanted(1, 20).items() <= found.items() <= wanted(1, 30).items()
    again = FrameStore(folder, RECORDING, segment_bytes=500)
    assert set(found) == {n for low, high in again.stored for n in range(low, high + 1)}
    again.write(frames(15, 40))
    again.close()
    assert pictures(folder) == wanted(1, 40)
    table = frametable.read(folder)
    assert (table.torn_bytes, table.lost()) == (0, 0)


def test_a_table_says_what_is_lost(tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "r", RECORDING)
    store.write([*frames(5, 9), *frames(13, 14), *frames(3, 3)])
    store.close()
    table = frametable.read(tmp_path / "r")
    assert table.in_order()["sequence"].tolist() == [3, 5, 6, 7, 8, 9, 13, 14]
    assert table.gaps() == [(4, 4), (10, 12)]
    assert table.lost() == 4
    out = io.StringIO()
    frametable.write_csv(table.in_order(), out)
    lines = out.getvalue().splitlines()
    assert len(lines) == 9
    assert lines[2].startswith("5,1005,2005,segment-0001.mjpeg,0,")


def test_a_damaged_picture_is_not_given_out_as_good(tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "r", RECORDING)
    store.write(frames(1, 3))
    store.close()
    segment = tmp_path / "r" / "segment-0001.mjpeg"
    content = bytearray(segment.read_bytes())
    content[3] ^= 1
    segment.write_bytes(bytes(content))
    record = frametable.read(tmp_path / "r").records[0]
    with pytest.raises(frametable.TableError, match="picture 1 at byte 0"):
        frametable.read_picture(tmp_path / "r", record)


def test_a_full_disk_leaves_the_files_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on a file's size is the kernel's own way to refuse bytes in the middle of a write."""
    import resource
    import signal

    store = FrameStore(tmp_path / "r", RECORDING)
    store.write(frames(1, 10))
    before = {path.name: path.read_bytes() for path in (tmp_path / "r").iterdir()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before["segment-0001.mjpeg"]) + 100, limit[1]))
        with pytest.raises(OSError, match="File too large"):
            store.write(frames(11, 30))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert {path.name: path.read_bytes() for path in (tmp_path / "r").iterdir()} == before
    store.write(frames(11, 30))
    store.close()
    assert pictures(tmp_path / "r") == wanted(1, 30)


def test_one_recording_has_one_writer(tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "r", RECORDING)
    with pytest.raises(BlockingIOError):
        FrameStore(tmp_path / "r", RECORDING)
    store.close()
    with pytest.raises(frametable.TableError, match="belongs to recording"):
        FrameStore(tmp_path / "r", UUID(int=8))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 8)), max_size=40))
def test_ranges_are_sets(steps: list[tuple[bool, int, int]]) -> None:
    ranges, plain = SequenceSet(), set[int]()
    for adds, first, more in steps:
        numbers = range(first, first + more + 1)
        if adds:
            ranges.add_range(first, first + more)
            plain.update(numbers)
        else:
            ranges.discard_range(first, first + more)
            plain.difference_update(numbers)
        assert len(ranges) == len(plain)
        assert all((n in ranges) == (n in plain) for n in range(50))
        assert all(last < first for (_, last), (first, _) in zip(list(ranges), list(ranges)[1:], strict=False))
