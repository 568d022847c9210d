"""Uploads through the real server: by a real client, cut by its death and the server's, ended with the right bytes."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
import psutil
import pytest
from tusclient.client import TusClient

from tests.stack.laboratory import Laboratory
from tests.waiting import until

PIECE = 8 * 1024 * 1024
# 96 MB: longer than what is hashed at once, and than what the server may hold.
SAMPLES = 24_000_000
# Sends the head of a PATCH and so many bytes of its body, then holds the connection until it is killed.
CLIENT = """
import socket, sys
host, port, head, path, start, count = sys.argv[1:]
with socket.create_connection((host, int(port))) as line, open(path, "rb") as file:
    file.seek(int(start))
    line.sendall(head.encode() + file.read(int(count)))
    print("sent", flush=True)
    sys.stdin.read()
"""


class Sender:
    """The file, the laboratory, and who sends."""

    def __init__(self, laboratory: Laboratory, file: Path, stream: BinaryIO) -> None:
        self.stream = stream
        self.laboratory, self.file, self.size = laboratory, file, file.stat().st_size
        self.headers = {"Authorization": f"Token {laboratory.token()}"}
        self.client = TusClient(f"{laboratory.url}/api/v1/uploads/", headers=dict(self.headers))

    def session(self) -> str:
        """A session of a new project, to which the file will belong."""
        name = f"study {uuid4().hex}"
        assert self.laboratory.post("/api/v1/projects/", {"name": name}, **self.headers)[0] == 201
        body = {"project": name, "start": datetime(2026, 3, 2, 12, tzinfo=UTC).isoformat()}
        status, reply = self.laboratory.post("/api/v1/sessions/", body, **self.headers)
        assert status == 201, reply
        return reply["id"]

    def uploader(self, **options: object):
        return self.client.uploader(file_stream=self.stream, retries=20, retry_delay=1, **options)

    def told(self, where: str) -> dict:
        import json

        status, reply = self.laboratory.get(urlsplit(where).path, **self.headers)
        assert status == 200, reply
        return json.loads(reply)

    def offset(self, where: str) -> int:
        return self.told(where)["offset"]

    def head(self, where: str, start: int) -> str:
        parts = urlsplit(where)
        lines = {
            "Host": parts.netloc, **self.headers, "Tus-Resumable": "1.0.0", "Upload-Offset": str(start),
            "Content-Type": "application/offset+octet-stream", "Content-Length": str(self.size - start),
        }  # fmt: skip
        return f"PATCH {parts.path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"

    def half_a_request(self, where: str, count: int) -> subprocess.Popen[bytes]:
        """A client that sent only a part of its request, of which at least a piece is on the server's disk."""
        start, parts = self.offset(where), urlsplit(where)
        arguments = [parts.hostname, str(parts.port), self.head(where, start), str(self.file), str(start), str(count)]
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert client.stdout is not None
        assert client.stdout.readline() == b"sent\n"
        until(lambda: self.offset(where) >= start + PIECE, 60, "the first piece to be safe")
        return client


@pytest.fixture
def sender(laboratory, tmp_path):
    file = tmp_path / "voltage.npy"
    np.save(file, np.arange(SAMPLES, dtype="int32"))
    with file.open("rb") as stream:
        yield Sender(laboratory, file, stream)


def killed(client: subprocess.Popen[bytes]) -> None:
    with client:
        client.kill()


def begun(sender: Sender, **more: str) -> str:
    named = {
        "filename": f"{uuid4().hex}.npy",
        "session": sender.session(),
        "kind": "lfp",
        "parameters": '{"rate": 1000}',
    }
    uploader = sender.uploader(chunk_size=PIECE, metadata=named | more)
    uploader.upload(stop_at=PIECE)
    assert sender.offset(uploader.url) == PIECE
    return uploader.url


@pytest.mark.long
def test_a_file_survives_a_killed_client_and_a_killed_server(sender, laboratory):
    digest = hashlib.sha256(sender.file.read_bytes()).hexdigest()
    where = begun(sender, sha256=digest)
    web = psutil.Process(laboratory.process("web")["pid"])
    before = web.memory_info().rss
    client = sender.half_a_request(where, PIECE * 5 // 2)
    killed(client)
    # What came without being a whole piece is kept, too.
    until(lambda: sender.offset(where) > 2 * PIECE, 30, "the bytes that came after the last whole piece")
    after_client = sender.offset(where)
    client = sender.half_a_request(where, PIECE * 5 // 2)
    grown = web.memory_info().rss - before
    web.send_signal(signal.SIGKILL)
    until(lambda: laboratory.health()[0] == 200 and laboratory.process("web")["pid"] != web.pid, 90, "a new server")
    killed(client)
    safe = sender.offset(where)
    assert safe >= after_client + PIECE
    uploader = sender.uploader(url=where, chunk_size=PIECE * 3)
    assert uploader.offset == safe
    uploader.upload()
    told = sender.told(where)
    assert told["offset"] == sender.size
    stored = Path(laboratory.home) / "data" / told["path"]
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == digest
    assert told["recording"]
    assert list((stored.parent.parent.parent / ".uploads").glob(f"{told['id']}*")) == []
    assert grown < 8 * PIECE


def test_a_whole_file_in_one_request_with_a_checksum_and_flat_memory(sender, laboratory):
    web = psutil.Process(laboratory.process("web")["pid"])
    before = web.memory_info().rss
    named = {
        "filename": f"{uuid4().hex}.npy",
        "session": sender.session(),
        "kind": "lfp",
        "parameters": '{"rate": 1000}',
    }
    uploader = sender.uploader(metadata=named, upload_checksum=True)
    uploader.upload()
    assert sender.told(uploader.url)["recording"]
    assert web.memory_info().rss - before < 8 * PIECE


def test_of_two_writers_one_is_refused(sender):
    where = begun(sender)
    client = sender.half_a_request(where, PIECE * 3 // 2)
    parts = urlsplit(where)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as line:
        line.sendall(sender.head(where, PIECE).encode() + os.urandom(1000))
        assert line.recv(100).startswith(b"HTTP/1.1 409")
    sender.uploader(url=where, chunk_size=PIECE).upload()
    killed(client)
    told = sender.told(where)
    assert told["offset"] == sender.size
    stored = Path(sender.laboratory.home) / "data" / told["path"]
    assert stored.read_bytes() == sender.file.read_bytes()
