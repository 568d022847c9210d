"""Who may do what: one rule set for pages, REST, the admin, websockets and file downloads.

A viewer reads the projects that he belongs to, an experimenter adds and changes there, a manager also deletes and gives
roles, an administrator (Django's superuser) may do all. Things without a project (a rig of the whole laboratory and its
cameras) may be seen by a member of any project and changed by an experimenter of any.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from django.db.models import Q, QuerySet

from sessions.errors import Forbidden, NotFound
from sessions.models import Membership, Project, Role, TokenScope

Action = Literal["view", "change", "delete", "manage"]

RANK = {None: 0, Role.VIEWER: 1, Role.EXPERIMENTER: 2, Role.MANAGER: 3, "administrator": 4}
NEEDED: dict[Action, int] = {"view": 1, "change": 2, "delete": 3, "manage": 3}
ROLES_FOR: dict[Action, list[str]] = {
    action: [role for role in Role.values if RANK[Role(role)] >= rank] for action, rank in NEEDED.items()
}


class _Laboratory:
    """The laboratory's own processes (recorder, jobs, supervisor): nobody logged in, and they may do all."""

    is_authenticated = is_active = is_superuser = True
    pk = None

    def __str__(self) -> str:
        return "the laboratory"


LABORATORY = _Laboratory()


class HasProject(Protocol):
    """Anything that belongs to a project, or (``None``) to the whole laboratory."""

    @property
    def project(self) -> Project | None: ...


def _administers(user: Any) -> bool:
    return bool(user is not None and user.is_authenticated and user.is_active and user.is_superuser)


def rank_in(user: Any, project: Project | None) -> int:
    """Return the user's rank (0 none, 1 viewer, 2 experimenter, 3 manager, 4 administrator) in a project, or in any."""
    if user is None or not user.is_authenticated or not user.is_active:
        return 0
    if user.is_superuser:
        return RANK["administrator"]
    roles = Membership.objects.filter(user=user)
    if project is not None:
        roles = roles.filter(project=project)
    return max((RANK[Role(role)] for role in roles.values_list("role", flat=True)), default=0)


def can(user: Any, action: Action, thing: HasProject) -> bool:
    """Return whether the user may do this with that."""
    return rank_in(user, thing.project) >= NEEDED[action]


def require(user: Any, action: Action, thing: HasProject) -> None:
    """Raise unless the user may: ``NotFound`` when he may not even know of it, ``Forbidden`` when he may only look."""
    rank = rank_in(user, thing.project)
    if rank >= NEEDED[action]:
        return
    if rank < NEEDED["view"]:
        raise NotFound("There is no such thing here.")
    raise Forbidden(f"You may see this but not {action} it; ask a manager of the project for a role that may.")


def scope_allows(scope: str, *, changes: bool, of_cameras: bool = False) -> bool:
    """Return whether a token of this scope may be used for something; its user's roles are asked besides.

    *read* looks, *write* does all, *camera* looks at and records cameras and does nothing else: the key that is left on
    a box cannot touch the catalog.
    """
    if scope == TokenScope.CAMERA:
        return of_cameras
    return scope == TokenScope.WRITE or not changes


def projects_for(user: Any, action: Action = "view") -> QuerySet[Project]:
    """Return the projects in which the user may do this."""
    if _administers(user):
        return Project.objects.all()
    if user is None or not user.is_authenticated or not user.is_active:
        return Project.objects.none()
    return Project.objects.filter(
        pk__in=Membership.objects.filter(user=user, role__in=ROLES_FOR[action]).values("project_id")
    )


def visible(user: Any, queryset: QuerySet[Any], project: str = "project") -> QuerySet[Any]:
    """Narrow a queryset to what the user may see.

    ``project`` is the lookup that leads to the project, such as ``session__project``.
    """
    if _administers(user):
        return queryset
    # Asked for first: Postgres plans a list well only when it knows the projects, and thereby how many rows they have.
    mine = list(projects_for(user).values_list("pk", flat=True))
    if project in {"project", "rig__project"} and queryset.model.__name__ in {"Rig", "Camera"}:
        lab_wide = Q(**{f"{project}__isnull": True}) if rank_in(user, None) else Q(pk__in=[])
        return queryset.filter(Q(**{f"{project}__in": mine}) | lab_wide)
    return queryset.filter(**{f"{project}__in": mine})
