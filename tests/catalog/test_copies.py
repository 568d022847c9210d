"""Copies of registered files: the same content only, used where a file is lost, and lost themselves with a warning."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cameras.alerts import Watch
from cameras.models import CameraAlert
from sessions import services
from sessions.data_roots import path_of
from sessions.errors import Conflict, Forbidden, Invalid, NotFound
from sessions.models import DataFile, DataRoot, FileCheck, FileCopy
from sessions.services import copies as copy_services
from sessions.services.copies import next_copy_to_read, read_copy
from sessions.tasks import look_at_files, sweep_copies, work_on_copy

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(recording) -> DataFile:
    return recording.files.get()


@pytest.fixture
def backup(tmp_path) -> DataRoot:
    folder = tmp_path / "backup"
    folder.mkdir()
    return DataRoot.objects.create(name="backup", path=str(folder))


@pytest.fixture
def copy(lab, file, backup) -> FileCopy:
    """Return a copy that a worker made."""
    row = services.add_copy(by=lab.experimenter, file=file, root="backup", copy=True)
    assert row.state == "copying"
    work_on_copy.run(str(row.pk))
    row.refresh_from_db()
    return row


def age() -> None:
    """Let every file and copy be due to be looked at and to be read."""
    long_ago = timezone.now() - timedelta(days=400)
    FileCopy.objects.update(looked=long_ago, read=long_ago)
    FileCheck.objects.update(looked=long_ago)


def alerts() -> dict[str, str]:
    """Return the alerts that a watch of some time leaves open, by kind."""
    watch = Watch()
    for now in (0.0, 20.0, 40.0):
        watch(now)
    return dict(CameraAlert.objects.filter(resolved=None).values_list("kind", "message"))


def test_a_download_uses_the_copy_where_the_file_is_lost(lab, file, copy, backup, api):
    own, other = path_of(file), Path(backup.path) / file.path
    content = own.read_bytes()
    assert (copy.state, other.read_bytes()) == ("present", content)
    assert list(other.parent.iterdir()) == [other], "no part is left"
    look_at_files()
    assert alerts() == {}
    own.unlink()
    assert api().get(f"/api/v1/files/{file.pk}/download/").getvalue() == content
    age()
    look_at_files()
    assert alerts() == {"copies": "1 have lost a place, and can still be had from another"}
    other.unlink()
    age()
    look_at_files()
    assert alerts() == {"files": "1 cannot be had from any of their places"}
    with pytest.raises(NotFound):
        path_of(file)
    own.write_bytes(content)
    os.utime(own, ns=(0, int(file.modified.timestamp() * 1e6) * 1000))
    age()
    look_at_files()
    assert alerts() == {"copies": "1 have lost a place, and can still be had from another"}
    client = Client()
    client.force_login(lab.viewer)
    page = client.get(reverse("lab:recording", args=[file.recording_id])).content.decode()
    assert "is not there below the data root" in page
    assert "Forget this copy" not in page
    assert str(file.recording_id) in client.get("/recordings/?state=wrong").content.decode()
    states = list(copy.history.order_by("pgh_id").values_list("state", flat=True))
    assert states == ["copying", "present", "missing"], "looks that found nothing new are no change"


def test_only_the_same_content_is_a_copy(lab, file, backup):
    folder = Path(backup.path)
    np.save(folder / "same.npy", np.arange(1000, dtype="float32"))
    np.save(folder / "other.npy", np.arange(1000, 2000).astype("float32"))
    (folder / "short.npy").write_bytes(b"short")
    add = {"by": lab.experimenter, "file": file, "root": "backup"}
    with pytest.raises(Invalid, match="another SHA-256"):
        services.add_copy(**add, path="other.npy")
    with pytest.raises(Invalid, match="5 bytes"):
        services.add_copy(**add, path="short.npy")
    with pytest.raises(Invalid, match="is not there"):
        services.add_copy(**add, path="none.npy")
    with pytest.raises(Invalid, match="climbs out"):
        services.add_copy(**add, path="../x.npy", copy=True)
    with pytest.raises(Conflict, match="already a file"):
        services.add_copy(**add, path="same.npy", copy=True)
    with pytest.raises(Conflict, match="as a file of its own"):
        services.add_copy(**add | {"root": "default"})
    with pytest.raises(Forbidden):
        services.add_copy(**add | {"by": lab.viewer}, path="same.npy")
    with pytest.raises(NotFound):
        services.add_copy(**add | {"by": lab.outsider}, path="same.npy")
    assert not file.copies.exists()
    assert services.add_copy(**add, path="same.npy").state == "present"
    with pytest.raises(Conflict, match="already registered at this place"):
        services.add_copy(**add, path="same.npy")
    with pytest.raises(Conflict, match="as a copy of another file"):
        services.register_recording(
            by=lab.experimenter, session=lab.session, kind="lfp", files=[{"root": "backup", "path": "same.npy"}]
        )


def test_a_large_copy_is_compared_by_a_worker_that_the_sweep_wakes_again(lab, file, backup, monkeypatch):
    np.save(Path(backup.path) / "other.npy", np.arange(1000, 2000).astype("float32"))
    monkeypatch.setattr(copy_services, "SMALL_FILE_BYTES", 10)
    row = services.add_copy(by=lab.experimenter, file=file, root="backup", path="other.npy")
    assert row.state == "comparing"
    with pytest.raises(Conflict, match="wait until that is done"):
        services.forget_copy(by=lab.manager, file=file, copy=row.pk)
    assert sweep_copies() == 0
    age()
    assert sweep_copies() == 1
    work_on_copy.run(str(row.pk))
    row.refresh_from_db()
    assert row.state == "damaged"


def test_what_cannot_be_copied_says_why_and_leaves_nothing(lab, file, backup):
    row = services.add_copy(by=lab.experimenter, file=file, root="backup", copy=True)
    path_of(file).unlink()
    work_on_copy.run(str(row.pk))
    row.refresh_from_db()
    assert row.state == "failed"
    assert "is not there" in row.problem
    assert not [path for path in Path(backup.path).rglob("*") if path.is_file()]


def test_a_bit_that_flips_unseen_in_a_copy_is_found_when_it_is_read(file, copy, backup):
    assert next_copy_to_read() is None
    path = Path(backup.path) / file.path
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    age()
    look_at_files()
    copy.refresh_from_db()
    assert copy.state == "present"
    assert "another SHA-256" in read_copy(copy=next_copy_to_read() or copy)
    age()
    look_at_files()
    copy.refresh_from_db()
    assert copy.state == "damaged", "size and time alone do not make it well"
    path_of(file).unlink()
    with pytest.raises(NotFound):
        path_of(file)


def test_the_last_place_of_a_file_stays_in_the_catalog(lab, file, copy, api):
    assert api().post(f"/api/v1/files/{file.pk}/forget/", {"copy": str(copy.pk)}, format="json").status_code == 403
    own = path_of(file)
    own.rename(own.with_suffix(".aside"))
    with pytest.raises(Conflict, match="the only place"):
        services.forget_copy(by=lab.manager, file=file, copy=copy.pk)
    own.with_suffix(".aside").rename(own)
    assert [row["state"] for row in api().get(f"/api/v1/files/{file.pk}/").json()["copies"]] == ["present"]
    reply = api("manager").post(f"/api/v1/files/{file.pk}/forget/", {"copy": str(copy.pk)}, format="json")
    assert (reply.status_code, reply.json()["copies"]) == (200, [])


def test_a_replaced_revision_can_be_had_from_its_copy(lab, file, copy, put):
    content = path_of(file).read_bytes()
    put(file.path, b"\x93NUMPY new content")
    second = services.register_file_revision(by=lab.experimenter, file=file)
    assert path_of(file).read_bytes() == content
    assert path_of(second).read_bytes() == b"\x93NUMPY new content"


def test_the_page_copies_and_forgets(lab, file, backup):
    client = Client()
    client.force_login(lab.manager)
    page = reverse("lab:recording", args=[file.recording_id])
    assert "Copy there" in client.get(page).content.decode()
    assert client.post(reverse("lab:file-copy", args=[file.pk]), {"root": "backup"}).status_code == 302
    copy = file.copies.get()
    assert "being copied" in client.get(page).content.decode()
    work_on_copy.run(str(copy.pk))
    assert "Forget this copy" in client.get(page).content.decode()
    assert client.post(reverse("lab:file-forget", args=[file.pk]), {"copy": str(copy.pk)}).status_code == 302
    assert not file.copies.exists()
    assert (Path(backup.path) / file.path).is_file(), "nothing on the disk is touched"
