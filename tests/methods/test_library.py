"""What a notebook imports: the methods, the figures, the readers and the pipelines, where there is no Django."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import importlib, pkgutil, sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"django", "celery", "redis", "psycopg", "channels", "sessions", "cameras"}:
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Refused())
for package in ("methods", "figures", "readers", "pipelines", "export"):
    found = importlib.import_module(f"analysis.{package}")
    for module in pkgutil.iter_modules(found.__path__, f"analysis.{package}."):
        importlib.import_module(module.name)
        print(module.name)
"""


def test_a_notebook_needs_no_django_nor_servers():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {"analysis.methods.statespace", "analysis.figures.paper", "analysis.pipelines.decode_position"} <= set(
        done.stdout.split()
    )
