"""Resumable uploads: tus 1.0 as it is written, and a file that ends where it belongs or nowhere."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from django.db import connection, transaction
from django.test import override_settings
from django.urls import reverse

from sessions.models import DataFile, Recording, Upload
from sessions.services import uploads as service
from sessions.tasks import sweep_uploads
from tests.catalog.conftest import NOON

pytestmark = pytest.mark.django_db
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"


def content(count: int = 3000) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.random.default_rng(5).normal(size=count).astype("float32"))
    return stream.getvalue()


def metadata(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


@pytest.fixture
def begin(lab, api):
    """Begin an upload over REST."""

    def post(data: bytes = b"", role: str = "experimenter", length: object = None, **values: str):
        named = {"filename": "probe.npy", "session": str(lab.session.pk), "kind": "lfp"} | values
        named.setdefault("parameters", '{"rate": 1000}')
        headers = {"Upload-Length": str(len(data) if length is None else length), "Upload-Metadata": metadata(**named)}
        return api(role).post("/api/v1/uploads/", headers=TUS | headers)

    return post


@pytest.fixture
def send(api):
    def patch(where: str, data: bytes, offset: object, role: str = "experimenter", **headers: str):
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return api(role).patch(
            where, data, content_type=more.pop("type", BYTES), headers=TUS | {"Upload-Offset": str(offset)} | more
        )

    return patch


def folder(settings) -> list[str]:
    root = Path(settings.LAB_DATA_ROOT)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_file_in_pieces_becomes_a_recording(lab, api, begin, send, settings):
    data = content()
    reply = begin(data, name="probe A", sha256=hashlib.sha256(data).hexdigest())
    assert reply.status_code == 201, reply.content
    where = reply["Location"]
    assert reply["Upload-Offset"] == "0"
    assert reply["Upload-Expires"].endswith("GMT")
    assert not Recording.objects.exists()
    for start in range(0, len(data), 5000):
        head = api().head(where, headers=TUS)
        assert (head["Upload-Offset"], head["Upload-Length"]) == (str(start), str(len(data)))
        assert head["Cache-Control"] == "no-store"
        assert head["Tus-Resumable"] == "1.0.0"
        reply = send(where, data[start : start + 5000], start)
        assert reply.status_code == 204, reply.content
    assert reply["Upload-Offset"] == str(len(data))
    recording = Recording.objects.get()
    assert (recording.session, recording.kind, recording.name, recording.rate) == (lab.session, "lfp", "probe A", 1000)
    file = recording.files.get()
    assert file.path == f"uploads/2026-03-02-{str(lab.session.pk)[:8]}/probe.npy"
    assert file.sha256 == hashlib.sha256(data).hexdigest()
    assert folder(settings) == [file.path]
    told = api().get(where).json()
    assert (told["offset"], told["recording"]) == (len(data), str(recording.pk))
    assert api().get("/api/v1/uploads/").json()[0]["id"] == told["id"]
    assert api().get("/api/v1/uploads/").json() == api().get("/api/v1/uploads/").json()


def test_the_server_says_what_it_can(api):
    reply = api().options("/api/v1/uploads/")
    assert reply.status_code == 204
    assert reply["Tus-Version"] == "1.0.0"
    assert reply["Tus-Extension"] == "creation,expiration,checksum,termination"
    assert reply["Tus-Checksum-Algorithm"] == "sha1,sha256,md5"
    assert int(reply["Tus-Max-Size"]) > 10**12


def test_another_place_or_version_or_type_is_refused_and_changes_nothing(api, begin, send, settings):
    data = content()
    where = begin(data)["Location"]
    assert send(where, data[:100], 0)["Upload-Offset"] == "100"
    for offset, code in ((0, 409), (99, 409), (101, 409), (len(data) + 5, 409), ("x", 400), (-1, 400)):
        reply = send(where, b"wrong", offset)
        assert reply.status_code == code, offset
        assert reply.json()["detail"]
    assert send(where, data[100:] + b"too much", 100).status_code == 400
    assert send(where, b"wrong", 100, type="application/json").status_code == 415
    without = api().patch(where, b"wrong", content_type=BYTES, headers={"Upload-Offset": "100"})
    assert (without.status_code, without["Tus-Version"]) == (412, "1.0.0")
    assert api().patch(where, b"", content_type=BYTES, headers={"Tus-Resumable": "0.2.2"}).status_code == 412
    assert api().head(where, headers=TUS)["Upload-Offset"] == "100"
    assert send(where, data[100:], 100).status_code == 204
    assert DataFile.objects.get().sha256 == hashlib.sha256(data).hexdigest()
    assert send(where, b"after the end", len(data)).status_code == 400
    assert send(where, b"", len(data)).status_code == 204
    assert Recording.objects.count() == 1


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_piece_with_another_checksum_is_not_kept(begin, send, api, settings, algorithm):
    data = content()
    where = begin(data)["Location"]

    def checksum(part: bytes) -> str:
        return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, part).digest()).decode()}"

    assert send(where, data[:700], 0, Upload_Checksum=checksum(data[:700])).status_code == 204
    reply = send(where, data[700:900], 700, Upload_Checksum=checksum(data[700:901]))
    assert reply.status_code == 460
    assert api().head(where, headers=TUS)["Upload-Offset"] == "700"
    for wrong in ("crc32 AAAA", "sha1", "sha1 !!!", ""):
        assert send(where, data[700:900], 700, Upload_Checksum=wrong).status_code in {400, 460}, wrong
    assert send(where, data[700:], 700, Upload_Checksum=checksum(data[700:])).status_code == 204
    assert DataFile.objects.get().sha256 == hashlib.sha256(data).hexdigest()
    assert len(folder(settings)) == 1


def test_only_who_began_it_may_go_on_and_only_where_he_may_change(lab, api, begin, send):
    data = content()
    assert begin(data, role="viewer").status_code == 403
    assert begin(data, role="outsider").status_code == 404
    where = begin(data)["Location"]
    for role in ("viewer", "manager", "administrator", "outsider"):
        assert send(where, data, 0, role=role).status_code == 404
        assert api(role).head(where, headers=TUS).status_code == 404
        assert api(role).delete(where, headers=TUS).status_code == 404
    lab.experimenter.memberships.update(role="viewer")
    assert send(where, data, 0).status_code == 403


@pytest.mark.parametrize(
    ("values", "code", "sentence"),
    [
        ({"path": "../outside.npy"}, 400, "climbs out"),
        ({"path": "/etc/passwd"}, 400, "absolute"),
        ({"path": ".uploads/mine.npy"}, 400, "unfinished uploads"),
        ({"path": "there.npy"}, 409, "already a file"),
        ({"filename": ""}, 400, "lacks filename"),
        ({"filename": ".."}, 400, "climbs out"),
        ({"filename": "a\0b"}, 400, "NUL"),
        ({"session": "7"}, 400, "no id"),
        ({"session": "00000000-0000-4000-8000-000000000000"}, 404, "no such thing"),
        ({"kind": "smell"}, 400, "no kind"),
        ({"root": "moon"}, 400, "no data root"),
        ({"parameters": "["}, 400, "not JSON"),
        ({"parameters": "[]"}, 400, "an object"),
        ({"sha256": "abc"}, 400, "upload sha256 is 64 hex digits"),
        ({"length": 0}, 400, "0 bytes"),
        ({"length": "many"}, 400, "Upload-Length"),
        ({"length": 10**18}, 400, "cannot be uploaded"),
        ({"length": 10**13}, 503, "no room"),
        ({"colour": "red"}, 400, "not known"),
    ],
)
def test_what_cannot_be_taken_is_said_before_a_byte_is_sent(begin, put, values, code, sentence):
    put("there.npy", b"x")
    reply = begin(b"x" * 10, **values)
    assert reply.status_code == code, reply.content
    assert sentence in reply.json()["detail"]
    assert not Upload.objects.exists()


def test_broken_metadata_is_refused(api):
    for header in ("filename !!!", "filename YQ==,filename YQ==", "filename /w==", "kind"):
        reply = api().post("/api/v1/uploads/", headers=TUS | {"Upload-Length": "5", "Upload-Metadata": header})
        assert reply.status_code == 400, header
    reply = api().post("/api/v1/uploads/", headers=TUS | {"Upload-Defer-Length": "1"})
    assert reply.status_code == 400


def test_two_uploads_never_meet_at_one_path(begin, api):
    where = begin(b"x" * 10)["Location"]
    assert begin(b"x" * 10).status_code == 409
    assert api().delete(where, headers=TUS).status_code == 204
    assert begin(b"x" * 10).status_code == 201


def test_what_is_no_recording_waits_for_another_try_and_is_not_registered(lab, begin, send, api, settings):
    where = begin(b"not a recording")["Location"]
    reply = send(where, b"not a recording", 0)
    assert reply.status_code == 400
    assert api().head(where, headers=TUS)["Upload-Offset"] == "15"
    assert not Recording.objects.exists()
    assert [name.split("/")[0] for name in folder(settings)] == [".uploads"]
    data = content()
    wrong = begin(data, filename="b.npy", sha256="0" * 64)["Location"]
    reply = send(wrong, data, 0)
    assert (reply.status_code, "has the SHA-256" in reply.json()["detail"]) == (409, True)
    assert api().delete(wrong, headers=TUS).status_code == 204
    assert api().delete(where, headers=TUS).status_code == 204
    assert api().head(where, headers=TUS).status_code == 404


def test_a_crash_between_the_move_and_the_registration_is_mended_by_asking_again(begin, send, settings):
    data = content()
    where = begin(data)["Location"]
    assert send(where, data[:-1], 0).status_code == 204
    upload = Upload.objects.select_related("root").get()
    # What a server leaves that dies right after it gave the file its name.
    service.part_of(upload).write_bytes(data)
    target = Path(settings.LAB_DATA_ROOT) / upload.path
    target.parent.mkdir(parents=True)
    service.part_of(upload).rename(target)
    Upload.objects.update(offset=len(data))
    assert send(where, b"", len(data)).status_code == 204
    assert DataFile.objects.get().sha256 == hashlib.sha256(data).hexdigest()


def test_what_a_killed_server_wrote_but_did_not_count_is_written_over(begin, send):
    data = content()
    where = begin(data)["Location"]
    assert send(where, data[:100], 0).status_code == 204
    with service.part_of(Upload.objects.select_related("root").get()).open("ab") as part:
        part.write(b"never counted" * 10_000)
    assert send(where, data[100:], 100).status_code == 204
    assert DataFile.objects.get().sha256 == hashlib.sha256(data).hexdigest()


def test_unfinished_uploads_expire_with_their_bytes(begin, send, settings, django_capture_on_commit_callbacks):
    data = content()
    send(begin(data, filename="done.npy")["Location"], data, 0)
    send(begin(data)["Location"], data[:10], 0)
    assert sweep_uploads() == 0
    Upload.objects.update(expires=NOON)
    with django_capture_on_commit_callbacks(execute=True):
        assert sweep_uploads() == 1
    assert [name.rpartition("/")[2] for name in folder(settings)] == ["done.npy"]
    assert Upload.objects.count() == 1


def test_a_cut_body_keeps_what_came(lab, begin):
    class Cut:
        def __init__(self, data: bytes) -> None:
            self.stream = io.BytesIO(data)

        def read(self, size: int = -1) -> bytes:
            return self.stream.read(size)

    data = content()
    begin(data)
    upload = Upload.objects.get()
    at = service.continue_upload(by=lab.experimenter, upload=upload, offset=0, body=Cut(data[:777]), checksum=None)
    assert at.offset == 777
    at = service.continue_upload(by=lab.experimenter, upload=upload, offset=777, body=Cut(data[777:]), checksum=None)
    assert at.finished


@pytest.mark.django_db(transaction=True)
def test_while_one_writes_another_is_refused(lab, begin, api, send):
    import threading

    data = content()
    where = begin(data)["Location"]
    held, release, replies = threading.Event(), threading.Event(), []

    def hold() -> None:
        with transaction.atomic():
            Upload.objects.select_for_update().get()
            held.set()
            release.wait(30)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    replies.append(send(where, data, 0))
    release.set()
    holder.join()
    assert replies[0].status_code == 409
    assert "Another request writes this upload" in replies[0].json()["detail"]
    assert send(where, data, 0).status_code == 204


def test_uploads_are_in_the_description(api):
    schema = json.loads(api().get("/api/schema/?format=json").content)
    assert {"get", "post"} <= set(schema["paths"]["/api/v1/uploads/"])
    assert {"get", "patch", "delete"} <= set(schema["paths"]["/api/v1/uploads/{id}/"])


@override_settings(LAB_DISK_RESERVE=10**15)
def test_a_full_disk_is_told_of_before_anything_is_sent(begin):
    assert begin(b"x").status_code == 503
    assert reverse("upload-list") == "/api/v1/uploads/"
