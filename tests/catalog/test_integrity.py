"""Files that vanish, change or rot on the disk are found and shown; those that are well stay quiet."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from sessions import services
from sessions.models import DataFile, FileCheck, FileState
from sessions.services import integrity
from tests.waiting import until

pytestmark = pytest.mark.django_db


@pytest.fixture
def registered(lab, put):
    """Three recordings of one file each, of which nobody has looked at any."""
    return [
        services.register_recording(
            by=lab.experimenter,
            session=lab.session,
            kind="lfp",
            files=[{"root": "default", "path": put(f"day1/{name}.npy")}],
            parameters={"rate": 1000},
            name=name,
        ).files.get()
        for name in ("a", "b", "c")
    ]


@pytest.fixture
def browser(lab, client):
    client.force_login(lab.experimenter)
    return client


def on_disk(file: DataFile) -> Path:
    return Path(file.root.path) / file.path


def rot(file: DataFile) -> None:
    """Change one byte and nothing else, as a disk does."""
    path = on_disk(file)
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def looked_again() -> int:
    FileCheck.objects.update(looked=timezone.now() - timedelta(days=1))
    return integrity.look_at_files()


def states() -> dict[str, str]:
    return dict(FileCheck.objects.values_list("file__recording__name", "state"))


def test_files_that_vanish_or_change_are_told_from_those_that_do_not(registered):
    a, b, c = registered
    assert integrity.look_at_files() == 3
    assert states() == {"a": "present", "b": "present", "c": "present"}
    # They were looked at a moment ago.
    assert integrity.look_at_files() == 0
    on_disk(a).rename(on_disk(a).with_suffix(".away"))
    on_disk(b).write_bytes(on_disk(b).read_bytes() + b"more")
    assert looked_again() == 3
    assert states() == {"a": "missing", "b": "changed", "c": "present"}
    assert "is not there below the data root 'default'" in FileCheck.objects.get(file=a).problem
    assert "register it as a new revision" in FileCheck.objects.get(file=b).problem
    since = FileCheck.objects.get(file=a).since
    assert looked_again() == 3
    assert FileCheck.objects.get(file=a).since == since
    on_disk(a).with_suffix(".away").rename(on_disk(a))
    looked_again()
    back = FileCheck.objects.get(file=a)
    assert (back.state, back.problem) == ("present", "")
    assert back.since > since
    assert FileCheck.objects.get(file=c).since < since


def test_an_older_revision_is_not_missed(lab, registered):
    a, *_ = registered
    on_disk(a).write_bytes(on_disk(a).read_bytes() + b"more")
    services.register_file_revision(by=lab.experimenter, file=a)
    assert integrity.look_at_files() == 3
    assert set(FileCheck.objects.values_list("state", flat=True)) == {"present"}
    assert not FileCheck.objects.filter(file=a).exists()


def test_a_rotten_file_is_found_by_reading_it(registered):
    a, *_ = registered
    integrity.look_at_files()
    rot(a)
    assert looked_again() == 3
    assert FileCheck.objects.get(file=a).state == "present"
    found = integrity.read_file(file=a)
    assert (found.state, found.read is not None) == (FileState.DAMAGED, True)
    assert f"SHA-256 is now {hashlib.sha256(on_disk(a).read_bytes()).hexdigest()}" in found.problem
    # That its size and time are right does not make it well again.
    looked_again()
    assert FileCheck.objects.get(file=a).state == "damaged"
    rot(a)
    assert integrity.read_file(file=a).state == "present"


def test_what_was_not_read_for_the_longest_time_is_read_next(registered, settings):
    a, b, c = registered
    integrity.look_at_files()
    # All of them were hashed when they came.
    assert integrity.next_to_read() is None
    now = timezone.now()
    DataFile.objects.update(created=now - timedelta(seconds=settings.LAB_FILES_READ + 60))
    FileCheck.objects.filter(file=a).update(read=now - timedelta(days=1))
    FileCheck.objects.filter(file=b).update(read=now - timedelta(days=400))
    assert integrity.next_to_read() == c
    integrity.read_file(file=c)
    assert integrity.next_to_read() == b
    integrity.read_file(file=b)
    assert integrity.next_to_read() is None


def test_reading_stops_when_it_is_told_and_waits_for_a_hash(registered):
    a, *_ = registered
    assert integrity.read_file(file=a, stopped=lambda: True) is None
    assert not FileCheck.objects.filter(file=a).exists()
    DataFile.objects.filter(pk=a.pk).update(sha256="")
    a.refresh_from_db()
    assert integrity.read_file(file=a) is None


@pytest.mark.django_db(transaction=True)
def test_the_duty_reads_in_a_thread_of_its_own(lab, put, settings):
    from sessions import tasks

    file = services.register_recording(
        by=lab.experimenter, session=lab.session, kind="lfp", files=[{"root": "default", "path": put("day1/d.npy")}],
        parameters={"rate": 1000},
    ).files.get()  # fmt: skip
    DataFile.objects.update(created=timezone.now() - timedelta(seconds=settings.LAB_FILES_READ + 60))
    rot(file)
    assert tasks.look_at_files() == 1
    assert tasks.read_files() is True
    until(lambda: FileCheck.objects.get(file=file).state == "damaged", what="the file is read")
    until(lambda: not tasks.read_files(), what="there is nothing more to read")


def test_what_is_wrong_is_shown_where_people_look(registered, browser, api):
    a, b, _ = registered
    assert "not as registered" not in browser.get(f"/recordings/{a.recording_id}/").content.decode()
    on_disk(a).unlink()
    integrity.look_at_files()
    page = browser.get(f"/recordings/{a.recording_id}/").content.decode()
    assert "▲ 1 of 1 files not as registered" in page
    assert "day1/a.npy is not there below the data root" in page
    assert "not as registered" not in browser.get(f"/recordings/{b.recording_id}/").content.decode()
    assert "1 recording with files that are missing" in browser.get("/recordings/").content.decode()
    listed = browser.get("/recordings/?state=wrong").content.decode()
    assert f"/recordings/{a.recording_id}/" in listed
    assert f"/recordings/{b.recording_id}/" not in listed
    found = api("experimenter").get("/api/v1/files/?state=missing").json()
    assert [row["id"] for row in found["results"]] == [str(a.pk)]
    assert api("experimenter").get("/api/v1/files/?state=lost").status_code == 400


def test_another_projects_files_are_not_counted(registered, lab, client):
    on_disk(registered[0]).unlink()
    integrity.look_at_files()
    client.force_login(lab.outsider)
    assert "that are missing" not in client.get("/recordings/").content.decode()
