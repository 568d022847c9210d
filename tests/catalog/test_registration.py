"""Registering files: what is recognised, what is refused and why, and that nothing is half-written."""

# ruff: noqa: PLR0917 - a test takes the fixtures it needs
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sessions import formats, services
from sessions.data_roots import path_of
from sessions.errors import Conflict, Forbidden, Invalid, LabError, NotFound
from sessions.models import DataFile, DataRoot, Recording
from sessions.services import files as file_services
from sessions.tasks import hash_file, sweep_unhashed

pytestmark = pytest.mark.django_db
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not beside this checkout")
API = "/api/v1/recordings/"


def register(lab, path, kind="lfp", by="experimenter", **more):
    return services.register_recording(
        by=getattr(lab, by), session=lab.session, kind=kind, files=[{"root": "default", "path": path}], **more
    )


def test_a_file_is_registered_where_it_lies_with_hash_and_facts(lab, put, settings):
    path = put("day1/lfp.npy")
    recording = register(lab, path, parameters={"rate": 1000})
    file = recording.files.get()
    content = (Path(settings.LAB_DATA_ROOT) / path).read_bytes()
    assert (recording.format, recording.rate, recording.channels, recording.duration) == ("npy", 1000, 1, 1.0)
    assert (file.path, file.size, file.sha256) == (path, len(content), hashlib.sha256(content).hexdigest())
    assert path_of(file).read_bytes() == content


@shared
@pytest.mark.parametrize(
    ("file", "kind", "file_format", "fact"),
    [
        ("nelpy_linear_track/linear-track/spikes.mat", "units", "matclust-mat", ("variables", None)),
        (
            "nelpy_linear_track/linear-track/trajectory.videoPositionTracking", "position", "trodes-position",
            ("samples", 118965),
        ),
        ("tracktor_mouse/mouse_video.mp4", "video", "video", ("frames", 10000)),
        ("pynapple_nwb/A8604-211122.nwb", "units", "nwb", ("units", 3)),
    ],
)  # fmt: skip
def test_real_files_are_recognised(lab, file, kind, file_format, fact):
    found = next(SHARED.glob(f"**/{Path(file).name}"))
    DataRoot.objects.create(name="shared", path=str(SHARED))
    recording = services.register_recording(
        by=lab.experimenter, session=lab.session, kind=kind,
        files=[{"root": "shared", "path": str(found.relative_to(SHARED))}],
    )  # fmt: skip
    assert recording.format == file_format
    assert fact[0] in recording.facts
    assert fact[1] is None or recording.facts[fact[0]] == fact[1]


def test_npz_are_told_apart_by_their_arrays(tmp_path):
    for name, arrays in {
        "units-npz": {"spike_times": np.arange(5.0), "spike_units": np.arange(5)},
        "position-npz": {"time": np.arange(5.0), "x": np.arange(5.0), "y": np.arange(5.0)},
        "lfp-npz": {"lfp": np.zeros((10, 2)), "rate": 1250.0},
    }.items():
        np.savez(tmp_path / "f.npz", **arrays)
        assert formats.recognise(tmp_path / "f.npz").format == name
    np.savez(tmp_path / "f.npz", something=np.arange(3))
    with pytest.raises(formats.FormatError, match=r"f\.npz is in no format"):
        formats.recognise(tmp_path / "f.npz")
    with pytest.raises(formats.FormatError, match="no array spike_times, spike_units"):
        formats.check(tmp_path / "f.npz", "units-npz")


def test_objects_are_never_unpickled(tmp_path):
    path = tmp_path / "trap.npy"
    np.save(path, np.array([{"a": 1}], dtype=object))
    with pytest.raises(formats.FormatError, match="Python objects"):
        formats.recognise(path)


