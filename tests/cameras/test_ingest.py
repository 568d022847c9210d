"""What ingest takes and refuses, with sockets that the test holds itself."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from cameras import frametable, services
from cameras.errors import DiskLow
from cameras.models import CameraRecording
from cameras.wire import FrameHeader, encode
from sessions.errors import Conflict
from tests.cameras.conftest import Catalog, make_catalog
from tests.cameras.laboratory import Laboratory, next_json, wait_for
from tests.cameras.test_live import REVOKED_WITHIN, closed_with

pytestmark = pytest.mark.timeout(120)


def frame(sequence: int, **changes: Any) -> bytes:
    return encode(
        FrameHeader(sequence, time.time_ns(), 64, 48, **changes), b"\xff\xd8\xff" + sequence.to_bytes(8, "big") * 20
    )


def patched(offset: int, value: bytes) -> bytes:
    message = bytearray(frame(1))
    message[offset : offset + len(value)] = value
    return bytes(message)


BAD = {
    "magic": patched(0, b"NOPE"),
    "codec": patched(4, b"\x09"),
    "flags": patched(5, b"\x80"),
    "header length": patched(6, b"\x04\x00"),
    "capture time": patched(16, bytes(8)),
    "width": patched(32, bytes(2)),
    "picture": patched(40, b"\x00\x00"),
    "header": b"LABF",
}


def test_refusals_name_what_is_wrong_and_disturb_nobody(laboratory: Laboratory) -> None:
    catalog = make_catalog()
    bystander = laboratory.connect_agent(catalog.cameras[1].slug, catalog.tokens[1])
    slug, token = catalog.cameras[0].slug, catalog.tokens[0]
    for field, message in BAD.items():
        agent = laboratory.connect_agent(slug, token)
        agent.send(frame(1))
        agent.send(message)
        code, reason = closed_with(agent)
        assert code == 4400
        assert field in reason
        assert f"{slug}: closed the agent's socket: {reason[:60]}" in laboratory.log("ingest")
    for text, named in (("{", "JSON"), ("[1]", "type"), ('{"type":"pending","recording":"x"}', "recording")):
        agent = laboratory.connect_agent(slug, token)
        agent.send(text)
        code, reason = closed_with(agent)
        assert code == 4400
        assert named in reason
    agent = laboratory.connect_agent(slug, token)
    with suppress(ConnectionClosed):  # It may be closed before all of it is sent.
        agent.send(bytes(9 * 1024 * 1024))
    assert closed_with(agent)[0] == 1009
    for wrong in ("cam_wrong", catalog.tokens[1], ""):
        code, reason = closed_with(laboratory.connect_agent(slug, wrong))
        assert code == 4401
        assert "token" in reason
        assert f"{slug}: refused an agent from 127.0.0.1: {reason}" in laboratory.log("ingest")
    assert closed_with(laboratory.connect_agent("no-such-camera", token))[0] == 4401
    # A second connection of a camera replaces the first; a token that was changed ends the connection.
    first = laboratory.connect_agent(slug, token)
    next_json(first, "hello")
    second = laboratory.connect_agent(slug, token)
    assert closed_with(first)[0] == 4409
    services.rotate_token(by=catalog.experimenter, camera=catalog.cameras[0])
    changed = time.monotonic()
    assert closed_with(second)[0] == 4401
    assert time.monotonic() - changed < REVOKED_WITHIN
    # The other camera's agent was there all the time.
    bystander.send(frame(5))
    bystander.ping().wait(5)
    wait_for(lambda: laboratory.state(catalog.cameras[1].slug).get("last_picture_ns"), "picture of the bystander")


def test_an_agent_of_the_bare_contract_is_recorded(laboratory: Laboratory) -> None:
    """It sends frames and obeys ``record``, ``stop`` and ``stored``, and says nothing itself."""
    catalog = make_catalog(1)
    agent = laboratory.connect_agent(catalog.cameras[0].slug, catalog.tokens[0])
    recording = services.start_recording(session=catalog.session, by=catalog.experimenter)[0]
    assert next_json(agent, "record")["recording"] == str(recording.pk)
    for sequence in range(10, 40):
        agent.send(frame(sequence))
    _stored(agent, recording, 39)
    # Sent again it is not written again.
    for sequence in range(30, 45):
        agent.send(frame(sequence))
    _stored(agent, recording, 44)
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    next_json(agent, "stop")
    wait_for(lambda: _state(recording) == "finished", "end of the recording", 20)
    table = laboratory.table(recording.folder)
    assert table.records["sequence"].tolist() == list(range(10, 45))
    recording.refresh_from_db()
    assert (recording.frames, recording.lost) == (35, 0)
    assert frametable.read_picture(laboratory.data_root / recording.folder, table.records[5])[3:11] == (15).to_bytes(
        8, "big"
    )


def test_frames_that_come_late_are_never_said_to_be_stored_before_they_are(laboratory: Laboratory) -> None:
    catalog = make_catalog(1)
    agent = laboratory.connect_agent(catalog.cameras[0].slug, catalog.tokens[0])
    recording = services.start_recording(session=catalog.session, by=catalog.experimenter)[0]
    name = str(recording.pk)
    next_json(agent, "record")
    _say(agent, type="recording", recording=name, first=1)
    _say(agent, type="pending", recording=name, first=1, ranges=[[5, 8]])
    for sequence in (1, 2, 3, 4, 9, 10, 11):
        agent.send(frame(sequence))
    assert _stored(agent, recording, 4) == 4
    for sequence in (5, 6, 7, 8):
        agent.send(frame(sequence))
    _stored(agent, recording, 11)
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    next_json(agent, "stop")
    _say(agent, type="stopping", recording=name, first=1, last=11)
    agent.send(frame(12))
    _say(agent, type="stopped", recording=name, first=1, last=11, lost=0)
    while not next_json(agent, "stored").get("finished"):
        continue
    assert sorted(laboratory.table(recording.folder).records["sequence"].tolist()) == list(range(1, 12))


def test_a_camera_that_is_offline_when_stopped_adds_its_frames_later(laboratory: Laboratory) -> None:
    catalog = make_catalog(1)
    slug, token = catalog.cameras[0].slug, catalog.tokens[0]
    agent = laboratory.connect_agent(slug, token)
    recording = services.start_recording(session=catalog.session, by=catalog.experimenter)[0]
    name = str(recording.pk)
    next_json(agent, "record")
    _say(agent, type="recording", recording=name, first=1)
    for sequence in range(1, 21):
        agent.send(frame(sequence))
    _stored(agent, recording, 20)
    agent.close()
    wait_for(lambda: not laboratory.state(slug).get("online"), "state offline")
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    wait_for(lambda: _state(recording) == "finished", "end without the camera", 30)
    recording.refresh_from_db()
    assert recording.frames == 20
    assert "offline" in recording.message
    before = set(recording.recording.files.values_list("path", "revision"))

    agent = laboratory.connect_agent(slug, token)
    _say(agent, type="pending", recording=name, first=1, ranges=[[15, 30]])
    assert next_json(agent, "resend")["recording"] == name
    _say(agent, type="pending", recording=name, first=1, ranges=[[15, 30]])
    for sequence in range(15, 31):
        agent.send(frame(sequence))
    _say(agent, type="stopped", recording=name, first=1, last=30, lost=0)
    while not next_json(agent, "stored").get("finished"):
        continue
    recording.refresh_from_db()
    assert (recording.state, recording.frames, recording.lost) == ("finished", 30, 0)
    # What was registered stays; what changed is a new revision.
    after = set(recording.recording.files.values_list("path", "revision"))
    assert before < after
    assert (f"{recording.folder}/frames.labt", 2) in after


def test_a_hole_is_not_called_stored_before_the_agent_has_said_what_it_holds(laboratory: Laboratory) -> None:
    """Over a slow link the order to record is there before the agent's list of what it still holds."""
    catalog = make_catalog(1)
    slug, token = catalog.cameras[0].slug, catalog.tokens[0]
    agent = laboratory.connect_agent(slug, token)
    recording = services.start_recording(session=catalog.session, by=catalog.experimenter)[0]
    next_json(agent, "record")
    _say(agent, type="pending", recording=str(recording.pk), first=1, ranges=[[11, 19]])
    for sequence in (*range(1, 11), *range(20, 26)):
        agent.send(frame(sequence))
    _stored(agent, recording, 10)
    wait_for(lambda: len(laboratory.table(recording.folder)) == 16, "frames behind the hole")
    agent.close()
    wait_for(lambda: not laboratory.state(slug).get("online"), "state offline")

    agent = laboratory.connect_agent(slug, token)
    assert next_json(agent, "record")["stored"] == 10
    _say(agent, type="pending", recording=str(recording.pk), first=1, ranges=[[11, 25]])
    for sequence in range(11, 26):
        agent.send(frame(sequence))
    _stored(agent, recording, 25)
    assert laboratory.table(recording.folder).gaps() == []
    services.stop_recording(session=catalog.session, by=catalog.experimenter)


