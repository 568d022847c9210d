"""News of a session for the pages that have it open. A page that misses some reads the rows again."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from django.dispatch import Signal
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

# Sent after the transaction that ended a session; ``session`` is the row. Whoever records it stops then.
session_ended = Signal()
# Sent in the transaction that gives a session to another project; ``session`` is the row. What others made of it and
# keep under its project goes there, too.
session_moved = Signal()


def group_of(session_id: UUID | str) -> str:
    """Return the name of the channel group of a session's pages."""
    return f"session.{session_id}"


def tell(session_id: UUID | str, message: dict[str, Any]) -> None:
    """Send a JSON message to the pages of a session once the transaction is committed."""
    transaction.on_commit(lambda: _send(session_id, message))


def _send(session_id: UUID | str, message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    try:
        async_to_sync(layer.group_send)(group_of(session_id), {"type": "session.news", "message": message})
    except (RedisError, OSError):
        # The rows are committed; without Redis only the pages that are open now learn of it later.
        log.warning("pages of session %s were not told: Redis does not answer", session_id, exc_info=True)
