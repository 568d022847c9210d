"""What cameras an agent runs: from the command line for one, from a TOML file for several.

::

    server = "ws://lab.example:8001"
    spool = "/var/lib/labsite-agent"

    [[camera]]
    slug = "box-1-top"
    token_file = "/etc/labsite-agent/box-1-top.token"
    source = "usb:0"
    fps = 30
    size = "640x480"
    codec = "h264"        # left out: what the server says of this camera
"""

from __future__ import annotations

import argparse
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from cameras.agent.capture import CameraSettings
from cameras.wire import CODECS

_ALL = {"server", "spool", "camera", "memory_mb", "spool_gb"}
_CAMERA = {
    "slug", "url", "token", "token_file", "source", "fps", "size", "codec", "quality", "preview_width", "memory_mb",
    "spool_gb",
}  # fmt: skip
_SLUG = re.compile(r"[-a-zA-Z0-9_]+")
_URL = re.compile(r"wss?://.+/ws/cameras/([-a-zA-Z0-9_]+)/ingest/?")


DEFAULT_CONFIG = Path("labsite-agent.toml")


class ConfigError(Exception):
    """What is wrong in the configuration, and where."""


def command_line(argv: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        prog="labsite-agent",
        description="Takes pictures on a behaviour box and sends them to the laboratory's server.",
        epilog=f"With nothing else said, the cameras of {DEFAULT_CONFIG} run, which --enrol writes.",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"TOML file with one or more cameras ({DEFAULT_CONFIG})"
    )
    parser.add_argument(
        "--enrol", metavar="CODE", help="get a camera's token for a code of the admin, write it to --config, and end"
    )
    parser.add_argument(
        "--server", metavar="URL", help="with --enrol: the laboratory's address, http://lab.example:8000"
    )
    parser.add_argument("--url", help="ws://host:port/ws/cameras/<slug>/ingest/")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="file that holds the camera's token (or LAB_CAMERA_TOKEN)"
    )
    parser.add_argument("--source", help="sim:, sim:PATH.npz, file:PATH, usb:0, rtsp://..., http://...")
    parser.add_argument("--fps", type=float, help="pictures a second (the source's own when left out)")
    parser.add_argument("--size", help="WIDTHxHEIGHT in pixels, such as 640x480")
    parser.add_argument("--codec", help="jpeg or h264, whatever the server says of this camera")
    parser.add_argument("--quality", type=int, default=80, help="quality of the pictures, 1 to 100 (80)")
    parser.add_argument(
        "--preview-width", type=int, default=320, help="width of the small pictures of the wall, px (320)"
    )
    parser.add_argument(
        "--spool",
        type=Path,
        default=Path("agent-spool"),
        metavar="DIR",
        help="where frames wait that are not stored yet",
    )
    parser.add_argument(
        "--memory-mb", type=float, default=64, help="memory for frames that are not stored yet, MB (64)"
    )
    parser.add_argument("--spool-gb", type=float, default=20, help="disk for frames that are not stored yet, GB (20)")
    return parser.parse_args(argv)


def cameras_of(options: argparse.Namespace) -> list[CameraSettings]:
    """Return the cameras that a command line names; ConfigError says what is wrong with it."""
    if options.config:
        return from_toml(options.config)
    if not options.url and not options.source:
        if DEFAULT_CONFIG.is_file():
            return from_toml(DEFAULT_CONFIG)
        raise ConfigError(
            f"There is no {DEFAULT_CONFIG} here; write one with --enrol CODE --server URL, name one with --config, "
            "or give --url and --source."
        )
    given = {
        "url": options.url,
        "source": options.source,
        "fps": options.fps,
        "size": options.size,
        "codec": options.codec,
        "quality": options.quality,
        "preview_width": options.preview_width,
        "memory_mb": options.memory_mb,
        "spool_gb": options.spool_gb,
        "token": os.environ.get("LAB_CAMERA_TOKEN"),
        "token_file": str(options.token_file) if options.token_file else None,
    }
    return [_camera({k: v for k, v in given.items() if v is not None}, "the command line", "", options.spool)]


