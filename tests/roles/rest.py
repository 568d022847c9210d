"""Everybody at every address of REST."""

from __future__ import annotations

from typing import Any

from tests.roles.rows import Address, Ask, Codes

START = "2026-03-04T12:00:00Z"
# Who is nobody is asked who he is; what the outsider may not see is not there for him.
READ = (401, 404, 200, 200, 200, 200)
LIST = SHARED = OPTIONS = (401, 200, 200, 200, 200, 200)
MINE = (401, 404, 404, 200, 404, 404)
MINE_OF_PROJECT = (401, 404, 404, 200, 200, 200)
CHANGE = (401, 404, 403, 200, 200, 200)
MAKE = (401, 404, 403, 201, 201, 201)
CLASH = (401, 404, 403, 409, 409, 409)
ADD = (401, 400, 403, 201, 201, 201)
ADD_SHARED = (401, 403, 403, 201, 201, 201)
CHANGE_SHARED = (401, 403, 403, 200, 200, 200)
SET_ASIDE = (401, 404, 403, 403, 204, 204)
TAKE_BACK = (401, 404, 403, 403, 200, 200)
EVERYBODY = (200, 200, 200, 200, 200, 200)
ANY_METHOD_BUT = (405, 405, 405, 405, 405, 405)
NOWHERE = (404, 404, 404, 404, 404, 404)
TUS = {"Tus-Resumable": "1.0.0"}


def _rows(of: str, read: Codes = READ, **more: Codes | Ask) -> dict[str, Address]:
    """Return the list and the rows of a collection; ``post`` is to the list, the rest to a row."""
    add = {"post": more.pop("post")} if "post" in more else {}
    return {
        f"{of}-list": Address({"get": LIST, "options": OPTIONS, **add}),
        f"{of}-detail": Address({"get": read, "options": OPTIONS, **more}, of=(of,)),
    }


def _does(of: str, codes: Codes, body: dict[str, Any] | None = None, **asked: Codes) -> Address:
    """Return an address that does something with a thing."""
    return Address({"post": Ask(codes, body if body is not None else {}), "options": OPTIONS, **asked}, of=(of,))


def _shows(of: str, query: str = "", codes: Codes = READ) -> Address:
    return Address({"get": Ask(codes, query=query), "options": OPTIONS}, of=(of,))


def _entries(of: str, body: dict[str, Any], change: str = "notes") -> dict[str, Address]:
    """Return what is written down about animals: set aside, taken back and undone."""
    return {
        **_rows(of, post=Ask(ADD, body), patch=Ask(CHANGE, {change: "calm"}), delete=SET_ASIDE),
        f"{of}-restore": _does(of, TAKE_BACK),
        # What was never changed has nothing to be undone.
        f"{of}-undo": _does(of, CLASH),
    }


def _administered(asked: dict[str, int], body: dict[str, Any] | None = None, of: str = "") -> Address:
    """Return an address that only administrators reach: what they get by method; the others are forbidden all."""

    def only(code: int) -> Codes:
        return (401, 403, 403, 403, 403, code)

    rows: dict[str, Codes | Ask] = {
        method: Ask(only(code), body or {}) if method == "post" else only(code) for method, code in asked.items()
    }
    return Address(rows, of=(of,) if of else (), otherwise=only(405))


ANIMAL = {"identifier": "N1", "project": "Memory", "species": "rat"}
REGISTERED = {"session": "{session}", "kind": "lfp", "files": [{"path": "b.npy"}]}

