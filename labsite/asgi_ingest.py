"""The ingest process: what the camera agents talk to. It serves no pages and no viewers."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")

from django.core.asgi import get_asgi_application

get_asgi_application()

from channels.routing import ProtocolTypeRouter

from cameras.ingest.application import ingest_socket, lifespan

application = ProtocolTypeRouter({"websocket": ingest_socket, "lifespan": lifespan})