def test_orders_that_cannot_be_carried_out(laboratory: Laboratory, settings: Any) -> None:
    catalog: Catalog = make_catalog(1)
    with pytest.raises(Conflict, match="Nothing is being recorded"):
        services.stop_recording(session=catalog.session, by=catalog.experimenter)
    settings.LAB_DISK_RESERVE = 1 << 60
    with pytest.raises(DiskLow, match="disk of the recordings is low"):
        services.start_recording(session=catalog.session, by=catalog.experimenter)
    assert not CameraRecording.objects.exists()
    settings.LAB_DISK_RESERVE = 0
    services.start_recording(session=catalog.session, by=catalog.experimenter)
    with pytest.raises(Conflict, match="Already recording"):
        services.start_recording(session=catalog.session, by=catalog.experimenter)
    services.stop_recording(session=catalog.session, by=catalog.experimenter)


def _say(agent: ClientConnection, **message: Any) -> None:
    agent.send(json.dumps(message))


def _stored(agent: ClientConnection, recording: CameraRecording, sequence: int) -> int:
    """Wait until the server says that all up to this number is stored; never more than that."""
    while (message := next_json(agent, "stored"))["sequence"] < sequence:
        assert message["recording"] == str(recording.pk)
    assert message["sequence"] == sequence
    return message["sequence"]


def _state(recording: CameraRecording) -> str:
    recording.refresh_from_db()
    return recording.state


def test_an_agent_with_a_wrong_token_ends_and_says_so(laboratory: Laboratory) -> None:
    catalog = make_catalog(1)
    name = laboratory.start_agent(catalog.cameras[0].slug, "cam_wrong", name="agent-refused")
    assert laboratory.processes[name].wait(20) == 3
    assert "refuses this camera" in laboratory.log(name)
    good = laboratory.start_agent(catalog.cameras[0].slug, catalog.tokens[0])
    wait_for(lambda: laboratory.state(catalog.cameras[0].slug).get("fps"), "picture")
    assert laboratory.terminate(good) == 0