CATALOG = {
    **_rows("project", post=Ask((401, 403, 403, 403, 403, 201), {"name": "New"})),
    **_rows("species", SHARED, post=Ask(ADD_SHARED, {"name": "mouse"})),
    **_rows("strain", SHARED, post=Ask(ADD_SHARED, {"name": "Wistar", "species": "rat"})),
    **_rows("animal", post=Ask(ADD, ANIMAL), patch=Ask(CHANGE, {"cage": "7"})),
    **_rows(
        "rig", post=Ask(ADD, {"name": "box 9", "project": "Memory"}), patch=Ask(CHANGE, {"location": "cellar"})
    ),
    **_rows("task", SHARED, post=Ask(ADD_SHARED, {"name": "maze"}), patch=Ask(CHANGE_SHARED, {"protocol": "run"})),
    **_rows(
        "session", post=Ask(ADD, {"animals": ["R214"], "start": START}), patch=Ask(CHANGE, {"narrative": "calm"})
    ),
    "session-end": _does("session-end", CHANGE),
    "session-keep-events": _does("session", MAKE),
    "session-move": _does("session", CHANGE, {"from_animal": "R214", "to_animal": "R214"}),
    "session-trials": _shows("session"),
    **_rows("recording", post=Ask(ADD, REGISTERED), patch=Ask(CHANGE, {"quality": "good"})),
    **_rows("file"),
    "file-download": _shows("file"),
    # Its content is what it was when it was registered.
    "file-revision": _does("file", CLASH),
    "file-copies": _does("file", MAKE, {"root": "default", "path": "b.npy"}),
    # There is no such copy.
    "file-forget": _does("file", (*TAKE_BACK[:4], 404, 404), {"copy": "00000000-0000-4000-8000-000000000000"}),
    **_rows("event", post=Ask(ADD, {"session": "{session}", "time": START, "kind": "poke"})),
    **_rows("token", MINE),
    "token-revoke": _does("token", MINE),
    "upload-list": Address({
        "get": LIST,
        "options": (401, 204, 204, 204, 204, 204),
        # Without the names that it needs; who may upload is told there first.
        "post": Ask((401, 400, 400, 400, 400, 400), headers=TUS),
    }),
    "upload-detail": Address({
        "get": MINE,
        "head": Ask(MINE, headers=TUS),
        "options": (401, 204, 204, 204, 204, 204),
        "patch": Ask((401, 404, 404, 415, 404, 404), {}, headers=TUS),
        "delete": Ask((401, 404, 404, 204, 404, 404), headers=TUS),
    }, of=("upload",)),
    "auth-token": Address(
        {"post": Ask((400,) * 6, {"username": "x", "password": "y"}), "options": EVERYBODY}, otherwise=ANY_METHOD_BUT
    ),
}  # fmt: skip

CARE = {
    **_entries("weighing", {"animal": "R214", "weight": 300}),
    **_entries("restriction", {"animal": "R214", "kind": "food", "reference_weight": 300}),
    **_entries("administration", {"animal": "R214", "kind": "water", "amount": 5}),
    **_entries("procedure", {"animal": "R214", "kind": "surgery", "start": START}),
    **_entries("implant", {"animal": "R214", "device": "64-channel probe"}),
    **_entries("genotype", {"animal": "R214", "allele": "Sst-Cre", "zygosity": "absent"}),
    **_entries("note", {"animal": "R214", "text": "calm"}, change="text"),
    "note-photo": _shows("note"),
    **_rows("cage", SHARED, post=Ask(ADD_SHARED, {"name": "15"}), patch=Ask(CHANGE_SHARED, {"location": "cellar"})),
    **_rows("housing"),
    **_rows("tag", SHARED),
    **_rows("allele", SHARED, post=Ask(ADD_SHARED, {"name": "Ai32"})),
    **_rows(
        "pair",
        post=Ask(ADD, {"name": "P2", "project": "Memory", "female": "F1", "male": "R214"}),
        patch=Ask(CHANGE, {"notes": "calm"}),
    ),
    **_rows("litter", post=Ask(ADD, {"pair": "P1", "born": "2026-02-02"}), patch=Ask(CHANGE, {"weaned": "2026-02-28"})),
}

CAMERAS = {
    **_rows(
        "camera",
        post=Ask(ADD, {"slug": "side", "name": "side", "rig": "rig idle"}),
        patch=Ask(CHANGE, {"name": "from above"}),
    ),
    "camera-token": _does("camera", CHANGE),
    "camera-enrolment": _does("camera", MAKE),
    "camera-ring": _shows("camera"),
    # Nothing is kept of it.
    "camera-ring-cut": _does(
        "camera",
        (401, 404, 403, 400, 400, 400),
        {"session": "{session-idle}", "start": START, "stop": "2026-03-04T12:01:00Z"},
    ),
    "camera-record": _does("camera", MAKE),
    "camera-stop": _does("camera-busy", CHANGE),
    "session-preflight": _shows("session-idle"),
    "session-record": _does("session-idle", MAKE),
    "session-stop": _does("session-busy", CHANGE),
    **_rows("camera-recording"),
    "camera-recording-timing": _shows("camera-recording"),
    "camera-recording-frame": _shows("camera-recording"),
    "camera-recording-frames-csv": _shows("camera-recording"),
    "camera-recording-frames-npy": _shows("camera-recording"),
    "camera-recording-cut": _shows("camera-recording"),
    **_rows("camera-alert"),
    "enrolment": Address(
        {"post": Ask((403,) * 6, {"code": "0000-0000-0000"}), "options": EVERYBODY}, otherwise=ANY_METHOD_BUT
    ),
}  # fmt: skip

