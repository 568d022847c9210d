"""The websocket of a session: who may listen, and that what is committed is heard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator

from labsite.asgi import application
from sessions import consumers, services
from sessions.models import Membership
from sessions.tokens import create_token
from tests.catalog.conftest import NOON

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("connections_of_threads")]


class Listener(ApplicationCommunicator):
    """A websocket to the real ASGI application of the web process."""

    def __init__(self, session: Any, key: str | None) -> None:
        headers = [(b"authorization", f"Token {key}".encode())] if key else [(b"origin", b"http://localhost")]
        path = f"/ws/sessions/{session.pk}/"
        scope = {"type": "websocket", "path": path, "headers": headers, "query_string": b"", "subprotocols": []}
        super().__init__(application, scope)

    async def open(self) -> None:
        await self.send_input({"type": "websocket.connect"})
        assert (await self.receive_output(5))["type"] == "websocket.accept"

    async def hear(self) -> Any:
        return json.loads((await self.receive_output(5))["text"])


async def key_of(user) -> str:
    return (await sync_to_async(create_token)(user=user, name="listener"))[1]


async def test_who_may_see_the_session_hears_its_events(lab):
    socket = Listener(lab.session, await key_of(lab.viewer))
    await socket.open()
    assert await socket.hear() == {"type": "ready"}
    events = [{"time": NOON, "kind": "poke", "value": {"port": 2}, "source": "box", "number": 1}]
    await sync_to_async(services.add_events)(by=lab.experimenter, session=lab.session, events=events)
    heard = await socket.hear()
    assert (heard["type"], heard["added"], heard["total"]) == ("events", 1, 1)
    assert heard["events"][0]["kind"] == "poke"
    await sync_to_async(services.update_session)(by=lab.experimenter, session=lab.session, narrative="calm")
    assert (await socket.hear())["type"] == "session"
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait()


@pytest.mark.parametrize(("role", "code"), [("outsider", 4404), (None, 4401)])
async def test_others_are_closed_with_a_reason(lab, role, code):
    socket = Listener(lab.session, None if role is None else await key_of(getattr(lab, role)))
    await socket.open()
    closed = await socket.receive_output(5)
    assert (closed["type"], closed["code"]) == ("websocket.close", code)
    assert closed["reason"]
    await socket.send_input({"type": "websocket.disconnect", "code": code})
    await socket.wait()


async def test_an_address_that_is_none_is_refused(lab):
    scope = {"type": "websocket", "path": "/ws/sessions/zz/", "headers": [(b"origin", b"http://localhost")],
             "query_string": b"", "subprotocols": []}  # fmt: skip
    socket = ApplicationCommunicator(application, scope)
    await socket.send_input({"type": "websocket.connect"})
    closed = await socket.receive_output(5)
    assert (closed["type"], closed["code"]) == ("websocket.close", 4404)
    await socket.wait()


async def test_who_may_see_the_session_no_longer_hears_no_more(lab, monkeypatch):
    monkeypatch.setattr(consumers, "RECHECK_PERIOD", 0.2)
    socket = Listener(lab.session, await key_of(lab.viewer))
    await socket.open()
    assert await socket.hear() == {"type": "ready"}
    await Membership.objects.filter(user=lab.viewer).adelete()
    closed = await socket.receive_output(5)
    assert (closed["type"], closed["code"]) == ("websocket.close", 4404)
    await socket.send_input({"type": "websocket.disconnect", "code": 4404})
    await socket.wait()
