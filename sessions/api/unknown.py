"""Addresses below ``/api/`` that lead nowhere: a script is told so in JSON, not by a page."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, HttpResponseRedirect
from django.urls import Resolver404, resolve
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from sessions.errors import NotFound


@extend_schema(exclude=True)
class UnknownAddressView(APIView):
    """Answers 404 with the address; one that lacks only its last slash is followed when nothing would be changed."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request, **_path: Any) -> HttpResponse:
        """Lead to the address with a slash, or refuse."""
        if _leads_somewhere(f"{request.path_info}/"):
            query = request.META.get("QUERY_STRING", "")
            return HttpResponseRedirect(f"{request.path}/{'?' if query else ''}{query}")
        raise NotFound(f"There is no address {request.path} here; /api/docs/ lists those there are.")

    def post(self, request: Request, **_path: Any) -> HttpResponse:
        """Refuse: a redirect would lose the body."""
        with_slash = f"{request.path_info}/"
        hint = f"write {with_slash}" if _leads_somewhere(with_slash) else "/api/docs/ lists those there are"
        raise NotFound(f"There is no address {request.path} here; {hint}.")

    put = patch = delete = post
    head = get


def _leads_somewhere(path: str) -> bool:
    try:
        found = resolve(path)
    except Resolver404:
        return False
    return getattr(found.func, "cls", None) is not UnknownAddressView
