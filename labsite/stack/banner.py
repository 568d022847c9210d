"""What `./lab up` and `./lab demo` print: progress with the seconds so far, then one banner."""

import io
import sys
import time
from pathlib import Path
from typing import TextIO

from labsite.stack.addresses import is_loopback, lan_address, local_host


class Progress:
    """Lines with the seconds since the start; the start is that of the command, before its environment was made."""

    def __init__(self, out: TextIO = sys.stdout, *, began: float | None = None) -> None:
        self._out = out
        self._began = time.time() if began is None else began

    def say(self, text: str) -> None:
        """Print one step as it begins."""
        print(f"[{time.time() - self._began:6.1f} s] {text}", file=self._out, flush=True)


def banner(*, host: str, port: int, ingest_port: int, home: Path, demo: bool, warnings: list[str], tty: bool) -> str:
    """The last thing printed: where the laboratory is, for this machine and for a phone, and how to get in."""
    lan = lan_address(host)
    local = f"http://{local_host(host)}:{port}/"
    password = home / "admin-password"
    rows = [("On this machine", local)]
    if lan:
        rows.append(("On a phone", f"http://{f'[{lan}]' if ':' in lan else lan}:{port}/"))
    elif is_loopback(host):
        rows.append(("On a phone", "stop and start again with --host 0.0.0.0: then this network can reach it"))
    else:
        rows.append(("On a phone", "this machine has no address in a network"))
    rows += [
        ("User", "admin"),
        ("Password", f"in {password}" if password.exists() else "the one that you chose"),
        ("Cameras send to", f"ws://{lan or local_host(host)}:{ingest_port}"),
        ("Logs", f"{home / 'logs'}"),
    ]
    title = "Labsite is running."
    if demo:
        title = "Labsite is running a simulated laboratory: no animal, camera or neuron in it is real."
    line = ("─" if tty else "-") * 78
    lines = [line, title, "", *(f"  {name:<17} {value}" for name, value in rows)]
    lines += [f"  {'Warning':<17} {text}" for text in warnings]
    if lan and tty:
        lines += ["", qr_code(rows[1][1])]
    return "\n".join([*lines, "", "Ctrl-C stops everything.", line])


def qr_code(text: str) -> str:
    """A QR code of block characters for a terminal, two modules to a character."""
    import segno

    drawn = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(out=drawn, compact=True, border=2)
    return drawn.getvalue().rstrip("\n")
