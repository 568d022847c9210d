"""`python -m labsite.stack up|demo`: what `./lab up` and `./lab demo` become inside the environment."""

import argparse
import os
import sys

from labsite.stack.home import home_path
from labsite.stack.supervisor import Options, run


def main() -> int:
    """Run the laboratory that the command line describes; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m labsite.stack", description=__doc__)
    parser.add_argument("command", choices=["up", "demo"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--ingest-port", type=int)
    parser.add_argument("--web", type=int, default=1)
    parser.add_argument("--ingest", type=int, default=1)
    parser.add_argument("--began", type=float)
    given = parser.parse_args()
    return run(
        Options(
            home=home_path(os.environ.get("LAB_HOME", ".lab")),
            host=given.host,
            port=given.port,
            ingest_port=given.ingest_port,
            web=given.web,
            ingest=given.ingest,
            demo=given.command == "demo",
            began=given.began,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
