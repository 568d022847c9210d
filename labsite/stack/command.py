"""The command line of `./lab`: understood before anything is installed, carried out inside the environment.

Like `environment`, this module runs under the system's Python and imports the standard library alone.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from labsite.stack.environment import EnvironmentFailureError, ensure

ROOT = Path(__file__).resolve().parent.parent.parent

MOST_PROCESSES = 64

TEXT = """\
commands:
  demo      start a simulated laboratory: live cameras, recordings and analyses that run; the way to try it out
  up        start the laboratory for real use
  status    each process, its health, versions, disk left
  test      run every test
  bench     run the benchmarks, each beside its peer
  agent     the camera agent of one behaviour box (./lab agent --help)
  manage    Django's manage.py inside the environment (./lab manage help)

The first start makes the environment .venv from requirements.lock, which takes a minute or two.
Everything the laboratory keeps is under LAB_HOME (--home, default .lab); docs/deploy.md tells of real use.
"""

# Options of single benchmarks, which `python -m benchmarks` checks.
BENCH_OPTIONS = {
    "kills": "how many processes are killed (faults)",
    "cut": "how long the network is cut, s (faults)",
    "cameras": "the most cameras at once (many_cameras)",
    "megabytes": "how long the file is (upload)",
    "seconds": "how long the recording is, s (voltage, traces)",
}


def parser() -> argparse.ArgumentParser:
    """What can be said after `./lab`."""
    top = argparse.ArgumentParser(
        prog="./lab",
        description="The platform of a systems-neuroscience laboratory: catalog, live cameras, analysis.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=TEXT,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    home = argparse.ArgumentParser(add_help=False)
    home.add_argument("--home", metavar="DIR", help="LAB_HOME, where everything is kept (default: $LAB_HOME or .lab)")
    for name, what in (("demo", "start a simulated laboratory"), ("up", "start the laboratory for real use")):
        command = commands.add_parser(
            name, parents=[home], help=what, description=f"{what.capitalize()}; Ctrl-C ends it."
        )
        command.add_argument(
            "--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1; 0.0.0.0: the whole network)"
        )
        command.add_argument(
            "--port", type=port, default=8000, help="port of the pages (default 8000; 0: any free one)"
        )
        command.add_argument(
            "--ingest-port", type=port, metavar="PORT", help="port of the cameras (default: the next one)"
        )
        for part, whom in (("web", "browsers"), ("ingest", "cameras")):
            variable = f"LAB_{part.upper()}_PROCESSES"
            command.add_argument(
                f"--{part}",
                type=processes,
                metavar="N",
                # A string, so that argparse looks at it only where it is used.
                default=os.environ.get(variable) or "1",
                help=f"processes that share the {whom} (default: ${variable} or 1)",
            )
    commands.add_parser("status", parents=[home], help="each process, its health, versions, disk left")
    test = commands.add_parser(
        "test", help="run every test", description="Run every test; more arguments go to pytest."
    )
    test.add_argument("--long", action="store_true", help="also the fault runs that take minutes")
    bench = commands.add_parser("bench", help="run the benchmarks, each beside its peer")
    bench.add_argument("names", nargs="*", metavar="NAME", help="which benchmarks (default: all)")
    bench.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    bench.add_argument("--home", metavar="DIR", help="keep what was filled in DIR for the next run (catalog)")
    for option, meaning in BENCH_OPTIONS.items():
        bench.add_argument(f"--{option}", type=int, metavar="N", help=meaning)
    commands.add_parser("agent", add_help=False, help="the camera agent of one behaviour box")
    commands.add_parser("manage", add_help=False, help="manage.py inside the environment")
    return top


def port(text: str) -> int:
    """A TCP port from the command line."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number from 0 to 65535") from None
    if not 0 <= number < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text} is no port; ports go from 0 to 65535")
    return number


def processes(text: str) -> int:
    """A number of processes from the command line."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; write one from 1 to {MOST_PROCESSES}")
    return number


def main(arguments: list[str]) -> int:  # noqa: RET503 - exec does not return
    """Understand the command line, make the environment, and become the command; returns only a failure's status."""
    began = time.time()
    understood = parser()
    options, rest = understood.parse_known_args(arguments)
    if rest and options.command not in ("test", "agent", "manage"):
        understood.error(f"{options.command} does not know {' '.join(rest)}")
    home = Path(getattr(options, "home", None) or os.environ.get("LAB_HOME") or ROOT / ".lab").expanduser().resolve()
    try:
        python = ensure(ROOT, tests=options.command == "test")
    except EnvironmentFailureError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlab: interrupted; the next start goes on from here.", file=sys.stderr)
        return 130
    if options.command not in ("agent", "manage"):
        os.chdir(ROOT)
    environment = {**os.environ, "LAB_HOME": str(home), "PYTHONPATH": _with_root(os.environ.get("PYTHONPATH", ""))}
    module, *more = _module(options, rest, began)
    sys.stdout.flush()
    os.execve(python, [str(python), "-m", module, *more], environment)  # noqa: S606 - the same process goes on


def _with_root(path: str) -> str:
    return os.pathsep.join([str(ROOT), *([path] if path else [])])


def _module(options: argparse.Namespace, rest: list[str], began: float) -> list[str]:
    """The Python module that carries out a command, and its arguments."""
    if options.command in ("up", "demo"):
        listening = ["--host", options.host, "--port", str(options.port)]
        if options.ingest_port is not None:
            listening += ["--ingest-port", str(options.ingest_port)]
        listening += ["--web", str(options.web), "--ingest", str(options.ingest)]
        return ["labsite.stack", options.command, "--began", str(began), *listening]
    if options.command == "status":
        return ["labsite.stack.status"]
    if options.command == "test":
        return ["labsite.stack.testing", *(["--long"] if options.long else []), *rest]
    if options.command == "bench":
        given = [f"--{name}={value}" for name in BENCH_OPTIONS if (value := getattr(options, name)) is not None]
        for name in ("json", "home"):
            given += [f"--{name}={Path(value).absolute()}"] if (value := getattr(options, name)) else []
        return ["benchmarks", *options.names, *given]
    if options.command == "agent":
        return ["cameras.agent", *rest]
    return ["labsite.stack.manage", *rest]
