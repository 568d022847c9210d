"""What the whole laboratory shares: projects, species, strains, rigs, tasks."""

from __future__ import annotations

from typing import Any

from sessions.errors import Forbidden
from sessions.models import Project, Rig, Species, Strain, Task
from sessions.permissions import RANK, rank_in, require
from sessions.services.transaction import checked, checked_mapping, one_write, only_known
from sessions.trials import rule_of


def require_experimenter(by: Any) -> None:
    """Only somebody who may change some project adds to what all share."""
    if rank_in(by, None) < RANK["experimenter"]:
        raise Forbidden("To add or change this, you must be an experimenter of some project.")


def create_project(*, by: Any, name: str, description: str = "") -> Project:
    """Start a project; only administrators may."""
    if rank_in(by, None) < RANK["administrator"]:
        raise Forbidden("Only an administrator starts a project.")
    with one_write():
        project = Project(name=name.strip(), description=description)
        checked(project).save(force_insert=True)
    return project


def create_species(*, by: Any, name: str, latin_name: str = "") -> Species:
    """Add a species."""
    require_experimenter(by)
    with one_write():
        species = Species(name=name.strip(), latin_name=latin_name)
        checked(species).save(force_insert=True)
    return species


def create_strain(*, by: Any, name: str, species: Species) -> Strain:
    """Add a strain of a species."""
    require_experimenter(by)
    with one_write():
        strain = Strain(name=name.strip(), species=species)
        checked(strain).save(force_insert=True)
    return strain


def create_rig(
    *,
    by: Any,
    name: str,
    location: str = "",
    description: str = "",
    project: Project | None = None,
    simulated: bool = False,
) -> Rig:
    """Add a behaviour box; without a project all projects use it."""
    if project is None:
        require_experimenter(by)
    else:
        require(by, "change", project)
    with one_write():
        rig = Rig(name=name.strip(), location=location, description=description, project=project, simulated=simulated)
        checked(rig).save(force_insert=True)
    return rig


def update_rig(*, by: Any, rig: Rig, **changes: Any) -> Rig:
    """Change a rig; to move it to a project one must be allowed to change there."""
    only_known(changes, {"name", "location", "description", "project", "simulated"}, "a rig")
    with one_write():
        rig = Rig.objects.select_for_update(of=("self",)).select_related("project").get(pk=rig.pk)
        require(by, "change", rig)
        if changes.get("project") is not None:
            require(by, "change", changes["project"])
        for field, value in changes.items():
            setattr(rig, field, value)
        checked(rig).save()
    return rig


def create_task(*, by: Any, name: str, protocol: str = "", parameters: dict[str, Any] | None = None) -> Task:
    """Add a behavioural protocol."""
    require_experimenter(by)
    with one_write():
        task = Task(name=name.strip(), protocol=protocol, parameters=_task_parameters(parameters))
        checked(task).save(force_insert=True)
    return task


def update_task(*, by: Any, task: Task, **changes: Any) -> Task:
    """Change a protocol."""
    only_known(changes, {"name", "protocol", "parameters"}, "a task")
    require_experimenter(by)
    with one_write():
        task = Task.objects.select_for_update().get(pk=task.pk)
        for field, value in changes.items():
            setattr(task, field, _task_parameters(value) if field == "parameters" else value)
        checked(task).save()
    return task


def _task_parameters(value: Any) -> dict[str, Any]:
    """Return the parameters of a task; ``Invalid`` where its rule of trials is none."""
    parameters = checked_mapping("parameters", value)
    rule_of(parameters)
    return parameters