REFUSED = [
    ("../outside.npy", "climbs out"),
    ("/etc/passwd", "absolute"),
    ("day1/../../outside.npy", "climbs out"),
    ("day1\\lfp.npy", "backslash"),
    ("", "empty"),
    (".", "names the data root itself"),
    ("day1", "not a regular file"),
    ("day1/missing.npy", "is not there"),
    ("day1/empty.npy", "is empty"),
    ("day1/lfp.npy/x", "day1/lfp.npy/x"),
    ("x" * 2000, "longer than"),
    ("link-out.npy", "through a link"),
    ("linked-folder/secret.npy", "through a link"),
    ("pipe", "not a regular file"),
    ("loop", "cannot be read"),
    ("day1/\ud800.npy", "is not text"),
    ("day1/notes.xyz", "in no format that is known"),
]


@pytest.mark.parametrize(("path", "reason"), REFUSED)
def test_a_path_that_cannot_be_is_refused_and_nothing_is_written(lab, put, settings, tmp_path, path, reason):
    root = Path(settings.LAB_DATA_ROOT)
    put("day1/lfp.npy")
    put("day1/empty.npy", b"")
    put("day1/notes.xyz", b"\x01\x02\x03")
    outside = tmp_path / "outside"
    outside.mkdir()
    np.save(outside / "secret.npy", np.arange(3))
    (root / "link-out.npy").symlink_to(outside / "secret.npy")
    (root / "linked-folder").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")
    with pytest.raises(Invalid, match=reason) as refused:
        register(lab, path)
    assert list(refused.value.errors) == ["files[0]"]
    assert not Recording.objects.exists()
    assert not DataFile.objects.exists()


def test_a_link_within_the_root_is_followed(lab, put, settings):
    put("day1/lfp.npy")
    (Path(settings.LAB_DATA_ROOT) / "newest.npy").symlink_to("day1/lfp.npy")
    assert register(lab, "newest.npy").files.get().path == "newest.npy"


def test_what_contradicts_itself_is_refused(lab, put):
    with pytest.raises(Invalid, match="said to be nwb, but its content is NumPy array"):
        register(lab, put("a.npy"), format="nwb")
    with pytest.raises(Invalid, match="does not hold video"):
        register(lab, put("b.npy"), kind="video")
    with pytest.raises(Invalid, match="no kind of recording"):
        register(lab, put("b.npy"), kind="smell")
    with pytest.raises(Invalid, match="state channels, rate, dtype"):
        register(lab, put("c.dat", b"\1" * 640), kind="ephys")
    with pytest.raises(Invalid, match="do not divide into 7 channels"):
        register(
            lab, put("c.dat", b"\1" * 640), kind="ephys", parameters={"channels": 7, "rate": 30000, "dtype": "int16"}
        )
    raw = register(lab, "c.dat", kind="ephys", parameters={"channels": 4, "rate": 80, "dtype": "int16"})
    assert (raw.format, raw.channels, raw.rate, raw.duration) == ("raw-binary", 4, 80, 1.0)
    with pytest.raises(Invalid, match="rate is -1"):
        register(lab, put("d.npy"), rate=-1)
    with pytest.raises(Invalid, match="cannot be kept as JSON"):
        register(lab, put("d.npy"), parameters={"gain": float("nan")})


def test_the_same_file_is_registered_once_and_a_change_is_a_revision(lab, put):
    path = put("day1/lfp.npy")
    file = register(lab, path).files.get()
    with pytest.raises(Conflict, match=f"already registered, as a file of recording {file.recording_id}"):
        register(lab, path)
    with pytest.raises(Conflict, match="did not change"):
        services.register_file_revision(by=lab.experimenter, file=file)
    put(path, b"\x93NUMPY changed")
    with pytest.raises(Conflict, match="changed on the disk"):
        path_of(file)
    second = services.register_file_revision(by=lab.experimenter, file=file)
    assert (second.revision, second.recording_id, second.size) == (2, file.recording_id, 14)
    file.refresh_from_db()
    assert file.revision == 1


def test_large_files_are_hashed_by_a_worker_and_found_by_the_sweep(lab, put, monkeypatch):
    monkeypatch.setattr(file_services, "SMALL_FILE_BYTES", 10)
    file = register(lab, put()).files.get()
    assert file.sha256 == ""
    assert sweep_unhashed() == 0
    DataFile.objects.filter(pk=file.pk).update(created="2020-01-01T00:00:00Z")
    assert sweep_unhashed() == 1
    hash_file.run(str(file.pk))
    file.refresh_from_db()
    assert file.sha256 == hashlib.sha256(path_of(file).read_bytes()).hexdigest()
    assert sweep_unhashed() == 0


