"""A box gets its camera's token for a code: once, in time, from the right hands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from cameras import services
from cameras.agent.config import from_toml
from cameras.agent.enrolment import Enrolled, EnrolmentError, ask, enrol, with_camera
from cameras.models import Camera, CameraEnrolment
from sessions.errors import Forbidden, NotFound
from sessions.tokens import digest_of
from tests.cameras.conftest import Catalog, make_catalog
from tests.cameras.laboratory import ROOT, Laboratory, free_port, wait_for


def rest(key: str, path: str) -> Any:
    return Client(headers={"Authorization": f"Token {key}"}).post(f"/api/v1/{path}")


def use(code: str, address: str) -> Any:
    return Client(REMOTE_ADDR=address).post("/api/v1/camera-enrolment/", {"code": code}, "application/json")


def test_a_code_gives_the_token_once(catalog: Catalog, settings: Any) -> None:
    settings.LAB_INGEST_URL = "ws://127.0.0.1:8001"
    settings.ALLOWED_HOSTS = ["lab.example"]
    camera = catalog.cameras[0]
    path = f"/api/v1/cameras/{camera.slug}/enrolment/"
    headers = {"Authorization": f"Token {catalog.keys['exp']}", "Host": "lab.example:8000"}
    reply = Client(headers=headers).post(path)
    assert reply.status_code == 201, reply.content
    code = reply.json()["code"]
    assert reply.json()["command"] == f"labsite-agent --enrol {code} --server http://lab.example:8000"
    kept = CameraEnrolment.objects.get()
    assert code.replace("-", "") not in str(vars(kept))
    # As people type it: small letters, blanks instead of dashes.
    typed = code.lower().replace("-", " ")
    headers = {"Host": "lab.example:8000"}
    given = Client(REMOTE_ADDR="198.51.100.1", headers=headers).post(
        "/api/v1/camera-enrolment/", {"code": typed}, "application/json"
    )
    assert given.status_code == 200, given.content
    # The setting's address is this machine's own; the box asked from another.
    assert given.json()["server"] == "ws://lab.example:8001"
    assert given.json()["camera"] == camera.slug
    before = camera.token_digest
    camera.refresh_from_db()
    assert camera.token_digest == digest_of(given.json()["token"]) != before
    again = Client(REMOTE_ADDR="198.51.100.1", headers=headers).post(
        "/api/v1/camera-enrolment/", {"code": code}, "application/json"
    )
    assert again.status_code == 403
    assert "works once" in again.json()["detail"]
    assert Camera.objects.get(pk=camera.pk).token_digest == camera.token_digest


def test_a_code_that_is_used_while_a_new_one_is_made_holds_nobody_up(transactional_db: None, catalog: Catalog) -> None:
    camera = catalog.cameras[0]

    def elsewhere(work: Callable[..., Any], **given: Any) -> Any:
        with closing(connection), suppress(Forbidden):
            return work(**given)

    with ThreadPoolExecutor(2) as people:
        for _ in range(10):
            _, code = services.offer_enrolment(by=catalog.experimenter, camera=camera)
            used = people.submit(elsewhere, services.enrol_agent, code=code)
            made = people.submit(elsewhere, services.offer_enrolment, by=catalog.experimenter, camera=camera)
            _, newer = made.result()
            assert used.result() is None or used.result()[0] == camera
            assert services.enrol_agent(code=newer)[0] == camera


def test_a_code_that_is_old_replaced_or_of_a_camera_that_is_off_is_refused(catalog: Catalog) -> None:
    camera = catalog.cameras[0]
    _, first = services.offer_enrolment(by=catalog.experimenter, camera=camera)
    enrolment, second = services.offer_enrolment(by=catalog.experimenter, camera=camera)
    with pytest.raises(Forbidden, match="works once"):
        services.enrol_agent(code=first)
    services.update_camera(by=catalog.experimenter, camera=camera, enabled=False)
    with pytest.raises(Forbidden, match="switched off"):
        services.enrol_agent(code=second)
    services.update_camera(by=catalog.experimenter, camera=camera, enabled=True)
    CameraEnrolment.objects.filter(pk=enrolment.pk).update(expires=enrolment.created - timedelta(seconds=1))
    with pytest.raises(Forbidden, match="works once"):
        services.enrol_agent(code=second)
    assert Camera.objects.get(pk=camera.pk).token_digest == digest_of(catalog.tokens[0])


def test_the_database_keeps_one_open_code_a_camera(catalog: Catalog) -> None:
    enrolment, _ = services.offer_enrolment(by=catalog.experimenter, camera=catalog.cameras[0])
    insert = (
        "insert into cameras_cameraenrolment (camera_id, code_digest, expires, used)"
        " values (%s, %s, now() + interval '1 hour', {})"
    )
    for used in ("null", "now() + interval '2 hours'"):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(insert.format(used), [enrolment.camera_id, digest_of(used)])
    assert CameraEnrolment.objects.count() == 1


def test_who_may_give_a_code(catalog: Catalog) -> None:
    path = f"cameras/{catalog.cameras[0].slug}/enrolment/"
    assert Client().post(f"/api/v1/{path}").status_code == 401
    assert {who: rest(key, path).status_code for who, key in catalog.keys.items()} == {
        "exp": 201, "view": 403, "other": 404,
    }  # fmt: skip
    with pytest.raises(NotFound):
        services.offer_enrolment(by=catalog.stranger, camera=catalog.cameras[0])


def test_guessing_is_slowed_down_and_bad_bodies_are_named(catalog: Catalog) -> None:
    assert use("x" * 41, "198.51.100.2").status_code == 400
    assert "code" in Client(REMOTE_ADDR="198.51.100.2").post(
        "/api/v1/camera-enrolment/", {}, "application/json"
    ).json()["errors"]  # fmt: skip
    replies = [use("0000-0000-0000", "198.51.100.3").status_code for _ in range(11)]
    assert replies == [403] * 10 + [429]
    # Another name for oneself does not help; another address is not held up.
    forged = Client(REMOTE_ADDR="198.51.100.3", headers={"X-Forwarded-For": "198.51.100.9"})
    assert forged.post("/api/v1/camera-enrolment/", {"code": "0"}, "application/json").status_code == 429
    assert use("0000-0000-0000", "198.51.100.4").status_code == 403


def test_the_admin_shows_the_command(catalog: Catalog) -> None:
    catalog.experimenter.is_staff = catalog.experimenter.is_superuser = True
    catalog.experimenter.save()
    client = Client()
    client.force_login(catalog.experimenter)
    chosen = {"action": "enrol_a_box", "_selected_action": [str(catalog.cameras[0].pk)]}
    page = client.post("/admin/cameras/camera/", chosen, follow=True).content.decode()
    code = re.search(r"labsite-agent --enrol ([0-9A-Z-]{14}) --server http://testserver", page)
    assert code is not None, page
    assert services.enrol_agent(code=code[1])[0] == catalog.cameras[0]


def test_the_configuration_keeps_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    options = Namespace(spool=Path("spool"), source=None, fps=25.0, size="640x480")
    first = with_camera("", Enrolled("a", "A", "ws://lab:8001", "cam_1"), options)
    text = first.replace("[[camera]]", "# the one above\n[[camera]] # lens 4 mm", 1)
    text = with_camera(text, Enrolled("b", "B", "ws://other:9", "cam_2"), options)
    text = with_camera(text, Enrolled("a", "A", "ws://lab:8001", 'cam_"3'), options)
    assert "lens 4 mm" in text
    assert "# the one above" in text
    assert [camera["token"] for camera in tomllib.loads(text)["camera"]] == ['cam_"3', "cam_2"]
    path.write_text(text)
    cameras = from_toml(path)
    assert [(camera.slug, camera.url, camera.source, camera.fps, camera.size) for camera in cameras] == [
        ("a", "ws://lab:8001/ws/cameras/a/ingest/", "usb:0", 25.0, (640, 480)),
        ("b", "ws://other:9/ws/cameras/b/ingest/", "usb:0", 25.0, (640, 480)),
    ]


def test_a_box_is_told_what_is_wrong_before_its_code_is_used(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("= 1")
    options = {"enrol": "0", "server": "http://127.0.0.1:1", "spool": Path("s"), "source": None}
    for config, named in ((broken, "code was not used"), (tmp_path / "none" / "a.toml", "cannot be written")):
        with pytest.raises(EnrolmentError, match=named):
            enrol(Namespace(config=config, **options))
    with pytest.raises(EnrolmentError, match="--server is missing"):
        ask(None, "0")
    with pytest.raises(EnrolmentError, match="does not answer"):
        ask(f"http://127.0.0.1:{free_port()}", "0")
    assert [path for path in tmp_path.iterdir() if "toml" in path.name] == [broken]


def test_the_agent_enrols_and_sends_pictures(laboratory: Laboratory, tmp_path: Path) -> None:
    catalog = make_catalog(cameras=1)
    camera = catalog.cameras[0]
    _, code = services.offer_enrolment(by=catalog.experimenter, camera=camera)
    config = tmp_path / "agent.toml"
    web = f"http://127.0.0.1:{laboratory.web_port}"
    command = [sys.executable, "-m", "cameras.agent", "--config", str(config)]
    source = ["--source", "sim:", "--fps", "15", "--size", "320x240", "--spool", "spool"]

    def enrolment() -> subprocess.CompletedProcess[str]:
        more = ["--enrol", code, "--server", web, *source]
        return subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    done = enrolment()
    assert done.returncode == 0, done.stderr
    assert (camera.slug in done.stdout, oct(config.stat().st_mode & 0o777)) == (True, "0o600")
    token = tomllib.loads(config.read_text())["camera"][0]["token"]
    assert token not in done.stdout + done.stderr
    assert f"labsite-agent --config {config}" in done.stdout
    laboratory.run("agent-enrolled", command)
    wait_for(lambda: laboratory.state(camera.slug).get("fps"), "picture of the enrolled camera")
    again = enrolment()
    assert (again.returncode, "works once" in again.stderr) == (2, True)
    assert json.dumps(token) in config.read_text()
