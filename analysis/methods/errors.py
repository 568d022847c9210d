"""The one error of the methods: data or settings that a method cannot work with, told in one sentence."""

from __future__ import annotations


class InvalidDataError(ValueError):
    """The arrays or settings given cannot be used; the text says which and why."""
