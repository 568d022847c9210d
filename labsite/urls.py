"""Every address of the site: pages of the three apps, REST, the admin, and how the parts do."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import include, path
from django.views.decorators.http import require_safe
from django.views.generic import TemplateView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from labsite.stack.health import healthz
from sessions.api.unknown import UnknownAddressView

api = [
    path("", include("sessions.api.urls")),
    path("", include("cameras.api.urls")),
    path("", include("analysis.api.urls")),
]

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    # Browsers ask for it where a page names no icon: in the admin, and beside a file that is opened by itself.
    path("favicon.ico", require_safe(lambda _: redirect(static("img/icon.svg"))), name="favicon"),
    path("login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("more/", login_required(TemplateView.as_view(template_name="more.html")), name="more"),
    path("admin/", admin.site.urls),
    path("api/v1/", include(api)),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path(
        "api/docs/",
        SpectacularSwaggerSplitView.as_view(template_name="api_docs.html", url_name="api-schema"),
        name="api-docs",
    ),
    path("api/<path:rest>", UnknownAddressView.as_view(), name="api-unknown"),
    path("", include("cameras.urls")),
    path("", include("sessions.urls")),
    path("", include("analysis.urls")),
]