def test_who_may_register(lab, put):
    path = put()
    with pytest.raises(Forbidden):
        register(lab, path, by="viewer")
    with pytest.raises(NotFound):
        register(lab, path, by="outsider")
    assert register(lab, path, by="manager").pk


def test_a_recording_is_opened_and_completed(lab, put):
    opened = services.open_recording(
        by=lab.experimenter, session=lab.session, kind="video", format="mjpeg-segments", name="top"
    )
    assert opened.files.count() == 0
    put("v/segment-1.mjpeg", b"\xff\xd8\xff\xe0 picture")
    put("v/frames.labt", b"LABT table")
    services.complete_recording(
        by=lab.experimenter, recording=opened, duration=2.0, facts={"frames": 60},
        files=[{"path": "v/segment-1.mjpeg", "role": "segment"}, {"path": "v/frames.labt", "role": "frames"}],
    )  # fmt: skip
    opened.refresh_from_db()
    assert (opened.duration, opened.facts, opened.files.count()) == (2.0, {"frames": 60}, 2)


def test_damaged_archives_are_refused_with_the_file_name(lab, put, tmp_path):
    archive = tmp_path / "a.npz"
    np.savez(archive, spike_times=np.arange(50.0), spike_units=np.arange(50))
    content = archive.read_bytes()
    for cut in (4, 30, len(content) // 2, len(content) - 10):
        put("cut.npz", content[:cut])
        with pytest.raises(Invalid, match=r"cut\.npz"):
            register(lab, "cut.npz", kind="units")
    with zipfile.ZipFile(archive, "w") as empty:
        empty.writestr("readme.txt", "no array")
    put("none.npz", archive.read_bytes())
    with pytest.raises(Invalid, match=r"none\.npz"):
        register(lab, "none.npz", kind="units")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "session": JSON,
        "kind": st.sampled_from(["lfp", "units", "video"]) | JSON,
        "files": st.lists(
            st.fixed_dictionaries({}, optional={"path": st.text(max_size=30) | JSON, "root": JSON, "role": JSON}),
            max_size=3,
        )
        | JSON,
        "format": st.sampled_from(sorted(formats.FORMATS)) | JSON,
        "parameters": JSON,
        "rate": JSON,
        "channels": JSON,
        "duration": JSON,
        "start": JSON,
        "name": JSON,
        "facts": JSON,
        "derived_from": JSON,
        "simulated": JSON,
    },
)


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(body=BODIES, real_session=st.booleans())
def test_no_body_makes_the_server_fail(lab, api, put, body, real_session):
    put("day1/lfp.npy")
    if real_session:
        body = {**body, "session": str(lab.session.pk)}
    reply = api().generic("POST", API, json.dumps(body).encode(), content_type="application/json")
    assert reply.status_code in {400, 409}, reply.content
    assert reply.json()["detail"]
    assert not Recording.objects.exists()


@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    start=st.sampled_from(
        [b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"MATLAB 5.0 MAT-file" + b" " * 105 + b"\0\1IM",
         b"<Start settings>\nFields: <time uint32><xloc uint16>\n", b"\0\0\0\x18ftypisom",
         b"RIFF\0\0\0\0AVI ", b"LABT", b""]
    ),
    rest=st.binary(max_size=400),
    name=st.sampled_from(["f.npy", "f.npz", "f.nwb", "f.mat", "f.csv", "f.mp4", "f.dat", "f.mjpeg", "f"]),
    kind=st.sampled_from(["ephys", "lfp", "units", "position", "video"]),
)  # fmt: skip
def test_no_file_makes_registering_fail_without_a_reason(lab, put, start, rest, name, kind):
    put(name, start + rest)
    before = Recording.objects.count()
    with contextlib.suppress(LabError):
        register(lab, name, kind=kind)
        before += 1
        DataFile.objects.all().delete()
    assert Recording.objects.count() == before
