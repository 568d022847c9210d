"""The processes that a simulated laboratory has besides the others: its cameras and its instruments."""

from __future__ import annotations

from pathlib import Path

from labsite.demo.boxes import BOXES, folder
from labsite.stack.process import Process, python

MANAGE = Path(__file__).resolve().parent.parent.parent / "manage.py"


def processes(home: Path, port: int, ingest_port: int) -> list[Process]:  # noqa: ARG001 - the pages' port is the stack's
    """Return the camera agent of all boxes, in one process, and the simulated instruments; writes the agent's file."""
    config = write_agent_config(home, ingest_port)
    return [
        python("demo-cameras", "-m", "cameras.agent", "--config", str(config)),
        python("demo-instruments", str(MANAGE), "simulate_acquisition"),
    ]


def write_agent_config(home: Path, ingest_port: int) -> Path:
    """Write the configuration with which one agent runs the cameras of all boxes; tokens stay in their own files."""
    here = folder(home)
    here.mkdir(parents=True, exist_ok=True)
    lines = [f'server = "ws://127.0.0.1:{ingest_port}"', 'spool = "spool"', "memory_mb = 16", "spool_gb = 2"]
    for box in BOXES:
        width, height = box.size
        lines += [
            "",
            "[[camera]]",
            f'slug = "{box.camera}"',
            f'token_file = "{box.token_name}"',
            # The agent reads paths of a source as they are, so it is given a whole one.
            f"source = {_quoted(f'sim:{here / box.arena.slug}.npz?loop=repeat&seed={box.arena.seed}')}",
            f"fps = {box.fps}",
            f'size = "{width}x{height}"',
        ]
    config = here / "cameras.toml"
    part = config.with_suffix(".part")
    part.write_text("\n".join(lines) + "\n")
    part.replace(config)
    return config


def _quoted(text: str) -> str:
    """Write a string as TOML does, whatever characters a folder's name has."""
    import json

    return json.dumps(text, ensure_ascii=False)
