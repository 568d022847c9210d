"""The examples of the client's README, run one after another against a server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
