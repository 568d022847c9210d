"""`./lab bench [NAME ...] [--json FILE] [--home DIR]`: run the benchmarks and print each figure as a ratio to its peer.

A benchmark is a module in this directory with `run() -> list[dict]`; each dict has `name`, `value`, `unit`, `peer`,
`peer_value` and `ratio`. A figure without a peer has None in the last three. One whose peer is a bound may have
`broken`: true makes the command fail. What `run` takes by keyword (`kills`, say) is an option of the command line. One
that says `ON_REQUEST` takes minutes and runs only when it is named. They run one after another in one process, with the
database and the broker of a LAB_HOME of their own in the environment, which is removed afterwards unless `--home` names
it: a database that took minutes to fill is there again for the next run.
"""

import argparse
import importlib
import inspect
import json
import os
import pkgutil
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import benchmarks
from labsite.stack import services
from labsite.stack.command import BENCH_OPTIONS

FIELDS = ("name", "value", "unit", "peer", "peer_value", "ratio")


def known() -> list[str]:
    """Names of the benchmarks."""
    return sorted(
        module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")
    )


def by_default() -> list[str]:
    """Names of the benchmarks that run when none is named."""
    return [name for name in known() if not getattr(importlib.import_module(f"benchmarks.{name}"), "ON_REQUEST", False)]


def taken(name: str, options: dict[str, int]) -> dict[str, int]:
    """Those of the options that a benchmark takes."""
    parameters = inspect.signature(importlib.import_module(f"benchmarks.{name}").run).parameters
    return {option: value for option, value in options.items() if option in parameters}


def checked(name: str, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results with the fields that a reader of the file relies on; raises ValueError naming what is wrong."""
    for result in results:
        if missing := [field for field in FIELDS if field not in result]:
            raise ValueError(f"a result of benchmark {name} lacks {', '.join(missing)}: {result}")
    return [{field: result[field] for field in FIELDS} | {"broken": result.get("broken", False)} for result in results]


def number(value: float | None) -> str:
    """Three significant digits, without an exponent where it can be read without."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(results: list[dict[str, Any]]) -> str:
    """The results as aligned text."""
    rows = [("benchmark", "value", "unit", "peer", "peer's", "ratio")]
    for result in results:
        ratio = "-" if result["ratio"] is None else f"{number(result['ratio'])} x"
        rows.append(
            (
                result["name"],
                number(result["value"]),
                result["unit"],
                result["peer"] or "-",
                number(result["peer_value"]),
                ratio,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(FIELDS))]
    numeric = {1, 4, 5}
    return "\n".join(
        "  ".join(
            text.rjust(width) if column in numeric else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def run(names: list[str], options: dict[str, int]) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the named benchmarks; returns their results and the names of those that failed."""
    results: list[dict[str, Any]] = []
    failed = []
    for name in names:
        began = time.monotonic()
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            results += checked(name, importlib.import_module(f"benchmarks.{name}").run(**taken(name, options)))
        except Exception:  # noqa: BLE001 - whatever one benchmark does, it is shown and the others still run
            traceback.print_exc()
            failed.append(name)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return results, failed


def main() -> int:
    """Run what the command line names; returns 1 where a benchmark failed or broke a bound."""
    parser = argparse.ArgumentParser(prog="./lab bench", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--home", metavar="DIR")
    for option, meaning in BENCH_OPTIONS.items():
        parser.add_argument(f"--{option}", type=int, metavar="N", help=meaning)
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(known())):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known()) or 'none'}")
    names = options.names or by_default()
    given = {option: value for option in BENCH_OPTIONS if (value := getattr(options, option)) is not None}
    for option in given:
        if not any(option in taken(name, given) for name in names):
            parser.error(f"--{option} is no option of {', '.join(names)}")
    home = Path(options.home or tempfile.mkdtemp(prefix="labsite-bench-")).absolute()
    home.mkdir(exist_ok=True)
    os.environ |= {"LAB_HOME": str(home), "DJANGO_SETTINGS_MODULE": "labsite.settings"}
    try:
        os.environ["LAB_DATABASE_URL"] = services.embedded_postgres(home)
        os.environ["LAB_REDIS_URL"] = services.embedded_redis(home)
        results, failed = run(names, given)
    finally:
        services.stop_redis(home)
        services.stop_postgres(home)
        if not options.home:
            shutil.rmtree(home, ignore_errors=True)
    print(table(results))
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    broken = [result["name"] for result in results if result["broken"]]
    for name in broken:
        print(f"lab: out of its bound: {name}", file=sys.stderr)
    if failed:
        print(f"lab: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
