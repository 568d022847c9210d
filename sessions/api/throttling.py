"""How often REST may be asked: a script that has run wild hinders nobody else.

Requests are counted in Redis by the minute: by token or person, and by address where nobody says who he is. What
arrives in pieces (uploads), websockets and ingest are not counted.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

log = logging.getLogger(__name__)

WINDOW = 60


class MinuteThrottle(BaseThrottle):
    """Refuses with 429 and Retry-After what comes over ``LAB_RATE_USER`` or ``LAB_RATE_ANONYMOUS`` in one minute."""

    def allow_request(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - the framework's signature
        """Count this request. Without Redis nobody counts, and work goes on; passwords are guarded more strictly."""
        who, most = self._who(request)
        if most == 0:
            return True
        key = f"rest-rate-{who}-{int(time.time() // WINDOW)}"
        try:
            # The key is there for as long as its minute, and a while more in case clocks differ.
            cache.add(key, 0, timeout=2 * WINDOW)
            return cache.incr(key) <= most
        except (RedisError, ValueError) as error:
            log.warning("A request was not counted: %s", error)
            return True

    def wait(self) -> float:
        """Return the seconds until the next minute begins."""
        return math.ceil(WINDOW - time.time() % WINDOW)

    def _who(self, request: Request) -> tuple[str, int]:
        if request.auth is not None:
            return f"token-{request.auth.pk}", settings.LAB_RATE_USER
        if request.user is not None and request.user.is_authenticated:
            return f"user-{request.user.pk}", settings.LAB_RATE_USER
        return f"address-{self.get_ident(request)}", settings.LAB_RATE_ANONYMOUS
