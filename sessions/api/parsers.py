"""Bodies of requests: JSON as the standard has it, within limits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from sessions.errors import TooLarge

MOST_BYTES = 16 * 1024 * 1024


class StrictJSONParser(JSONParser):
    """JSON without NaN, infinity (also as ``1e999``), bottomless nesting, or a body of any length."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002 - the framework's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        """Return the parsed body; 400 says where it stops being JSON, 413 that it is too long."""
        body = stream.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise TooLarge(f"The body is longer than {MOST_BYTES} bytes; send it in parts.")
        try:
            data = json.loads(body.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
            if b"\\ud" in body.lower():
                # Half of a surrogate pair can be neither stored nor sent back in an error.
                json.dumps(data, ensure_ascii=False).encode()
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
        except UnicodeEncodeError:
            raise ParseError("The body is not text: it holds half of a surrogate pair.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}.") from None
        return data


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large for a number")
    return value
