"""Downloads: whole, in ranges, under conditions, with flat memory."""

# ruff: noqa: PLR0917 - a test takes the fixtures it needs
from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient, Client

from sessions import services
from sessions.data_roots import path_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def content(recording):
    return path_of(recording.files.get()).read_bytes()


@pytest.fixture
def url(recording):
    return f"/files/{recording.files.get().pk}/download/"


@pytest.fixture
def reader(lab):
    client = Client()
    client.force_login(lab.viewer)
    return client


def test_a_whole_file(reader, url, content, recording):
    reply = reader.get(url)
    assert reply.getvalue() == content
    assert reply["Content-Length"] == str(len(content))
    assert reply["Accept-Ranges"] == "bytes"
    assert reply["ETag"] == f'"{recording.files.get().sha256}"'
    assert reply["Content-Disposition"] == 'attachment; filename="lfp.npy"'
    head = reader.head(url)
    assert (head.status_code, head["Content-Length"], head.content) == (200, str(len(content)), b"")


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=10-19", 10, 20), ("bytes=100-", 100, None), ("bytes=-5", -5, None),
     ("bytes=0-999999", 0, None), ("Bytes = 3-4", 3, 5), ("bytes=-999999", 0, None)],
)  # fmt: skip
def test_a_range(reader, url, content, header, start, stop):
    reply = reader.get(url, HTTP_RANGE=header)
    wanted = content[start:stop]
    first = start if start >= 0 else len(content) + start
    assert (reply.status_code, reply.getvalue()) == (206, wanted)
    assert reply["Content-Range"] == f"bytes {first}-{first + len(wanted) - 1}/{len(content)}"
    assert reply["Content-Length"] == str(len(wanted))


@pytest.mark.parametrize("header", ["bytes=999999-", "bytes=-0", "bytes=4128-4130"])
def test_a_range_outside_is_416(reader, url, content, header):
    reply = reader.get(url, HTTP_RANGE=header)
    assert reply.status_code == 416
    assert reply["Content-Range"] == f"bytes */{len(content)}"


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=a-b", "lines=0-5", "bytes=0-1,5-6", "bytes=-", ""])
def test_a_range_that_says_nothing_gives_the_whole(reader, url, content, header):
    reply = reader.get(url, HTTP_RANGE=header)
    assert (reply.status_code, reply.getvalue()) == (200, content)


def test_conditions(reader, url, content):
    reply = reader.get(url)
    tag, changed = reply["ETag"], reply["Last-Modified"]
    assert reply.getvalue() == content
    assert reader.get(url, HTTP_IF_NONE_MATCH=tag).status_code == 304
    assert reader.get(url, HTTP_IF_MODIFIED_SINCE=changed).status_code == 304
    assert reader.get(url, HTTP_IF_MATCH='"other"').status_code == 412
    for condition, code in ((tag, 206), (changed, 206), ('"other"', 200), ("Mon, 01 Jan 2001 00:00:00 GMT", 200)):
        reply = reader.get(url, HTTP_RANGE="bytes=0-3", HTTP_IF_RANGE=condition)
        assert (reply.status_code, reply.getvalue()) == (code, content[:4] if code == 206 else content), condition


def test_a_file_that_changed_or_went_is_not_sent(reader, url, recording):
    path = path_of(recording.files.get())
    os.utime(path, (1, 1))
    reply = reader.get(url)
    assert reply.status_code == 409
    assert b"changed on the disk" in reply.content
    path.unlink()
    assert reader.get(url).status_code == 404


def test_a_file_that_became_a_link_out_is_not_sent(reader, url, recording, tmp_path):
    path = path_of(recording.files.get())
    secret = tmp_path / "secret"
    path.rename(secret)
    path.symlink_to(secret)
    assert reader.get(url).status_code == 404


@pytest.mark.django_db(transaction=True)
async def test_under_asgi_a_large_file_streams_with_flat_memory(lab, put, settings, connections_of_threads):
    size = 64 * 1024 * 1024
    put("big.dat", b"x")
    with (Path(settings.LAB_DATA_ROOT) / "big.dat").open("wb") as stream:
        stream.truncate(size)
    recording = await sync_to_async(services.register_recording)(
        by=lab.experimenter, session=lab.session, kind="ephys", files=[{"path": "big.dat"}],
        parameters={"channels": 1, "rate": 30000, "dtype": "int16"},
    )  # fmt: skip
    client = AsyncClient()
    await client.aforce_login(lab.viewer)
    file = await recording.files.aget()
    reply = await client.get(f"/files/{file.pk}/download/", headers={"range": f"bytes=10-{size - 1}"})
    assert reply.status_code == 206
    tracemalloc.start()
    received = 0
    async for chunk in reply:
        received += len(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert received == size - 10
    assert peak < 8 * 1024 * 1024