def from_toml(path: Path) -> list[CameraSettings]:
    """Return the cameras of a TOML file; ConfigError names the entry that is wrong."""
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}.") from error
    if unknown := set(data) - _ALL:
        raise ConfigError(f"{path}: unknown entry {min(unknown)!r}; known are {', '.join(sorted(_ALL))}.")
    cameras = data.get("camera")
    if not isinstance(cameras, list) or not cameras:
        raise ConfigError(f"{path}: there is no [[camera]].")
    spool = Path(str(data.get("spool", "agent-spool")))
    shared: dict[str, Any] = {name: data[name] for name in ("memory_mb", "spool_gb") if name in data}
    found = [
        _camera({**shared, **camera}, f"{path}, camera {number}", str(data.get("server", "")), spool, path.parent)
        for number, camera in enumerate(cameras, 1)
    ]
    slugs = [camera.slug for camera in found]
    for slug in slugs:
        if slugs.count(slug) > 1:
            raise ConfigError(f"{path}: the camera {slug!r} is there twice.")
    return found


def _camera(given: dict[str, Any], where: str, server: str, spool: Path, base: Path = Path()) -> CameraSettings:
    if unknown := set(given) - _CAMERA:
        raise ConfigError(f"{where}: unknown entry {min(unknown)!r}; known are {', '.join(sorted(_CAMERA))}.")
    slug = given.get("slug")
    url = given.get("url")
    if slug is not None and not _SLUG.fullmatch(str(slug)):
        raise ConfigError(f"{where}: slug {slug!r} may have letters, digits, - and _.")
    if url is None and slug and server:
        url = f"{server.rstrip('/')}/ws/cameras/{slug}/ingest/"
    if url is None:
        raise ConfigError(f"{where}: the address is missing; give url, or server and slug.")
    match = _URL.fullmatch(str(url))
    if match is None:
        raise ConfigError(f"{where}: url {url!r} is not of the form ws://host:port/ws/cameras/<slug>/ingest/.")
    source = given.get("source")
    if not source:
        raise ConfigError(
            f"{where}: source is missing; write sim:, file:PATH, usb:0, or an rtsp:// or http:// address."
        )
    fps = _number(given, "fps", where, low=0.1, high=1000)
    quality = _number(given, "quality", where, low=1, high=100)
    preview = _number(given, "preview_width", where, low=32, high=1280)
    memory = _number(given, "memory_mb", where, low=1, high=1e6)
    spool_gb = _number(given, "spool_gb", where, low=0, high=1e6)
    name = match.group(1)
    return CameraSettings(
        slug=name,
        url=str(url),
        token=_token(given, where, base),
        source=str(source),
        fps=fps,
        size=_size(given.get("size"), where),
        codec=_codec(given.get("codec"), where),
        quality=int(quality or 80),
        preview_width=int(preview or 320),
        spool=(base / spool / name).resolve(),
        memory_bytes=int((memory or 64) * 1e6),
        spool_bytes=int((20 if spool_gb is None else spool_gb) * 1e9),
    )


def _number(given: dict[str, Any], name: str, where: str, *, low: float, high: float) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{where}: {name} is {value!r}, must be a number from {low:g} to {high:g}.")
    return float(value)


def _size(value: Any, where: str) -> tuple[int, int] | None:
    if value is None:
        return None
    match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", str(value))
    if match is None:
        raise ConfigError(f"{where}: size {value!r} is not of the form 640x480.")
    return int(match[1]), int(match[2])


def _codec(value: Any, where: str) -> str | None:
    if value is not None and value not in CODECS.values():
        raise ConfigError(f"{where}: codec is {value!r}, must be {' or '.join(CODECS.values())}.")
    return value


def _token(given: dict[str, Any], where: str, base: Path) -> str:
    # A file beats the environment, so that several agents on one box do not all take the same token.
    if given.get("token_file"):
        path = base / str(given["token_file"])
        try:
            token = path.read_text().strip()
        except OSError as error:
            raise ConfigError(f"{where}: the token file {path} cannot be read: {error.strerror}.") from error
    else:
        token = str(given.get("token") or "").strip()
    if not token:
        raise ConfigError(f"{where}: there is no token; the server shows it once when the camera is made.")
    return token
