"""Everybody at every page of data entry; each of the five is staff here, and gets what his role lets him.

What can be seen, added, changed and deleted of each model; from that follows what each of its pages answers.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.roles.rows import Address, Ask, Codes

NOBODY, OUTSIDER, VIEWER, EXPERIMENTER, MANAGER, ADMINISTRATOR = range(6)
NEVER = 6
OTHERWISE = (405,) * 6
LOG_IN = (302,) * 6
LOOKED_UP = "?app_label=lab&model_name=session&field_name=rig&term=box"


class Least(NamedTuple):
    """The least of the six who may see, add, change and delete."""

    see: int = VIEWER
    add: int = EXPERIMENTER
    change: int = EXPERIMENTER
    delete: int = MANAGER


OF_PROJECT = Least()
SHARED = Least(delete=ADMINISTRATOR)
FOR_ADMINISTRATORS = Least(*(ADMINISTRATOR,) * 4)
REGISTERED = Least(add=NEVER)
KEPT = Least(add=NEVER, change=NEVER, delete=NEVER)

MODELS: dict[str, tuple[str, Least]] = {
    "lab_project": ("project", Least(add=ADMINISTRATOR, change=MANAGER, delete=ADMINISTRATOR)),
    "lab_species": ("species", SHARED),
    "lab_strain": ("strain", SHARED),
    "lab_animal": ("animal", OF_PROJECT),
    "lab_rig": ("rig", OF_PROJECT),
    "lab_task": ("task", SHARED),
    "lab_session": ("session", OF_PROJECT),
    "lab_recording": ("recording", REGISTERED),
    "lab_datafile": ("file", KEPT),
    "lab_event": ("event", REGISTERED),
    "lab_dataroot": ("root", FOR_ADMINISTRATORS),
    "lab_weighing": ("weighing", OF_PROJECT),
    "lab_restriction": ("restriction", OF_PROJECT),
    "lab_administration": ("administration", OF_PROJECT),
    "lab_procedure": ("procedure", OF_PROJECT),
    "lab_implant": ("implant", OF_PROJECT),
    "lab_genotype": ("genotype", OF_PROJECT),
    "lab_cage": ("cage", SHARED),
    "lab_note": ("note", REGISTERED),
    "lab_tag": ("tag", SHARED),
    "lab_allele": ("allele", SHARED),
    "lab_breedingpair": ("pair", OF_PROJECT),
    "lab_litter": ("litter", OF_PROJECT),
    "auth_user": ("user", FOR_ADMINISTRATORS),
    "auth_group": ("group", FOR_ADMINISTRATORS),
    "cameras_camera": ("camera.pk", OF_PROJECT),
    "cameras_camerarecording": ("camera-recording", KEPT),
    "analysis_job": ("job", KEPT),
    "analysis_result": ("result", KEPT),
    "analysis_chain": ("chain", KEPT),
    "analysis_resultcomment": ("comment", KEPT),
    "analysis_papermark": ("paper-mark", KEPT),
    "analysis_unitlabels": ("unit-labels", KEPT),
    "analysis_clockfit": ("clock-fit", KEPT),
    "analysis_command": ("command", Least(ADMINISTRATOR, ADMINISTRATOR, NEVER, NEVER)),
    "analysis_sharelink": ("share-link", Least(ADMINISTRATOR, NEVER, NEVER, NEVER)),
    "analysis_worker": ("worker", Least(ADMINISTRATOR, NEVER, NEVER, NEVER)),
}


OF_ALL = {
    "species",
    "strain",
    "task",
    "cage",
    "tag",
    "allele",
    "root",
    "user",
    "group",
    "worker",
    "command",
    "share-link",
}


def _from(least: int, then: int = 200, *, until: int = 403) -> Codes:
    """Return what is forbidden to those before the least; nobody is sent to log in."""
    first, *others = (302 if one == NOBODY else then if one >= least else until for one in range(6))
    return (first, *others)  # type: ignore[return-value]


def _page(asked: dict[str, Codes | Ask], *of: str) -> Address:
    return Address(asked, of=of, otherwise=OTHERWISE, json=False)


def _pages(model: str, of: str, least: Least) -> dict[str, Address]:
    # What is all people's is refused to who may not see it; a project's row is not there for him, and he is led away.
    history = _from(least.see, until=403 if of in OF_ALL else 302)
    return {
        f"admin:{model}_changelist": _page({"get": _from(least.see), "post": Ask(_from(least.see), {})}),
        f"admin:{model}_add": _page({"get": _from(least.add), "post": Ask(_from(least.add), {})}),
        f"admin:{model}_change": _page({"get": _from(least.see), "post": Ask(_from(least.change), {})}, of),
        f"admin:{model}_history": _page({"get": history, "post": Ask(history, {})}, of),
        f"admin:{model}_delete": _page({"get": _from(least.delete), "post": Ask(_from(least.delete), {})}, of),
    }


# Everybody sees his own tokens, which are the experimenter's here; a token is revoked, never made or forgotten here.
TOKEN_SEEN = (302, 403, 302, 200, 302, 200)
TOKENS = {
    "admin:lab_apitoken_changelist": _page({"get": _from(VIEWER), "post": Ask(_from(VIEWER), {})}),
    "admin:lab_apitoken_add": _page({"get": _from(NEVER), "post": Ask(_from(NEVER), {})}),
    "admin:lab_apitoken_change": _page({"get": TOKEN_SEEN, "post": Ask((302, 403, 403, 302, 302, 302), {})}, "token"),
    "admin:lab_apitoken_history": _page(
        {"get": (302, 302, 302, 200, 302, 200), "post": Ask((302, 302, 302, 200, 302, 200), {})}, "token"
    ),
    "admin:lab_apitoken_delete": _page({"get": _from(NEVER), "post": Ask(_from(NEVER), {})}, "token"),
}
ALL = (200,) * 6
STAFF = (302, 200, 200, 200, 200, 200)
# The admin asks who one is before it looks at the method, and some of its pages show the same for a POST as for a GET.
REFUSED = (302, 405, 405, 405, 405, 405)
NOWHERE = (302, 404, 404, 404, 404, 404)
ADMIN = {
    "admin:index": _page({"get": STAFF, "post": Ask(STAFF, {})}),
    "admin:login": _page({"get": (200, 302, 302, 302, 302, 302), "post": Ask(ALL, {})}),
    # Who logs out is led to the page on which one logs in.
    "admin:logout": _page({"post": Ask((302,) * 6, {})}),
    "admin:password_change": _page({"get": STAFF, "post": Ask(STAFF, {})}),
    "admin:password_change_done": _page({"get": STAFF, "post": Ask(REFUSED, {})}),
    "admin:search": _page({"get": STAFF, "post": Ask(STAFF, {})}),
    "admin:autocomplete": _page({"get": Ask(_from(VIEWER), query=LOOKED_UP), "post": Ask(REFUSED, {})}),
    "admin:jsi18n": _page({"get": STAFF, "post": Ask(REFUSED, {})}),
    "admin:view_on_site": _page({"get": NOWHERE, "post": Ask(NOWHERE, {})}, "=0", "=0"),
    "admin:app_list": _page(
        {"get": (302, 404, 200, 200, 200, 200), "post": Ask((302, 404, 200, 200, 200, 200), {})}, "=lab"
    ),
    "admin:<path:object_id>/": Address(
        {"get": LOG_IN, "post": Ask(LOG_IN, {})}, otherwise=OTHERWISE, json=False, path="/admin/lab/animal/1/"
    ),
    "admin:(?P<url>.*)$": Address(
        {"get": NOWHERE, "post": Ask(NOWHERE, {})}, otherwise=OTHERWISE, json=False, path="/admin/nothing/"
    ),
    "admin:auth_user_password_change": _page(
        {"get": _from(ADMINISTRATOR), "post": Ask(_from(ADMINISTRATOR), {})}, "user"
    ),
    **TOKENS,
    **{name: row for model, (of, least) in MODELS.items() for name, row in _pages(model, of, least).items()},
}
