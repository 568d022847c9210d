"""uvicorn's websocket protocol, with a short way for live frames.

What a server sends over a websocket is not masked, so a frame is the same bytes for every viewer: it is encoded once,
and each viewer's transport gets the same object. The viewer's ``ack`` comes back without a queue and a task switch.
All else (the handshake, pings, closing, other messages) stays uvicorn's.

Run uvicorn with ``--ws cameras.relay.protocol:FrameWebSocketProtocol``. With any other websocket implementation the
relay works as well, at a higher cost.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from cameras.wire import MAX_MESSAGE

EXTENSION = "labsite.frames"
# What a viewer says is an ack or a small question.
_LONGEST_FROM_VIEWER = 4096
_ACK = b"ack"
# Messages that may wait for the application before the connection is not read any more.
_MESSAGES_AHEAD = 4
_SECONDS_TO_READ_WHY = 3.0


def encoded_binary(payload: bytes) -> bytes:
    """Return one unmasked binary websocket message (RFC 6455, 5.2) in a single frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x82, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", 0x82, 126, size) + payload
    return struct.pack("!BBQ", 0x82, 127, size) + payload


def encoded_text(payload: bytes) -> bytes:
    """Return one unmasked text websocket message in a single frame."""
    return b"\x81" + encoded_binary(payload)[1:]


class FrameWebSocketProtocol(WebSocketsSansIOProtocol):
    """Offers itself to the application as ``scope["extensions"]["labsite.frames"]``."""

    def __init__(self, config: Config, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        # JPEG does not get smaller; deflate would only cost time, for every viewer anew.
        config.ws_per_message_deflate = False
        config.ws_max_size = min(config.ws_max_size, MAX_MESSAGE)
        super().__init__(config, server_state, app_state, _loop)
        self._on_ack: Callable[[], None] | None = None
        self._partial = b""
        self._refused = False

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        # The application's task was made just now and has not run yet.
        if self.response.status_code == 101:
            extensions: dict[Any, Any] = self.scope["extensions"]
            extensions[EXTENSION] = self

    def take_over(self, on_ack: Callable[[], None]) -> None:
        """Call ``on_ack`` for each text message ``ack`` from now on."""
        self._on_ack = on_ack

    def write_encoded(self, message: bytes) -> bool:
        """Write an encoded websocket message; says whether the connection still takes any."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return False
        self.transport.write(message)
        return True

    @property
    def unsent(self) -> int:
        """Bytes that the viewer's link has not taken yet."""
        return 0 if self.disconnected else self.transport.get_write_buffer_size()

    def handle_parser_exception(self) -> None:
        """Refuse what cannot be taken (too large, no websocket frame) so that the peer gets to read why.

        Closing at once, with bytes of the peer unread, would reset the connection, and the reason with it.
        """
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.logger.warning("refused a websocket message from %s: %s (%s)", self.client, reason, code)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._refused = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_SECONDS_TO_READ_WHY, self.transport.close)

    def send_receive_event_to_app(self) -> None:
        """Hand a message to the application; stop reading when it has several to do, not after each one."""
        paused, self.read_paused = self.read_paused, True
        super().send_receive_event_to_app()
        self.read_paused = paused
        if not paused and self.queue.qsize() >= _MESSAGES_AHEAD:
            self.read_paused = True
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._on_ack is None:
            super().data_received(data)
            return
        if self._partial:
            data, self._partial = self._partial + data, b""
        start, size = 0, len(data)
        while start < size:
            end = _frame_end(data, start)
            if (end or size) - start > _LONGEST_FROM_VIEWER:
                self.conn.fail(1009, f"A viewer's message has at most {_LONGEST_FROM_VIEWER} bytes.")
                self.handle_parser_exception()
                return
            if end is None or end > size:
                self._partial = data[start:]
                return
            if _is_ack(data, start, end):
                self._on_ack()
            else:
                super().data_received(data[start:end])
            start = end


def _frame_end(data: bytes, start: int) -> int | None:
    """Return where the frame that begins at ``start`` ends, or ``None`` when its head is not complete."""
    if len(data) - start < 2:
        return None
    length = data[start + 1] & 0x7F
    head = 2 + (4 if data[start + 1] & 0x80 else 0)
    if length == 126:
        if len(data) - start < 4:
            return None
        length, head = int.from_bytes(data[start + 2 : start + 4], "big"), head + 2
    elif length == 127:
        if len(data) - start < 10:
            return None
        length, head = int.from_bytes(data[start + 2 : start + 10], "big"), head + 8
    return start + head + length


def _is_ack(data: bytes, start: int, end: int) -> bool:
    """Return whether the frame is a final, masked text frame that says ``ack``."""
    if end - start != 9 or data[start] != 0x81 or data[start + 1] != 0x83:
        return False
    return (
        data[start + 6] ^ data[start + 2] == _ACK[0]
        and data[start + 7] ^ data[start + 3] == _ACK[1]
        and data[start + 8] ^ data[start + 4] == _ACK[2]
    )
