"""The laboratory of the catalog's tests, with one of everything that an address can be about."""

from tests.catalog.conftest import fresh_throttle, lab, people, put, recording
from tests.roles.everything import things

__all__ = ["fresh_throttle", "lab", "people", "put", "recording", "things"]
