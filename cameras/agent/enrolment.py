"""A code for a token: asks the server once and writes what it says into the box's configuration."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shlex
import tempfile
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cameras.agent.config import DEFAULT_CONFIG, ConfigError, from_toml

ANSWER_SECONDS = 15.0
DEFAULT_SOURCE = "usb:0"
_CAMERA = re.compile(r"^[ \t]*\[\[camera\]\]", re.MULTILINE)
_SAID = re.compile(r"^[ \t]*(token|token_file|url)[ \t]*=.*\n?", re.MULTILINE)


class EnrolmentError(Exception):
    """Why the box has no token now, in a sentence."""


@dataclass(frozen=True)
class Enrolled:
    """What the server said: a camera of this box."""

    slug: str
    name: str
    server: str
    token: str


def enrol(options: argparse.Namespace) -> str:
    """Use ``options.enrol`` up and write the camera to ``options.config``; returns what was done, and what is next.

    The file is readable by its owner alone. Other cameras in it, and comments, stay; a camera that is in it already
    gets the new token. Whether the file can be written is found out before the code is used.
    """
    path: Path = options.config or DEFAULT_CONFIG
    text = _configuration(path)
    try:
        handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    except OSError as error:
        raise EnrolmentError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        enrolled = ask(options.server, options.enrol)
        with os.fdopen(handle, "w") as file:
            file.write(with_camera(text, enrolled, options))
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    try:
        from_toml(path)
    except ConfigError as error:
        raise EnrolmentError(f"The token of {enrolled.slug} was written, but now {error}") from error
    return (
        f"{enrolled.name} ({enrolled.slug}) was written to {path}, which only you can read.\n"
        f"Its pictures come once the agent runs: labsite-agent --config {shlex.quote(str(path))}"
    )


def ask(server: str | None, code: str) -> Enrolled:
    """Send the code to the laboratory; EnrolmentError says what it answers, or that it does not."""
    address = urlsplit(server or "")
    if address.scheme not in {"http", "https"} or not address.netloc:
        raise EnrolmentError(
            f"--server is {server or 'missing'}; write the laboratory's address, such as http://lab:8000."
        )
    url = f"{address.scheme}://{address.netloc}{address.path.rstrip('/')}/api/v1/camera-enrolment/"
    request = urllib.request.Request(  # noqa: S310 - its scheme was looked at
        url, json.dumps({"code": code}).encode(), {"Content-Type": "application/json", "Accept": "application/json"}
    )
    # The laboratory is in the same network; a proxy of the environment is for the way out of it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_SECONDS) as reply:
            body = json.loads(reply.read())
        return Enrolled(*(str(body[field]) for field in ("camera", "name", "server", "token")))
    except urllib.error.HTTPError as error:
        raise EnrolmentError(_refusal(error)) from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise EnrolmentError(f"{server} does not answer: {getattr(reason, 'strerror', None) or reason}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EnrolmentError(f"What answers at {server} is no laboratory.") from error


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"What answers at {error.url} is no laboratory (HTTP {error.code})."


def _configuration(path: Path) -> str:
    """Return what is in the configuration already; EnrolmentError when it is not understood, before a code is used."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise EnrolmentError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnrolmentError(f"{path} is no TOML: {error}. Mend it or move it away; the code was not used.") from error
    return text


def with_camera(text: str, enrolled: Enrolled, options: argparse.Namespace) -> str:
    """Return the configuration with a camera added, or with the new token where it is there already."""
    starts = [match.start() for match in _CAMERA.finditer(text)]
    head = text[: starts[0] if starts else None]
    blocks = [text[start:end] for start, end in itertools.pairwise([*starts, len(text)])]
    server = str(tomllib.loads(head).get("server", ""))
    if not head.strip() and not blocks:
        server = enrolled.server
        head = (
            f"# Written by labsite-agent --enrol; it holds a secret.\nserver = {_quoted(server)}\n"
            f"spool = {_quoted(options.spool)}\n\n"
        )
    added = False
    for number, block in enumerate(blocks):
        camera: dict[str, Any] = tomllib.loads(block)["camera"][0]
        if camera.get("slug") == enrolled.slug:
            first, _, rest = _SAID.sub("", block).partition("\n")
            blocks[number] = "\n".join([first, *_secrets(enrolled, server), rest])
            added = True
    if not added:
        blocks.append(_block(enrolled, options, server))
    return "\n".join(part.rstrip("\n") + "\n" for part in (head, *blocks) if part.strip())


def _block(enrolled: Enrolled, options: argparse.Namespace, server: str) -> str:
    lines = ["[[camera]]", f"slug = {_quoted(enrolled.slug)}", *_secrets(enrolled, server)]
    lines.append(f"source = {_quoted(options.source or DEFAULT_SOURCE)}")
    if options.fps:
        lines.append(f"fps = {options.fps:g}")
    if options.size:
        lines.append(f"size = {_quoted(options.size)}")
    return "\n".join(lines) + "\n"


def _secrets(enrolled: Enrolled, server: str) -> list[str]:
    lines = [f"token = {_quoted(enrolled.token)}"]
    if server.rstrip("/") != enrolled.server:
        # The file's other cameras reach the laboratory by another name.
        lines.append(f"url = {_quoted(f'{enrolled.server}/ws/cameras/{enrolled.slug}/ingest/')}")
    return lines


def _quoted(value: object) -> str:
    """Return a TOML string; JSON's escapes are TOML's."""
    return json.dumps(str(value), ensure_ascii=False)
