"""The account: keys of one's scripts, and the password."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from sessions import selectors
from sessions.forms import TokenForm
from sessions.models import ApiToken
from sessions.tokens import create_token, revoke_token


@login_required
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """One's tokens and roles."""
    return _page(request)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_token(request: HttpRequest) -> HttpResponse:
    """Make a token; its key is on this answer and never again. Whoever comes back to the address finds the form."""
    if request.method != "POST":
        return redirect("lab:account")
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _page(request, form=form, status=400)
    token, key = create_token(user=request.user, **form.cleaned_data)
    return _page(request, made=token, key=key)


@login_required
@require_POST
def revoke(request: Any, pk: UUID) -> HttpResponse:
    """Revoke one of one's tokens."""
    token = selectors.one(ApiToken.objects.filter(user=request.user), pk)
    revoke_token(token=token)
    messages.success(request, f"{token.name} was revoked.")
    return redirect("lab:account")


@sensitive_post_parameters()
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change_password(request: Any) -> HttpResponse:
    """Change one's password; this browser stays logged in. Whoever comes back to the address finds the form."""
    if request.method != "POST":
        return redirect("lab:account")
    form = PasswordChangeForm(request.user, request.POST)
    if not form.is_valid():
        return _page(request, password_form=form, status=400)
    update_session_auth_hash(request, form.save())
    messages.success(request, "The password was changed.")
    return redirect("lab:account")


def _page(
    request: Any,
    *,
    form: TokenForm | None = None,
    password_form: PasswordChangeForm | None = None,
    made: ApiToken | None = None,
    key: str = "",
    status: int = 200,
) -> HttpResponse:
    password_form = password_form or PasswordChangeForm(request.user)
    # The form of a page of its own would take the focus; here it stands at the end.
    password_form.fields["old_password"].widget.attrs.pop("autofocus", None)
    return render(
        request,
        "sessions/account.html",
        {
            "form": form or TokenForm(),
            "password_form": password_form,
            "tokens": ApiToken.objects.filter(user=request.user),
            "memberships": request.user.memberships.select_related("project").order_by("project__name"),
            "made": made,
            "key": key,
        },
        status=status,
    )
