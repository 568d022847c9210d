"""Settings of every process, by environment variables; docs/settings.md lists them.

One module for the embedded stack, for containers and for tests: what differs is in the environment, never in the code.
"""

import os
from pathlib import Path

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

BASE_DIR = Path(__file__).resolve().parent.parent


def _flag(name: str) -> bool:
    value = os.environ.get(name, "0").strip().lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off", ""}:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}; write 1 or 0.")


def _list(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in os.environ.get(name, default).split(",") if item.strip()]


def _seconds(name: str, default: float) -> float:
    try:
        value = float(os.environ.get(name, default))
    except ValueError:
        value = 0.0
    if value > 0:
        return value
    raise ImproperlyConfigured(f"{name} is {os.environ[name]!r}; write a number of seconds above 0.")


def _count(name: str, default: int) -> int:
    text = os.environ.get(name, str(default)).strip()
    if text.isascii() and text.isdecimal():
        return int(text)
    raise ImproperlyConfigured(f"{name} is {text!r}; write a whole number, 0 or more.")


LAB_HOME = Path(os.environ.get("LAB_HOME", BASE_DIR / ".lab")).expanduser().resolve()
LAB_DATA_ROOT = Path(os.environ.get("LAB_DATA_ROOT", LAB_HOME / "data"))
LAB_RESULTS = Path(os.environ.get("LAB_RESULTS", LAB_HOME / "results"))
LAB_MODELS = Path(os.environ.get("LAB_MODELS", LAB_HOME / "models"))
LAB_INGEST_URL = os.environ.get("LAB_INGEST_URL", "ws://127.0.0.1:8001")
LAB_SIMULATED = _flag("LAB_SIMULATED")
LAB_SECURE = _flag("LAB_SECURE")
LAB_REDIS_URL = os.environ.get("LAB_REDIS_URL", "redis://127.0.0.1:6379/0")

# A running job says every so often that it lives; silent for so long it is taken for lost; one that was sent to the
# workers and neither runs nor waits in Redis after so long is sent again. Threads 0: the cores shared by the worker's
# jobs.
LAB_JOB_HEARTBEAT = _seconds("LAB_JOB_HEARTBEAT", 5)
LAB_JOB_STALE = _seconds("LAB_JOB_STALE", 60)
LAB_JOB_RESEND = _seconds("LAB_JOB_RESEND", 10)
LAB_SUPERVISE_PERIOD = _seconds("LAB_SUPERVISE_PERIOD", 2)
LAB_JOB_THREADS = int(os.environ.get("LAB_JOB_THREADS", "0"))

# Requests over REST that one token or person, and one address that says nobody, may make in a minute; 0: as many as
# they like.
LAB_RATE_USER = _count("LAB_RATE_USER", 12_000)
LAB_RATE_ANONYMOUS = _count("LAB_RATE_ANONYMOUS", 600)

# Recording refuses to start below so many free bytes; a stopped recording waits so long (s) for a camera that is
# offline.
LAB_DISK_RESERVE = int(os.environ.get("LAB_DISK_RESERVE", str(2 * 1024**3)))
LAB_OFFLINE_GRACE = _seconds("LAB_OFFLINE_GRACE", 30)

# Registered files are looked at every so many seconds (size and time), and read every so many (content), so fast
# (bytes/s) that a disk has most of its speed left for recording.
LAB_FILES_LOOKED_AT = _seconds("LAB_FILES_LOOKED_AT", 3600)
LAB_FILES_READ = _seconds("LAB_FILES_READ", 30 * 86_400)
LAB_FILES_READ_RATE = int(os.environ.get("LAB_FILES_READ_RATE", "40000000"))

# An alert is raised below so many free bytes, and told to a webhook and by e-mail where these are named.
LAB_DISK_ALARM = int(os.environ.get("LAB_DISK_ALARM", str(10 * 1024**3)))
LAB_ALERT_WEBHOOK = os.environ.get("LAB_ALERT_WEBHOOK", "")
LAB_ALERT_EMAIL = [one.strip() for one in os.environ.get("LAB_ALERT_EMAIL", "").split(",") if one.strip()]
DEFAULT_FROM_EMAIL = os.environ.get("LAB_EMAIL_FROM", "labsite@localhost")
EMAIL_HOST = os.environ.get("LAB_SMTP_HOST", "localhost")
EMAIL_PORT = int(os.environ.get("LAB_SMTP_PORT", "25"))
EMAIL_HOST_USER = os.environ.get("LAB_SMTP_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("LAB_SMTP_PASSWORD", "")
EMAIL_USE_TLS = _flag("LAB_SMTP_TLS")
EMAIL_TIMEOUT = 10


def _secret_key() -> str:
    if key := os.environ.get("LAB_SECRET_KEY"):
        return key
    try:
        return (LAB_HOME / "secret-key").read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"LAB_SECRET_KEY is not set, and {LAB_HOME / 'secret-key'} cannot be read ({error.strerror})."
        ) from error


