"""Everybody at every page."""

from __future__ import annotations

from typing import Any

from tests.roles.rows import Address, Ask, Codes

# Who is nobody is sent to log in; what the outsider may not see is not there for him.
SHOWN = (302, 200, 200, 200, 200, 200)
OF_ONE = (302, 404, 200, 200, 200, 200)
OF_MINE = (302, 404, 404, 200, 404, 404)
TO_CHANGE = (302, 404, 403, 200, 200, 200)
AFTER_POST = (302, 404, 403, 302, 302, 302)
AFTER_POST_OF_MINE = (302, 404, 404, 302, 404, 404)
WRONG = (302, 400, 400, 400, 400, 400)
LED_ON = (302,) * 6
NOT_SO = (302, 405, 405, 405, 405, 405)
NEVER = (405,) * 6
ALL = (200,) * 6
# The page is for who is not logged in; who is, is led on.
LOG_IN = (200, 302, 302, 302, 302, 302)


def _page(asked: dict[str, Codes | Ask], *of: str) -> Address:
    return Address(asked, of=of, otherwise=NOT_SO, json=False)


def _shown(codes: Codes, *of: str) -> Address:
    return _page({"get": codes}, *of)


def _does(codes: Codes, body: dict[str, Any], *of: str) -> Address:
    return _page({"post": Ask(codes, body)}, *of)


def _open(*of: str) -> Address:
    """Return a page that everybody sees who has its address."""
    return Address({"get": ALL}, of=of, otherwise=NEVER, json=False)


CATALOG = {
    "lab:animals": _shown(SHOWN),
    "lab:animal-new": _page({"get": SHOWN, "post": Ask(WRONG, {})}),
    "lab:animal": _shown(OF_ONE, "animal"),
    "lab:animal-change": _page({"get": TO_CHANGE, "post": Ask((302, 404, 403, 400, 400, 400), {})}, "animal"),
    "lab:cage": _shown(SHOWN, "cage"),
    "lab:care": _shown(SHOWN),
    "lab:care-find": _shown(LED_ON),
    "lab:care-labels": _shown(SHOWN),
    "lab:care-note": _shown(LED_ON),
    "lab:care-water": _shown(SHOWN),
    "lab:care-weigh": _shown(SHOWN),
    "lab:care-who": _shown(SHOWN),
    "lab:sessions": _shown(SHOWN),
    "lab:session-start": _page(
        {"get": (302, 403, 403, 200, 200, 200), "post": Ask((302, 403, 403, 400, 400, 400), {})}
    ),
    "lab:session": _shown(OF_ONE, "session"),
    "lab:session-recordings": _shown(OF_ONE, "session"),
    "lab:session-trials": _shown(OF_ONE, "session"),
    "lab:session-end": _does(AFTER_POST, {}, "session-end"),
    "lab:session-keep-events": _does(AFTER_POST, {}, "session"),
    "lab:session-move": _page({"get": TO_CHANGE, "post": Ask((302, 404, 403, 400, 400, 400), {})}, "session"),
    "lab:session-notes": _does(AFTER_POST, {"narrative": "x"}, "session"),
    "lab:session-register": _page({"get": TO_CHANGE, "post": Ask((302, 404, 403, 400, 400, 400), {})}, "session"),
    "lab:recordings": _shown(SHOWN),
    "lab:recording": _shown(OF_ONE, "recording"),
    "lab:file-download": _shown(OF_ONE, "file"),
    # Its own data root is where it is; it has no copy.
    "lab:file-copy": _does((302, 404, 403, 409, 409, 409), {"root": "default"}, "file"),
    "lab:file-forget": _does((302, 404, 403, 403, 404, 404), {"copy": "none"}, "file"),
    "lab:search": _shown(SHOWN),
    "lab:sheets": _shown(SHOWN),
    "lab:sheet-send": _page({"get": LED_ON, "post": Ask(WRONG, {})}),
    "lab:sheet-take": _shown(SHOWN, "=animals", "=csv"),
    "lab:sheet": _shown(OF_MINE, "sheet"),
    "lab:sheet-import": _does(AFTER_POST_OF_MINE, {}, "sheet"),
    "lab:sheet-discard": _does(AFTER_POST_OF_MINE, {}, "sheet"),
    "lab:account": _shown(SHOWN),
    "lab:token-new": _page({"get": LED_ON, "post": Ask(WRONG, {"name": "", "scope": "read"})}),
    "lab:token-revoke": _does(AFTER_POST_OF_MINE, {}, "token"),
    "lab:password-change": _page({"get": LED_ON, "post": Ask(WRONG, {})}),
}  # fmt: skip

KEPT = {"session": "{session-idle}", "from": "2026-03-04T12:00", "to": "2026-03-04T12:01"}

