"""What a computation ran on: Python, package versions, processor, memory. No Django: it runs in the child process."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Packages that compute or read, and under what name they are imported: a paper names those that a result went through.
_COMPUTING = {
    "numpy": "numpy",
    "scipy": "scipy",
    "numba": "numba",
    "scikit-learn": "sklearn",
    "opencv-python-headless": "cv2",
    "spikeinterface": "spikeinterface",
    "neo": "neo",
    "probeinterface": "probeinterface",
    "pynwb": "pynwb",
    "h5py": "h5py",
    "torch": "torch",
}
_DISTRIBUTION = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+)\.(?:dist|egg)-info$")


def surroundings() -> dict[str, Any]:
    """Return Python, platform, processor, memory in bytes, threads, and ``{package: version}`` of all installed."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory": memory(),
        "threads": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        "packages": packages(),
    }


def packages() -> dict[str, str]:
    """Return the installed packages with their versions, from the names of their folders: no file is read for it."""
    found: dict[str, str] = {}
    for entry in sys.path:
        try:
            names = [path.name for path in Path(entry or ".").iterdir()]
        except OSError:
            continue
        for name in names:
            match = _DISTRIBUTION.match(name)
            # The first on the path is the one that an import finds.
            if match and (package := match["name"].replace("_", "-").lower()) not in found:
                found[package] = match["version"]
    return dict(sorted(found.items()))


def used() -> list[str]:
    """Return those packages for computing and reading that this process has imported so far."""
    return [package for package, module in _COMPUTING.items() if module in sys.modules]


def processor() -> str:
    """Return the processor's name as the kernel gives it, or the architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        # Not Linux.
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()


def memory() -> int | None:
    """Return the machine's memory in bytes, where it tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
