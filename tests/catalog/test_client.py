"""The examples of the client's README, run one after another against a server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from labsite_client import Laboratory, LabsiteError

from sessions.tokens import create_token

README = Path(__file__).resolve().parents[2] / "client" / "README.md"


@pytest.mark.django_db(transaction=True)
def test_the_examples_of_the_client_run(live_server, lab, put, password, tmp_path):
    put()
    names = {"url": live_server.url, "password": password(lab.experimenter), "folder": tmp_path}
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(examples) >= 5
    for example in examples:
        exec(compile(example, str(README), "exec"), names)  # noqa: S102 - it is ours
    names["lab"].close()


@pytest.mark.django_db(transaction=True)
def test_a_row_of_a_list_is_not_changed_over_what_somebody_changed_since(live_server, lab):
    with Laboratory(live_server.url, create_token(user=lab.experimenter, name="client")[1]) as asked:
        (first,) = asked.rows("animals", identifier="R214")
        changed = asked.change("animals", first, notes="calm")
        assert changed["notes"] == "calm"
        with pytest.raises(LabsiteError) as refused:
            asked.change("animals", first, notes="restless")
        assert refused.value.status == 412
        assert asked.change("animals", changed, notes="asleep")["notes"] == "asleep"
