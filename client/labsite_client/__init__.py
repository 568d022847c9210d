"""A laboratory's catalog, jobs and files from Python: rows come page by page, writes happen once, changes lose nothing.

It needs only ``requests``. What can be asked for is at ``/api/docs/`` of the laboratory's server.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import requests

__all__ = ["JobFailed", "Laboratory", "LabsiteError", "Row"]

TRIES = 4
PIECE = 1024 * 1024
PAGE = 250
BUSY = {429, 502, 503, 504}
ENDED = {"succeeded", "failed", "cancelled"}


class LabsiteError(Exception):
    """The server refused: ``status`` of HTTP, ``detail`` as a sentence, ``errors`` by the path of each field."""

    def __init__(self, status: int, detail: str, errors: Mapping[str, list[str]]) -> None:
        super().__init__(f"{detail} ({status})")
        self.status, self.detail, self.errors = status, detail, dict(errors)


class JobFailed(Exception):  # noqa: N818 - a name as people say it
    """A job ended without a result; ``job`` is its row."""

    def __init__(self, job: Row) -> None:
        super().__init__(f"The job {job['state']}: {job.get('error') or 'nobody said why'}")
        self.job = job


class Row(dict[str, Any]):
    """A row as the server showed it, and which version of it that was."""

    def __init__(self, values: Mapping[str, Any], etag: str | None = None) -> None:
        super().__init__(values)
        self.etag = etag


class Laboratory:
    """A laboratory's server, asked in the name of the person whose token it is."""

    def __init__(self, url: str, token: str, *, timeout: float = 60) -> None:
        """``url`` is the address of the site; ``timeout`` (s) that of each request."""
        self.url = url.rstrip("/") + "/api/v1/"
        self.timeout = timeout
        self._http = requests.Session()
        self._http.headers.update({"Authorization": f"Token {token}", "Accept": "application/json"})

    @classmethod
    def login(cls, url: str, username: str, password: str) -> Laboratory:
        """Return the laboratory with a new token for a name and a password."""
        address = url.rstrip("/") + "/api/v1/auth/token/"
        reply = requests.post(address, json={"username": username, "password": password}, timeout=60)
        return cls(url, _checked(reply).json()["token"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def rows(self, collection: str, **filters: Any) -> Iterator[Row]:
        """Yield every row of a collection that fits the filters, such as ``rows("animals", status="alive")``."""
        address: str | None = self.url + f"{collection}/"
        parameters: dict[str, Any] | None = {"page_size": PAGE, **filters}
        while address:
            page = self._ask("GET", address, params=parameters).json()
            yield from map(Row, page["results"])
            # The next address has the filters in it.
            address, parameters = page["next"], None

    def get(self, collection: str, key: str) -> Row:
        """Return one row by its id."""
        return _row(self._ask("GET", self.url + f"{collection}/{key}/"))

    def add(self, collection: str, values: Mapping[str, Any]) -> Row:
        """Add a row; its request has a key, so that trying again after a cut connection adds nothing twice."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return _row(self._ask("POST", self.url + f"{collection}/", json=dict(values), headers=headers))

    def change(self, collection: str, row: Row, **values: Any) -> Row:
        """Change fields of a row; ``LabsiteError`` with status 412 when somebody changed it since ``row`` was read."""
        etag = row.etag
        if etag is None:
            # A row of a list does not say which version it is.
            now = self.get(collection, row["id"])
            if (etag := now.etag) and any(now[name] != row[name] for name in now.keys() & row.keys()):
                raise LabsiteError(412, "Somebody changed this since you read it; read it again and decide anew.", {})
        headers = {"If-Match": etag} if etag else {}
        return _row(self._ask("PATCH", self.url + f"{collection}/{row['id']}/", json=values, headers=headers))

    def order(self, collection: str, key: str, order: str, values: Mapping[str, Any] | None = None) -> Row:
        """Give an order to a row, such as ``order("sessions", session["id"], "end")``."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        address = self.url + f"{collection}/{key}/{order}/"
        return _row(self._ask("POST", address, json=dict(values or {}), headers=headers))

    def analyse(self, pipeline: str, recordings: Sequence[str], **parameters: Any) -> Row:
        """Queue an analysis of recordings (ids) and return its job."""
        return self.add("jobs", {"pipeline": pipeline, "recordings": list(recordings), "parameters": parameters})

    def wait(self, job: Row, *, timeout: float = 3600, every: float = 2) -> Row:
        """Return the job when it succeeded; ``JobFailed`` when it did not, ``TimeoutError`` after so many seconds."""
        until = time.monotonic() + timeout
        while True:
            found = self.get("jobs", job["id"])
            if found["state"] in ENDED:
                if found["state"] != "succeeded":
                    raise JobFailed(found)
                return found
            if time.monotonic() > until:
                raise TimeoutError(f"The job is still {found['state']} after {timeout:g} s.")
            time.sleep(every)

    def download(self, file: str, to: Path | str) -> Path:
        """Write a data file (id) to a path; until all of it has come the path has ``.part`` at its end."""
        target = Path(to)
        part = target.with_name(target.name + ".part")
        with self._ask("GET", self.url + f"files/{file}/download/", stream=True) as reply, part.open("wb") as out:
            for piece in reply.iter_content(PIECE):
                out.write(piece)
        part.replace(target)
        return target

    def _ask(self, method: str, address: str, **options: Any) -> requests.Response:
        """Send a request, again when the server is busy or gone for a moment.

        None is carried out twice: a POST has its key, and a change whose reply was lost is refused as stale.
        """
        for attempt in range(TRIES):
            last = attempt == TRIES - 1
            try:
                reply = self._http.request(method, address, timeout=self.timeout, **options)
            except requests.ConnectionError:
                if last:
                    raise
            else:
                if reply.status_code not in BUSY or last:
                    return _checked(reply)
            time.sleep(2**attempt / 2)
        raise AssertionError("the last attempt returns or raises")


def _row(reply: requests.Response) -> Row:
    return Row(reply.json(), reply.headers.get("ETag"))


def _checked(reply: requests.Response) -> requests.Response:
    if reply.ok:
        return reply
    try:
        body = reply.json()
    except ValueError:
        body = {}
    detail = body.get("detail") or f"{reply.request.method} {reply.url} was refused."
    raise LabsiteError(reply.status_code, detail, body.get("errors") or {})