COMMAND = {
    "name": "second",
    "summary": "Does nothing.",
    "declaration": {
        "argv": ["true"], "inputs": [{"name": "lfp", "kinds": ["lfp"]}], "outputs": [{"name": "a.csv"}],
    },
}  # fmt: skip
LFP_STEP = {"name": "lfp", "pipeline": "ephys.lfp", "inputs": [{"kind": "lfp"}]}

ANALYSES = {
    "pipelines": Address({"get": LIST, "options": OPTIONS}),
    # Its file does not say the unit.
    "recording-traces": _shows("recording", codes=(401, 404, 409, 409, 409, 409)),
    "recording-traces-window": _shows("recording", "?stop=100", (401, 404, 409, 409, 409, 409)),
    "recording-traces-sources": _shows("recording"),
    # There is nothing to show.
    "recording-traces-events": _shows(
        "recording", "?source=00000000-0000-4000-8000-000000000000&stop=9&start=0", (401, 404, 404, 404, 404, 404)
    ),
    **_rows("job", post=Ask(ADD, {"pipeline": "ephys.lfp", "recordings": ["{recording}"]})),
    "job-cancel": _does("job", CHANGE),
    "chain-definitions": Address({"get": LIST, "options": OPTIONS}),
    **_rows("chain", post=Ask(ADD, {"steps": [LFP_STEP], "sessions": ["{session}"], "recordings": ["{recording}"]})),
    "chain-cancel": _does("chain", CHANGE),
    "chain-again": _does("chain-ended", CHANGE),
    **_rows("unit-labels", post=Ask(MAKE, {"recording": "{units}", "base": 1, "labels": {"2": "noise"}})),
    "unit-labels-undo": _does("unit-labels", MAKE),
    # For managers; the result in the table is none of sync.align.
    **_rows(
        "clock-fit",
        post=Ask((401, 404, 403, 403, 400, 400), {"result": "{result}", "recording": "{recording}", "base": 0}),
    ),
    "clock-fit-undo": _does("clock-fit", (401, 404, 403, 403, 201, 201)),
    "recording-units": _shows("units"),
    "command-list": _administered({"get": 200, "options": 200, "post": 201}, COMMAND),
    "command-detail": _administered({"get": 200, "options": 200}, of="command"),
    "command-retire": _administered({"post": 200, "options": 200}, of="command"),
    # It is in use.
    "command-bring-back": _administered({"post": 409, "options": 200}, of="command"),
    "share-link-list": Address(
        {
            "get": LIST,
            "options": OPTIONS,
            "post": Ask(MAKE, {"result": "{result}", "note": "for a poster"}),
        }
    ),
    # Links are for who may change the project; a viewer knows of none.
    "share-link-detail": Address({"get": MINE_OF_PROJECT, "options": OPTIONS}, of=("share-link",)),
    "share-link-revoke": _does("share-link", MINE_OF_PROJECT),
    **_rows("result"),
    **_rows(
        "comment",
        post=Ask(MAKE, {"result": "{result}", "text": "calm"}),
        patch=Ask((401, 404, 403, 200, 403, 403), {"text": "calm"}),
        # One's own, or any for a manager.
        delete=(401, 404, 403, 204, 204, 204),
    ),
    "comment-restore": _does("comment", CHANGE),
    **_rows(
        "paper-mark",
        post=Ask(MAKE, {"result": "{result}", "paper": "Memory 2027", "figure": "3"}),
        delete=(401, 404, 403, 204, 204, 204),
    ),
    "result-reproduce": _does("result", MAKE),
    "result-figure": Address({"get": READ, "options": OPTIONS}, of=("result", "=values", "=json")),
    "session-nwb": _does("session", MAKE),
    "result-bundle": _shows("result"),
    "result-bundles": Address({"get": Ask(READ, query="?id={result}"), "options": OPTIONS}),
    "result-artifact": Address({"get": READ, "options": OPTIONS}, of=("result", "=values.npy")),
}

ABOUT_ITSELF = {
    "api-schema": Address({"get": EVERYBODY, "options": EVERYBODY}, otherwise=ANY_METHOD_BUT),
    "api-docs": Address({"get": EVERYBODY, "options": EVERYBODY}, otherwise=ANY_METHOD_BUT),
    "api-unknown": Address({"get": NOWHERE, "options": EVERYBODY}, of=("=v1/nothing/",), otherwise=NOWHERE),
}

REST = {**CATALOG, **CARE, **CAMERAS, **ANALYSES, **ABOUT_ITSELF}
