"""What a rig's controller reports, over REST and over the websocket: once, with its own clock, heard by the page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from sessions.models import Event
from sessions.tokens import create_token
from tests.catalog.conftest import NOON
from tests.catalog.test_live import Listener, key_of


class Controller(Listener):
    """The websocket of a controller."""

    def __init__(self, session: Any, key: str | None) -> None:
        super().__init__(session, key)
        self.scope["path"] = f"/ws/sessions/{session.pk}/events/"

    async def ask(self, message: Any) -> Any:
        await self.send_input({"type": "websocket.receive", "text": json.dumps(message)})
        return await self.hear()

    async def leave(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait()

    async def closed(self, seconds: float = 5) -> tuple[int, str]:
        message = await self.receive_output(seconds)
        assert message["type"] == "websocket.close"
        await self.send_input({"type": "websocket.disconnect", "code": message["code"]})
        await self.wait()
        return message["code"], message["reason"]


def event(number: int, **changes: Any) -> dict[str, Any]:
    said = {"device_ns": 12_345_678_901 + number, "offset_ms": -1.25}
    return {"time": NOON.isoformat(), "kind": "poke", "source": "box", "number": number, **said, **changes}


@pytest.mark.django_db
def test_the_device_clock_is_kept_as_it_came(lab, api):
    body = [{**event(n), "session": str(lab.session.pk)} for n in (1, 2)]
    reply = api("experimenter").post("/api/v1/events/", body, format="json")
    assert (reply.status_code, reply.json()) == (201, {"added": 2, "already": 0})
    again = api("experimenter").post("/api/v1/events/", [*body, {**body[0], "number": 3}], format="json")
    assert again.json() == {"added": 1, "already": 2}
    rows = api("viewer").get(f"/api/v1/events/?session={lab.session.pk}&ordering=time").json()["results"]
    assert {(row["device_ns"], row["offset_ms"]) for row in rows} == {(12_345_678_902, -1.25), (12_345_678_903, -1.25)}
    assert {row["time"] for row in rows} == {"2026-03-02T12:00:00Z"}
    for field, value in (("device_ns", 2**63), ("device_ns", "now"), ("offset_ms", "far"), ("offset_ms", "nan")):
        wrong = api("experimenter").post("/api/v1/events/", [{**body[0], "number": 9, field: value}], format="json")
        assert wrong.status_code == 400
        assert field in json.dumps(wrong.json()["errors"])
    assert Event.objects.count() == 3


live = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("connections_of_threads")]


class TestWebsocket:
    pytestmark = live

    async def test_events_are_taken_once_and_heard_by_the_page(self, lab):
        page = Listener(lab.session, await key_of(lab.viewer))
        await page.open()
        await page.hear()
        box = Controller(lab.session, await key_of(lab.experimenter))
        await box.open()
        assert (await box.hear())["type"] == "ready"
        said = {"type": "events", "id": 7, "events": [event(1), event(2)]}
        assert await box.ask(said) == {"type": "added", "id": 7, "added": 2, "already": 0}
        heard = await page.hear()
        assert (heard["added"], heard["events"][0]["device_ns"]) == (2, 12_345_678_902)
        assert await box.ask(said) == {"type": "added", "id": 7, "added": 0, "already": 2}
        answer = await box.ask({"type": "time", "sent": 5})
        assert answer["sent"] == 5
        assert answer["server_ns"] > NOON.timestamp() * 1e9
        await box.leave()
        await page.send_input({"type": "websocket.disconnect", "code": 1000})
        await page.wait()
        assert await Event.objects.acount() == 2

    async def test_what_is_wrong_is_named_and_nothing_of_it_is_taken(self, lab):
        box = Controller(lab.session, await key_of(lab.experimenter))
        await box.open()
        await box.hear()
        for bad, word in (
            ([event(1), event(2, kind="")], "kind"),
            ([event(1, time="2026-03-02T12:00:00")], "time"),
            ([event(1, session=str(lab.session.pk))], "session"),
            ("none", "list"),
            (None, ""),
            ([event(n) for n in range(10_001)], "10000"),
        ):
            answer = await box.ask({"type": "events", "id": "a", "events": bad})
            assert (answer["type"], answer["id"]) == ("refused", "a"), answer
            assert answer["status"] in {400, 413}
            assert word in json.dumps(answer)
        assert (await box.ask({"type": "events", "events": [event(1)]}))["added"] == 1
        await box.send_input({"type": "websocket.receive", "text": "[]"})
        assert (await box.closed())[0] == 4400
        assert await Event.objects.acount() == 1

    @pytest.mark.parametrize(("role", "code"), [(None, 4401), ("outsider", 4404), ("viewer", 4403)])
    async def test_others_are_closed_with_a_reason(self, lab, role, code):
        box = Controller(lab.session, None if role is None else await key_of(getattr(lab, role)))
        await box.open()
        closed = await box.closed()
        assert closed[0] == code
        assert closed[1]

    async def test_a_token_that_may_only_read_or_is_revoked(self, lab):
        for scope in ("read", "camera"):
            _, other = await sync_to_async(create_token)(user=lab.experimenter, name="r", scope=scope)
            box = Controller(lab.session, other)
            await box.open()
            assert (await box.closed())[0] == 4403
        token, key = await sync_to_async(create_token)(user=lab.experimenter, name="w")
        box = Controller(lab.session, key)
        await box.open()
        assert (await box.hear())["type"] == "ready"
        token.revoked = NOON.replace(year=2030)
        await token.asave()
        assert (await box.closed(5))[0] == 4401

    async def test_what_a_refused_controller_says_before_it_hears_so_is_not_taken(self, lab):
        _, key = await sync_to_async(create_token)(user=lab.experimenter, name="reader", scope="read")
        box = Controller(lab.session, key)
        await box.send_input({"type": "websocket.connect"})
        said = json.dumps({"type": "events", "id": 1, "events": [event(1)]})
        await box.send_input({"type": "websocket.receive", "text": said})
        assert (await box.receive_output(5))["type"] == "websocket.accept"
        assert (await box.closed())[0] == 4403
        assert await Event.objects.acount() == 0
