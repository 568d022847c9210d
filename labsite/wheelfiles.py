"""Browser code that ships inside Python wheels (Bokeh, uPlot), served as static files without a copy in the project."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from django.contrib.staticfiles.finders import BaseFinder
from django.core.checks import CheckMessage
from django.core.files.storage import FileSystemStorage, Storage

# package, folder inside it, files: all that pages load. Bokeh's folder also holds its type declarations, 900 files.
WHEEL_FILES = {
    "bokeh": ("bokeh", "server/static/js", ("bokeh.min.js",)),
    "uplot": ("uplot", "static", ("uPlot.iife.js", "uPlot.min.css")),
}


class WheelFilesFinder(BaseFinder):
    """Finds ``bokeh/...`` and ``uplot/...`` in the installed packages."""

    def _folders(self) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
        for prefix, (package, folder, names) in WHEEL_FILES.items():
            spec = find_spec(package)
            if spec is not None and spec.submodule_search_locations:
                yield prefix, Path(spec.submodule_search_locations[0]) / folder, names

    def check(self, **kwargs: object) -> list[CheckMessage]:  # noqa: ARG002
        """Nothing can be misconfigured here."""
        return []

    # For a file that it does not have, Django wants an empty list (its own finders give one); the stubs say None.
    def find(  # type: ignore[override]
        self, path: str, find_all: bool = False, **kwargs: object
    ) -> str | list[str]:
        """Return the file for a static path such as ``bokeh/bokeh.min.js``, or an empty list."""
        find_all = bool(kwargs.get("all", find_all))
        for prefix, folder, names in self._folders():
            if path in {f"{prefix}/{name}" for name in names}:
                found = str(folder / path.removeprefix(f"{prefix}/"))
                return [found] if find_all else found
        return []

    def list(self, ignore_patterns: object) -> Iterator[tuple[str, Storage]]:  # noqa: ARG002
        """Yield every file with a storage that reads it, as collectstatic wants."""
        for prefix, folder, names in self._folders():
            storage = FileSystemStorage(location=folder)
            storage.prefix = prefix  # type: ignore[attr-defined]
            for name in names:
                yield name, storage