CAMERAS = {
    "cameras:home": _shown(SHOWN),
    "cameras:wall": _shown(SHOWN),
    "cameras:cameras": _shown(SHOWN),
    "cameras:alerts": _shown(SHOWN),
    "cameras:alerts-now": _shown(SHOWN),
    "cameras:recording": _shown(OF_ONE, "camera-recording"),
    "cameras:frames-csv": _shown(OF_ONE, "camera-recording"),
    "cameras:frames-npy": _shown(OF_ONE, "camera-recording"),
    "cameras:cut": _shown(OF_ONE, "camera-recording"),
    "cameras:session-record": _does(AFTER_POST, {}, "session-idle"),
    "cameras:session-stop": _does(AFTER_POST, {}, "session-busy"),
    "cameras:preflight": _shown(OF_ONE, "session-idle"),
    "cameras:camera": _shown(OF_ONE, "camera"),
    "cameras:controls": _shown(OF_ONE, "camera"),
    "cameras:kept": _shown(OF_ONE, "camera"),
    # Nothing is kept of it.
    "cameras:kept-save": _does((302, 404, 403, 400, 400, 400), KEPT, "camera"),
    "cameras:record": _does(AFTER_POST, {}, "camera"),
    "cameras:stop": _does(AFTER_POST, {}, "camera-busy"),
    # The camera sends no picture. A script that asks for one is not led to a form.
    "cameras:snapshot": Address({"get": (403, 404, 503, 503, 503, 503)}, of=("camera",), otherwise=NEVER, json=False),
}

LFP_STEP = '[{"name": "lfp", "pipeline": "ephys.lfp", "inputs": [{"kind": "lfp"}]}]'
STARTED = {"chain": "own", "steps": LFP_STEP, "session": "{session}", "filled": "1"}

ANALYSES = {
    "pipelines-page": _shown(SHOWN),
    "jobs": _shown(SHOWN),
    "job-new": _page({
        "get": SHOWN,
        "post": Ask((302, 400, 403, 302, 302, 302), {"pipeline": "ephys.lfp", "input-0": "{recording}", "filled": "1"}),
    }),
    "recording-arenas": _page({"get": OF_ONE, "post": Ask((302, 404, 403, 400, 400, 400), {})}, "video"),
    # It has no files.
    "recording-frame": _shown((302, 404, 409, 409, 409, 409), "video"),
    "recording-units-page": _shown(OF_ONE, "units"),
    "recording-watch": _shown((302, 404, 404, 404, 404, 404), "recording"),
    "recording-track": _shown((302, 404, 404, 404, 404, 404), "recording", "video"),
    "job": _shown(OF_ONE, "job"),
    "job-live": _shown(OF_ONE, "job"),
    "job-page-cancel": _does(AFTER_POST, {}, "job"),
    "job-page-again": _does(AFTER_POST, {}, "job-ended"),
    "chains": _shown(SHOWN),
    "chain-new": _page({"get": SHOWN, "post": Ask((302, 400, 403, 302, 302, 302), STARTED)}),
    "chain": _shown(OF_ONE, "chain"),
    "chain-live": _shown(OF_ONE, "chain"),
    "chain-page-cancel": _does(AFTER_POST, {}, "chain"),
    "chain-page-again": _does(AFTER_POST, {}, "chain-ended"),
    "session-page-nwb": _does(AFTER_POST, {}, "session"),
    "result": _shown(OF_ONE, "result"),
    "papers": _shown(SHOWN),
    "result-compare": _page({"get": Ask(OF_ONE, query="?id={result}&id={result-other}")}),
    "result-comment-add": _does(AFTER_POST, {"text": "calm"}, "result"),
    "result-comment": _does((302, 404, 403, 302, 403, 403), {"text": "calm"}, "comment"),
    "result-mark": _does(AFTER_POST, {"paper": "Memory 2027"}, "result"),
    "result-mark-remove": _does(AFTER_POST, {}, "paper-mark"),
    "result-page-reproduce": _does(AFTER_POST, {}, "result"),
    "result-share": _page({"get": TO_CHANGE, "post": Ask(TO_CHANGE, {"days": "7"})}, "result"),
    "result-clock-use": _does((302, 404, 403, 403, 302, 302), {"recording": "{recording}", "base": "0"}, "result"),
    "result-clock-undo": _does((302, 404, 403, 403, 302, 302), {"recording": "{units}", "base": "1"}, "result"),
    "share-link-page-revoke": _does((302, 404, 404, 302, 302, 302), {}, "share-link"),
    "shared-result": _open("share-key"),
    "shared-figure": _open("share-key", "=values", "=png"),
    "shared-figure-item": _open("share-key", "=values", "=light"),
    "result-figure-item": _shown(OF_ONE, "result", "=values", "=light"),
}  # fmt: skip

SITE = {
    "healthz": Address({"get": (503,) * 6}, otherwise=NEVER, json=False),
    "favicon": Address({"get": LED_ON}, otherwise=NEVER, json=False),
    "login": Address(
        {"get": LOG_IN, "post": Ask(LOG_IN, {}), "put": LOG_IN, "options": LOG_IN},
        otherwise=(405, 302, 302, 302, 302, 302),
        json=False,
    ),
    "logout": Address({"post": LED_ON, "options": ALL}, otherwise=NEVER, json=False),
    "more": _page({"get": SHOWN, "options": SHOWN}),
}

PAGES = {**SITE, **CATALOG, **CAMERAS, **ANALYSES}
