"""Every REST address of care and colony x everybody: the table of `test_roles`, gone through with savepoints."""

from __future__ import annotations

from datetime import date
from io import BytesIO

import pytest
from django.db import transaction
from django.urls import reverse
from PIL import Image

from sessions import services
from sessions.models import Administration, Genotype, Housing, Implant, Procedure, Restriction, Tag, Weighing
from sessions.permissions import LABORATORY

pytestmark = pytest.mark.django_db
ROLES = (None, "outsider", "viewer", "experimenter", "manager", "administrator")
READ = (401, 404, 200, 200, 200, 200)
LIST = SHARED = (401, 200, 200, 200, 200, 200)
CHANGE = (401, 404, 403, 200, 200, 200)
ADD = (401, 400, 403, 201, 201, 201)
ADD_SHARED = (401, 403, 403, 201, 201, 201)
SET_ASIDE = (401, 404, 403, 403, 204, 204)
TAKE_BACK = (401, 404, 403, 403, 200, 200)
# What was never changed has nothing to be undone.
UNDO = (401, 404, 403, 409, 409, 409)
START = "2026-03-04T12:00:00Z"
BODIES = {
    "weighing": {"animal": "R214", "weight": 300},
    "restriction": {"animal": "R214", "kind": "food", "reference_weight": 300},
    "administration": {"animal": "R214", "kind": "water", "amount": 5},
    "procedure": {"animal": "R214", "kind": "surgery", "start": START},
    "implant": {"animal": "R214", "device": "64-channel probe"},
    "genotype": {"animal": "R214", "allele": "Sst-Cre", "zygosity": "absent"},
    "note": {"animal": "R214", "text": "calm"},
}
TABLE = [
    *(
        row
        for name, body in BODIES.items()
        for row in (
            ("get", f"{name}-list", None, LIST),
            ("post", f"{name}-list", body, ADD),
            ("get", f"{name}-detail", None, READ),
            ("patch", f"{name}-detail", {"text" if name == "note" else "notes": "calm"}, CHANGE),
            ("delete", f"{name}-detail", None, SET_ASIDE),
            ("post", f"{name}-restore", {}, TAKE_BACK),
            ("post", f"{name}-undo", {}, UNDO),
        )
    ),
    ("get", "note-photo", None, READ),
    ("get", "cage-list", None, SHARED),
    ("post", "cage-list", {"name": "15"}, ADD_SHARED),
    ("get", "cage-detail", None, SHARED),
    ("patch", "cage-detail", {"location": "cellar"}, (401, 403, 403, 200, 200, 200)),
    ("get", "housing-list", None, LIST),
    ("get", "housing-detail", None, READ),
    ("get", "tag-list", None, SHARED),
    ("get", "tag-detail", None, SHARED),
    ("get", "allele-list", None, SHARED),
    ("post", "allele-list", {"name": "Ai32"}, ADD_SHARED),
    ("get", "allele-detail", None, SHARED),
    ("get", "pair-list", None, LIST),
    ("post", "pair-list", {"name": "P2", "project": "Memory", "female": "F1", "male": "R214"}, ADD),
    ("get", "pair-detail", None, READ),
    ("patch", "pair-detail", {"notes": "calm"}, CHANGE),
    ("get", "litter-list", None, LIST),
    ("post", "litter-list", {"pair": "P1", "born": "2026-02-02"}, ADD),
    ("get", "litter-detail", None, READ),
    ("patch", "litter-detail", {"weaned": "2026-02-28"}, CHANGE),
]


@pytest.fixture
def things(lab):
    services.update_animal(by=LABORATORY, animal=lab.animal, cage="14")
    female = services.create_animal(by=LABORATORY, identifier="F1", project=lab.project, species=lab.rat)
    services.create_allele(by=LABORATORY, name="Sst-Cre")
    allele = services.create_allele(by=LABORATORY, name="Pvalb-Cre")
    pair = services.create_pair(
        by=LABORATORY, name="P1", project=lab.project, female=female, male=lab.animal, start=date(2026, 1, 1)
    )
    picture = BytesIO()
    Image.new("RGB", (40, 30), "sienna").save(picture, "PNG")
    entries = {
        "weighing": (Weighing, {"weight": 300}),
        "restriction": (Restriction, {"kind": "water", "reference_weight": 300}),
        "administration": (Administration, {"kind": "water", "amount": 5}),
        "procedure": (Procedure, {"kind": "surgery"}),
        "implant": (Implant, {"device": "fibre"}),
        "genotype": (Genotype, {"allele": allele, "zygosity": "present"}),
    }
    return {
        "note": services.add_note(by=LABORATORY, animal=lab.animal, photo=picture.getvalue(), tags=["fur"]),
        "housing": Housing.objects.select_related("cage").get(),
        "cage": Housing.objects.get().cage,
        "tag": Tag.objects.get(),
        "allele": allele,
        "pair": pair,
        "litter": services.create_litter(by=LABORATORY, pair=pair, born=date(2026, 1, 24)),
        **{
            name: services.add_entry(model, by=LABORATORY, animal=lab.animal, **values)
            for name, (model, values) in entries.items()
        },
    }


def test_everybody_gets_what_the_table_says(api, things):
    wrong = []
    for method, name, body, expected in TABLE:
        args = [] if name.endswith("-list") else [things[name.partition("-")[0]].pk]
        for role, code in zip(ROLES, expected, strict=True):
            with transaction.atomic():
                reply = getattr(api(role), method)(reverse(name, args=args), body, format="json")
                content = reply.getvalue()
                transaction.set_rollback(True)
            if reply.status_code != code:
                wrong.append(f"{method} {name} as {role}: {reply.status_code}, not {code}: {content[:200]!r}")
    assert wrong == []
