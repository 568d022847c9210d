"""Downloads of files: whole or a range, with flat memory, whoever serves (ASGI or WSGI).

Status and headers follow RFC 9110: sections 13 (conditions) and 14 (ranges). Of several ranges in one request the whole
file is the answer, as the RFC allows.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header, http_date

from sessions.data_roots import path_of
from sessions.errors import NotFound
from sessions.models import DataFile, FileRole, Note, Recording

CHUNK_BYTES = 256 * 1024


# The files that browsers play as they are.
PLAYABLE = (".mp4", ".m4v", ".webm")


def playable(recording: Recording, files: list[DataFile]) -> DataFile | None:
    """Return what a browser can play of a recording's files: the copy made for it, or a video it reads as it is."""
    proxies = [file for file in files if file.role == FileRole.PROXY]
    plain = [file for file in files if recording.kind == "video" and file.path.lower().endswith(PLAYABLE)]
    return next(iter(proxies + plain), None)


class _Part:
    """Bytes ``start`` to ``stop`` of an open file; iterates in either world and closes the file at the end."""

    def __init__(self, stream: BinaryIO, start: int, stop: int) -> None:
        self.stream = stream
        self.left = stop - start
        stream.seek(start)

    def read(self) -> bytes:
        chunk = self.stream.read(min(CHUNK_BYTES, self.left))
        self.left -= len(chunk)
        return chunk

    def __iter__(self) -> Iterator[bytes]:
        try:
            while self.left > 0 and (chunk := self.read()):
                yield chunk
        finally:
            self.close()

    def close(self) -> None:
        self.stream.close()


class PartResponse(StreamingHttpResponse):
    """Streams a part of a file; an event loop reads it in a thread, chunk by chunk, as the client takes it."""

    def __init__(self, part: _Part, **kwargs: Any) -> None:
        super().__init__(part, **kwargs)
        self._part = part

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            while self._part.left > 0 and (chunk := await loop.run_in_executor(None, self._part.read)):
                yield chunk
        finally:
            self._part.close()


def etag_of(file: DataFile) -> str:
    """Return a strong validator: the hash, or size and time of what is not hashed yet."""
    return f'"{file.sha256}"' if file.sha256 else f'"{file.size:x}-{int(file.modified.timestamp() * 1e6):x}"'


def data_file_response(request: HttpRequest, file: DataFile) -> HttpResponseBase:
    """Return the content of a registered file; ``NotFound`` or ``Conflict`` when it is gone or changed on the disk."""
    return file_response(
        request, path_of(file), name=Path(file.path).name, etag=etag_of(file), modified=file.modified, size=file.size
    )


def file_response(
    request: HttpRequest,
    path: Path,
    *,
    name: str,
    etag: str,
    modified: datetime,
    size: int,
    content_type: str = "",
    inline: bool = False,
) -> HttpResponseBase:
    """Return a file as 200, a range of it as 206, or 304, 412 or 416 as the request's conditions say."""
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Last-Modified": http_date(modified.timestamp()),
        "Cache-Control": "private, no-cache",
        "Content-Disposition": content_disposition_header(not inline, name) or "attachment",
    }
    if status := _condition(request, etag, modified):
        return HttpResponse(status=status, headers=headers)
    start, stop, status = 0, size, 200
    if (asked := request.headers.get("Range")) and request.method == "GET" and _range_holds(request, etag, modified):
        found = _range(asked, size)
        if found == "unsatisfiable":
            return HttpResponse(
                f"The file has {size} bytes; the range {asked[:80]} is outside.", status=416,
                headers={**headers, "Content-Range": f"bytes */{size}", "Content-Disposition": "inline"},
                content_type="text/plain; charset=utf-8",
            )  # fmt: skip
        if isinstance(found, tuple):
            (start, stop), status = found, 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    content_type = content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers, content_type=content_type)
    # O_NOFOLLOW: between the look at the path and now nobody has put a link in its place.
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0)
    return PartResponse(_Part(stream, start, stop), status=status, headers=headers, content_type=content_type)


def _condition(request: HttpRequest, etag: str, modified: datetime) -> int:
    """Return 304 or 412 when a condition says so, else 0."""
    if (wanted := request.headers.get("If-Match")) is not None:
        if wanted.strip() != "*" and etag not in _etags(wanted, weak=False):
            return 412
    elif (since := _date(request, "If-Unmodified-Since")) and _seconds(modified) > since:
        return 412
    if (known := request.headers.get("If-None-Match")) is not None:
        return 304 if known.strip() == "*" or etag in _etags(known, weak=True) else 0
    if (since := _date(request, "If-Modified-Since")) and _seconds(modified) <= since:
        return 304
    return 0


def _range_holds(request: HttpRequest, etag: str, modified: datetime) -> bool:
    """Return whether If-Range (if there is one) still names this content."""
    condition = request.headers.get("If-Range")
    if condition is None:
        return True
    if condition.strip().startswith('"'):
        return condition.strip() == etag
    return _date(request, "If-Range") == _seconds(modified)


def _range(header: str, size: int) -> tuple[int, int] | str | None:
    """Return (start, stop) of one range of bytes, ``unsatisfiable``, or ``None`` for what is to be ignored."""
    found = re.fullmatch(r"bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})", header.strip(), re.IGNORECASE)
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        count = min(int(last), size)
        return (size - count, size) if count else "unsatisfiable"
    start, stop = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    return (start, stop) if start < size else "unsatisfiable"


def _etags(header: str, *, weak: bool) -> set[str]:
    tags = {tag.strip() for tag in header.split(",")}
    return {tag.removeprefix("W/") for tag in tags} if weak else tags


def _date(request: HttpRequest, header: str) -> int | None:
    try:
        return int(parsedate_to_datetime(request.headers[header]).timestamp())
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _seconds(time: datetime) -> int:
    return int(time.timestamp())


def photo_response(note: Note) -> HttpResponse:
    """Send a note's photo: a JPEG that was made small when it came, so it is sent at once."""
    if not note.photo:
        raise NotFound("This note has no photo.")
    try:
        with note.photo.open("rb") as stream:
            content = stream.read()
    except FileNotFoundError:
        raise NotFound("The photo is no longer on the disk.") from None
    return HttpResponse(content, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})