def _database() -> dict[str, object]:
    url = os.environ.get("LAB_DATABASE_URL", "")
    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError as error:
        raise ImproperlyConfigured(f"LAB_DATABASE_URL is not a Postgres URL: {error}") from error
    if not parts.get("dbname"):
        raise ImproperlyConfigured(
            "LAB_DATABASE_URL is not set; ./lab sets it, or write postgresql://user:password@host:5432/database."
        )
    known = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    database: dict[str, object] = {name: str(parts.pop(key, "") or "") for key, name in known.items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        **database,
        "OPTIONS": dict(parts),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


SECRET_KEY = _secret_key()
DEBUG = _flag("LAB_DEBUG")
ALLOWED_HOSTS = _list("LAB_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = _list("LAB_CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "pgtrigger",
    "pghistory",
    "csp",
    "sessions.apps.SessionsConfig",
    "cameras.apps.CamerasConfig",
    "analysis.apps.AnalysisConfig",
    "labsite.apps.LabsiteConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "sessions.middleware.AdminPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "pghistory.middleware.HistoryMiddleware",
    "sessions.middleware.LabErrorMiddleware",
]

ROOT_URLCONF = "labsite.urls"
ASGI_APPLICATION = "labsite.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "labsite.context.lab",
            ],
        },
    },
]

DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PGHISTORY_MIDDLEWARE_METHODS = ("POST", "PUT", "PATCH", "DELETE")

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = os.environ.get("LAB_TIME_ZONE", "UTC")
USE_TZ = True
USE_I18N = False

STATIC_URL = "/static/"
STATIC_ROOT = Path(os.environ.get("LAB_STATIC_ROOT", LAB_HOME / "static"))
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "labsite.wheelfiles.WheelFilesFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
MEDIA_ROOT = LAB_HOME / "media"
# A bulk of 10,000 events is about 2 MB; files come by upload, never in a form.
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [LAB_REDIS_URL], "prefix": "lab"},
    }
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": LAB_REDIS_URL}}


def _celery_broker(url: str) -> str:
    """Kombu writes a Redis socket as redis+socket://, redis-py as unix://."""
    if not url.startswith("unix://"):
        return url
    path, _, query = url.removeprefix("unix://").partition("?")
    return f"redis+socket://{path}" + (f"?virtual_host={query.removeprefix('db=')}" if query.startswith("db=") else "")


# Postgres decides what runs, Redis only wakes a worker: hence no results in Redis, no prefetch, and an early
# acknowledgement (with a late one a job longer than the visibility timeout would run twice).
CELERY_BROKER_URL = _celery_broker(LAB_REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "sessions.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["sessions.api.throttling.MinuteThrottle"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_FILTER_BACKENDS": [
        "sessions.api.strictness.StrictFilterBackend",
        "sessions.api.strictness.StrictOrderingFilter",
    ],
    "DEFAULT_PAGINATION_CLASS": "sessions.pagination.LabPagination",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    # Uvicorn has put the client of a trusted proxy into REMOTE_ADDR; what else is forwarded anybody can write.
    "NUM_PROXIES": 0,
    "DEFAULT_SCHEMA_CLASS": "sessions.api.description.LabSchema",
    "EXCEPTION_HANDLER": "sessions.errors.rest_exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Labsite",
    "DESCRIPTION": (
        "The catalog, cameras and analyses of a systems-neuroscience laboratory. A POST with an `Idempotency-Key` is"
        " carried out once. A row has an `ETag`; a change that sends it back as `If-Match` is refused with 412 when"
        " somebody else changed the row meanwhile."
    ),
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "sessions.api.description.with_refusals",
    ],
    "ENUM_NAME_OVERRIDES": {
        "JobStateEnum": "analysis.jobs.models.JobState",
        "CameraRecordingStateEnum": "cameras.models.RecordingState",
        "RingCutStateEnum": "cameras.models.CutState",
        "CameraAlertKindEnum": "cameras.models.AlertKind",
        "FileCopyStateEnum": "sessions.models.CopyState",
        "RecordingKindEnum": "sessions.models.RecordingKind",
        "RestrictionKindEnum": "sessions.models.RestrictionKind",
        "AdministrationKindEnum": "sessions.models.AdministrationKind",
        "ProcedureKindEnum": "sessions.models.ProcedureKind",
    },
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        # Bokeh makes style elements of its own; on pages with figures the script gives them the nonce of the page.
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:", "blob:"],
        "media-src": [SELF, "blob:"],
        "connect-src": [SELF],
        "worker-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
if LAB_SECURE:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 60 * 60 * 24 * 30
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True

UNFOLD = {
    "SITE_TITLE": "Labsite",
    "SITE_HEADER": "Labsite",
    "SITE_SYMBOL": "neurology",
    "SHOW_VIEW_ON_SITE": True,
    "SHOW_HISTORY": True,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("LAB_LOG_LEVEL", "INFO")},
}
