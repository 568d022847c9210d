"""Two lean lines to Redis for frames: one that publishes, one that is subscribed.

At sixty kilobytes a message and hundreds a second, what a client library does around each message costs more than
moving the bytes. Here a message is one write of its parts, and a received one is what ``hiredis`` parsed. Both lines
connect again by themselves; while there is no Redis, publishing drops (a live picture is worth nothing later) and
nobody waits.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

log = logging.getLogger(__name__)

# What Redis may owe us before new frames are dropped: it has stalled, and more would only be memory.
WRITE_LIMIT = 16 * 1024 * 1024
FIRST_DELAY = 0.1
LONGEST_DELAY = 2.0
PING_PERIOD = 2.0
SILENCE = 6.0

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Address:
    """Where Redis is: a host and port, or the path of a socket."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str = ""
    username: str = ""
    password: str = ""
    database: int = 0
    tls: bool = False


def parse_address(url: str) -> Address:
    """Return the address in a URL: redis://, rediss:// or unix://; ValueError for any other."""
    parts = urlsplit(url)
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "unix":
        database = int(parse_qs(parts.query).get("db", ["0"])[0])
        return Address(path=unquote(parts.path), username=username, password=password, database=database)
    if parts.scheme not in {"redis", "rediss"}:
        raise ValueError(f"{parts.scheme}:// is no address of Redis; write redis://, rediss:// or unix://")
    database = int(parts.path.strip("/") or 0)
    return Address(
        parts.hostname or "127.0.0.1", parts.port or 6379, "", username, password, database, parts.scheme == "rediss"
    )


def command(*parts: Bytes | str) -> bytes:
    """Return a command as Redis reads it."""
    encoded = [part.encode() if isinstance(part, str) else bytes(part) for part in parts]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in encoded)


class _Protocol(asyncio.Protocol):
    def __init__(self, on_reply: Callable[[Any], None]) -> None:
        self.reader = hiredis.Reader()
        self.on_reply = on_reply
        self.lost = asyncio.get_running_loop().create_future()
        self.transport: Any = None
        self.heard = 0.0
        self._clock = asyncio.get_running_loop().time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.heard = self._clock()

    def data_received(self, data: bytes) -> None:
        self.heard = self._clock()
        reader = self.reader
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not False:
                self.on_reply(reply)
        except hiredis.ProtocolError as error:
            log.error("Redis sent what is not its protocol: %s", error)  # noqa: TRY400
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(error)


class Line:
    """One connection to Redis that is made again for as long as ``run`` runs."""

    def __init__(self, url: str) -> None:
        self.address = parse_address(url)
        self.connected = asyncio.Event()
        self._protocol: _Protocol | None = None

    async def run(self) -> None:
        """Hold the connection until cancelled."""
        delay, silent = FIRST_DELAY, False
        while True:
            try:
                protocol = await asyncio.wait_for(self._connect(), 5)
            except (OSError, TimeoutError) as error:
                if not silent:
                    log.warning("Redis is not reachable (%s); trying on.", error)
                    silent = True
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
                continue
            if silent:
                log.info("Redis is reachable again.")
            delay, silent = FIRST_DELAY, False
            self._protocol = protocol
            self.connected.set()
            try:
                self.made(protocol)
                while not protocol.lost.done():
                    await asyncio.wait([protocol.lost], timeout=PING_PERIOD)
                    if asyncio.get_running_loop().time() - protocol.heard > SILENCE:
                        log.warning("Redis does not answer; connecting again.")
                        break
                    if not protocol.lost.done():
                        protocol.transport.write(command("PING"))
            finally:
                self._protocol = None
                self.connected.clear()
                protocol.transport.abort()
            log.warning("The connection to Redis was lost; connecting again.")
            await asyncio.sleep(FIRST_DELAY)

    async def _connect(self) -> _Protocol:
        loop = asyncio.get_running_loop()
        address = self.address
        if address.path:
            _, protocol = await loop.create_unix_connection(lambda: _Protocol(self.reply), address.path)
        else:
            context = ssl.create_default_context() if address.tls else None
            _, protocol = await loop.create_connection(
                lambda: _Protocol(self.reply), address.host, address.port, ssl=context
            )
        if address.password:
            login = [address.username] if address.username else []
            protocol.transport.write(command("AUTH", *login, address.password))
        if address.database:
            protocol.transport.write(command("SELECT", str(address.database)))
        return protocol

    def made(self, protocol: _Protocol) -> None:
        """Called on each new connection."""

    def reply(self, reply: Any) -> None:
        """Called with each reply."""
        if isinstance(reply, hiredis.ReplyError):
            log.error("Redis refused a command: %s", reply)


class Publisher(Line):
    """Publishes frames and small states; drops both while Redis is away."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.dropped = 0

    def publish(self, channel: bytes, parts: Sequence[Bytes]) -> bool:
        """Send one message made of parts to a channel; says whether it was handed to Redis."""
        protocol = self._protocol
        if protocol is None or protocol.transport.get_write_buffer_size() > WRITE_LIMIT:
            self.dropped += 1
            return False
        size = sum(map(len, parts))
        head = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n" % (len(channel), channel, size)
        protocol.transport.writelines([head, *parts, b"\r\n"])
        return True

    def send(self, *parts: Bytes | str) -> None:
        """Send a command whose reply is of no interest."""
        if self._protocol is not None:
            self._protocol.transport.write(command(*parts))


class Subscriber(Line):
    """Subscribed to any number of channels; a new connection subscribes to all of them again."""

    def __init__(self, url: str, on_message: Callable[[bytes, bytes], None]) -> None:
        super().__init__(url)
        self.channels: set[bytes] = set()
        self._on_message = on_message

    def subscribe(self, channel: bytes) -> None:
        if channel in self.channels:
            return
        self.channels.add(channel)
        if self._protocol is not None:
            self._protocol.transport.write(command("SUBSCRIBE", channel))

    def unsubscribe(self, channel: bytes) -> None:
        if channel not in self.channels:
            return
        self.channels.discard(channel)
        if self._protocol is not None:
            self._protocol.transport.write(command("UNSUBSCRIBE", channel))

    def made(self, protocol: _Protocol) -> None:
        if self.channels:
            protocol.transport.write(command("SUBSCRIBE", *sorted(self.channels)))

    def reply(self, reply: Any) -> None:
        if isinstance(reply, list) and reply[0] == b"message":
            self._on_message(reply[1], reply[2])
        else:
            super().reply(reply)


def frames_channel(slug: str, rendition: str) -> bytes:
    """Return the channel that a camera's frame messages are published on."""
    return f"frames:{slug}:{rendition}".encode()


def state_channel(slug: str) -> bytes:
    """Return the channel of a camera's state (JSON), and the key under which the last one is kept for 5 s."""
    return f"camera-state:{slug}".encode()


WAKE_CHANNEL = b"cameras:wake"
# Which ingest process has which cameras, and since when: an agent that came back elsewhere is let go here.
CLAIM_CHANNEL = b"cameras:claims"
# The slug of a camera that somebody begins to watch, who needs a key frame.
KEY_CHANNEL = b"cameras:key"
