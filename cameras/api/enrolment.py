"""The one call that a box makes before it has a token: a code for a token."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from redis.exceptions import RedisError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from cameras import services
from cameras.addresses import ingest_address
from cameras.api.serializers import EnrolledSerializer, EnrolmentSerializer
from sessions.api.parsers import StrictJSONParser
from sessions.errors import Unavailable


class EnrolmentThrottle(SimpleRateThrottle):
    """So many tries for each address in a minute that a person with a typing error never notices."""

    scope = "enrolment"
    rate = "10/min"

    def get_cache_key(self, request: Request, view: Any) -> str:
        """Return the key of this address."""
        return f"enrolment-{self.get_ident(request)}"

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count this try; without Redis nobody counts, so nobody may guess."""
        try:
            return super().allow_request(request, view)
        except RedisError as error:
            raise Unavailable("Boxes cannot be enrolled now: Redis does not answer. Try again in a moment.") from error


class EnrolView(APIView):
    """``POST {"code"}`` gives a box its camera's name, address and token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (EnrolmentThrottle,)
    parser_classes = (StrictJSONParser,)

    @extend_schema(request=EnrolmentSerializer, responses={200: EnrolledSerializer}, auth=[])
    def post(self, request: Request) -> Response:
        """Use the code up."""
        body = EnrolmentSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        camera, token = services.enrol_agent(code=body.validated_data["code"])
        found = {"camera": camera.slug, "name": str(camera), "server": ingest_address(request._request), "token": token}
        return Response(EnrolledSerializer(found).data)
