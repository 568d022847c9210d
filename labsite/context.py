"""What every page knows: whether the laboratory is simulated, and where the reader is."""

from django.conf import settings
from django.http import HttpRequest


def lab(request: HttpRequest) -> dict[str, object]:
    """Return the template variables ``simulated`` and ``section`` (first part of the path)."""
    return {"simulated": settings.LAB_SIMULATED, "section": request.path.strip("/").split("/")[0]}
