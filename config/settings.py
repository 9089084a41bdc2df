"""Every setting, from the environment (docs/operations.md lists the variables).

`CANOPY_ENV` is production unless it says development or test; only those two fill in defaults.
"""

import re
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from psycopg.conninfo import conninfo_to_dict

from config.env import Environment

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()

ENVIRONMENT = env.text("CANOPY_ENV", "production")
PRODUCTION = ENVIRONMENT == "production"
DEBUG = ENVIRONMENT == "development"
TESTING = ENVIRONMENT == "test"
env.require(ENVIRONMENT in ("production", "development", "test"), "CANOPY_ENV is not production, development or test")

SECRET_KEY = env.text("SECRET_KEY", None if PRODUCTION else "development-only-and-refused-in-production-0123456789")
env.require(
    not PRODUCTION or (len(SECRET_KEY) >= 50 and "development" not in SECRET_KEY), "SECRET_KEY is shorter than 50 characters or a sample"
)

# --- Who we are and where we live -------------------------------------------------------------------------------------

PLATFORM_NAME = env.text("PLATFORM_NAME", "Canopy")
PLATFORM_ACCENT = env.text("PLATFORM_ACCENT", "#14674b").lower()
env.require(re.fullmatch("#[0-9a-f]{6}", PLATFORM_ACCENT) is not None, "PLATFORM_ACCENT is not a colour like #14674b")
BASE_DOMAIN = env.text("BASE_DOMAIN", None if PRODUCTION else "localhost:8000").lower()
STAFF_HOST = env.text("STAFF_HOST", f"staff.{BASE_DOMAIN}").lower()
env.require(
    STAFF_HOST != BASE_DOMAIN and STAFF_HOST.partition(":")[2] == BASE_DOMAIN.partition(":")[2],
    "STAFF_HOST is not a name of its own on the port of BASE_DOMAIN",
)
SCHEME = "https" if PRODUCTION else env.text("SCHEME", "http")
SUPPORT_EMAIL = env.text("SUPPORT_EMAIL", f"support@{BASE_DOMAIN.split(':')[0]}")
STAFF_EMAIL = env.text("STAFF_EMAIL", "")
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", f"no-reply@{BASE_DOMAIN.split(':')[0]}")

# Any host name may arrive: the host middleware is the first to look and answers 404 to one it does not know.
ALLOWED_HOSTS = ["*"]
USE_X_FORWARDED_HOST = False
TRUSTED_PROXY_COUNT = env.number("TRUSTED_PROXY_COUNT", 1 if PRODUCTION else 0)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None

# --- Apps ---------------------------------------------------------------------------------------------------------------

SHARED_APPS = [
    "kit",
    "credits",
    "agency",
    # Before django_tenants: both have a `migrate`, and the first app in the list wins.
    "subaccounts",
    "django_tenants",
    "billing",
    "whitelabel",
    # Simple: what is registered is what credits.admin and its like say, not what every package would like to show.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "django.forms",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "heroicons",
]
TENANT_APPS = ["workspace"]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]

TENANT_MODEL = "subaccounts.SubAccount"
TENANT_DOMAIN_MODEL = "subaccounts.Domain"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
TENANT_LIMIT_SET_CALLS = False

MIDDLEWARE = [
    "kit.requests.RequestLogMiddleware",
    "config.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "subaccounts.middleware.HostMiddleware",
    "csp.middleware.CSPMiddleware",
    "kit.requests.NoCookiesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "subaccounts.middleware.SessionStampMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "subaccounts.middleware.PersonMiddleware",
    "subaccounts.middleware.FirstPasswordMiddleware",
    "subaccounts.middleware.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "kit.requests.RefusalMiddleware",
]

ROOT_URLCONF = "config.urls"
WORKSPACE_URLCONF = "config.workspace_urls"
STAFF_URLCONF = "config.staff_urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.context.frame",
            ],
            "builtins": ["kit.templatetags.kit", "django.contrib.humanize.templatetags.humanize", "heroicons.templatetags.heroicons"],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- PostgreSQL and Redis --------------------------------------------------------------------------------------------


def _database(url: str) -> dict[str, Any]:
    parts = conninfo_to_dict(url) if url else {}
    options: dict[str, Any] = {
        "options": (
            f"-c statement_timeout={env.number('DATABASE_STATEMENT_TIMEOUT_MS', 15_000)} "
            f"-c lock_timeout={env.number('DATABASE_LOCK_TIMEOUT_MS', 5_000)} "
            f"-c idle_in_transaction_session_timeout={env.number('DATABASE_IDLE_TIMEOUT_MS', 30_000)}"
        ),
    }
    if pool := env.number("DATABASE_POOL", 0 if TESTING else 16):
        options["pool"] = {"min_size": 1, "max_size": pool, "timeout": 10}
    return {
        "ENGINE": "subaccounts.postgresql",
        "NAME": parts.get("dbname", ""),
        "USER": parts.get("user", ""),
        "PASSWORD": parts.get("password", ""),
        "HOST": parts.get("host", ""),
        "PORT": str(parts.get("port") or ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


DATABASE_URL = env.text("DATABASE_URL")
DATABASES = {"default": _database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.text("REDIS_URL")
CACHE_PREFIX = env.text("CACHE_PREFIX", "canopy")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": CACHE_PREFIX,
    }
}

# --- Celery ---------------------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
# Deliveries wait for strangers, so they have a queue, and a worker, of their own.
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_TASK_ROUTES = {"billing.tasks.deliver_webhooks": {"queue": "webhooks"}}
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_TIME_LIMIT = 300
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "global_keyprefix": f"{CACHE_PREFIX}:celery:",
    "socket_connect_timeout": 2,
    "socket_timeout": 30,
    "max_retries": 0,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BEAT_SCHEDULER = "config.celery:OneBeat"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000
CELERY_TIMEZONE = "UTC"

# --- People, sessions, sign-in -------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "agency.User"
AUTHENTICATION_BACKENDS = ["agency.realms.RealmBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "first_name", "last_name")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "agency.forms.MaximumLengthValidator"},
    {"NAME": "agency.strength.StrengthValidator"},
]
if TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_NAME = "__Host-session"
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_IDLE_SECONDS = 12 * 3600
SESSION_AGENCY_SECONDS = 24 * 3600
SESSION_STAFF_SECONDS = 8 * 3600
SESSION_STAFF_IDLE_SECONDS = 20 * 60
CSRF_COOKIE_NAME = "__Host-csrf"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

ACCOUNT_ADAPTER = "agency.views.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_UNIQUE_EMAIL = False
# allauth wants addresses unique over the whole installation and says so in a check that has no id. Ours are unique within
# a realm, which `agency.realms` sees to; `None` silences the messages without an id and no other.
SILENCED_SYSTEM_CHECKS = [None]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_PASSWORD_RESET_BY_CODE_TIMEOUT = 15 * 60
ACCOUNT_FORMS = {
    "login": "agency.forms.SignInForm",
    "signup": "agency.forms.SignUpForm",
    "change_password": "agency.forms.ChangePasswordForm",
    "set_password": "agency.forms.SetPasswordForm",
    "reset_password": "agency.forms.ResetPasswordForm",
    "reset_password_from_key": "agency.forms.NewPasswordForm",
    "add_email": "agency.forms.ChangeEmailForm",
    "confirm_email_verification_code": "agency.forms.ConfirmEmailForm",
}
ACCOUNT_RATE_LIMITS = {
    # Per address as well: whoever asks from many networks must not fill somebody's mailbox.
    "confirm_email": "1/10s/key,10/h/key",
    "reset_password": "20/m/ip,5/15m/key",
    "find_workspace": "10/m/ip",
    "find_workspace_address": "3/h/key",
}
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXY_COUNT
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/"

MFA_ADAPTER = "agency.views.adapters.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
MFA_TOTP_TOLERANCE = 1
MFA_FORMS = {
    "authenticate": "agency.forms.SecondFactorForm",
    "reauthenticate": "agency.forms.ConfirmWithCodeForm",
    "login_webauthn": "agency.forms.PasskeyForm",
}
USERSESSIONS_TRACK_ACTIVITY = True

# --- Content security, headers -----------------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "manifest-src": [SELF],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
SECURE_HSTS_PRELOAD = PRODUCTION
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500

# --- Mail -----------------------------------------------------------------------------------------------------------------

MAILBOX_DIR = Path(env.text("MAILBOX_DIR", str(BASE_DIR / "var" / "mail")))
if TESTING:
    EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
elif DEBUG and not env.text("SMTP_HOST", ""):
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = MAILBOX_DIR
else:
    EMAIL_HOST = env.text("SMTP_HOST")
    EMAIL_PORT = env.number("SMTP_PORT", 587)
    EMAIL_HOST_USER = env.text("SMTP_USER", "")
    EMAIL_HOST_PASSWORD = env.text("SMTP_PASSWORD", "")
    EMAIL_USE_TLS = env.flag("SMTP_TLS", True)
EMAIL_TIMEOUT = 10

# --- Words, times, files ------------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
MEDIA_ROOT = BASE_DIR / "var" / "media"

# --- The product's own numbers -----------------------------------------------------------------------------------------

WIDGET_DAILY_REPLIES = env.number("WIDGET_DAILY_REPLIES", 2000)
STARTER_CREDITS = env.number("STARTER_CREDITS", 100)
TRIAL_DAYS = env.number("TRIAL_DAYS", 14)
TRIAL_POOL_CREDITS = env.number("TRIAL_POOL_CREDITS", 1000)
# Where outgoing webhooks may go: https on the public Internet; in development plain http and this machine as well. An operator
# whose receivers live in a network of their own names it (comma separated, for instance 10.1.0.0/16).
WEBHOOK_SCHEMES = ("https",) if PRODUCTION else ("https", "http")
WEBHOOK_PRIVATE_NETWORKS = env.text("WEBHOOK_PRIVATE_NETWORKS", "127.0.0.1/32" if DEBUG else "-").replace("-", "").split(",")
WEBHOOK_PRIVATE_NETWORKS = [network.strip() for network in WEBHOOK_PRIVATE_NETWORKS if network.strip()]
# How long a process may keep its answer to "whose host is this?" (subaccounts/hosts.py).
HOST_CACHE_SECONDS = env.number("HOST_CACHE_SECONDS", 0 if TESTING else 3)
SPARE_WORKSPACES = env.number("SPARE_WORKSPACES", 0 if TESTING else 5)
# Per key; without a key that works, per network.
API_READS_PER_MINUTE = env.number("API_READS_PER_MINUTE", 600)
API_WRITES_PER_MINUTE = env.number("API_WRITES_PER_MINUTE", 120)
API_FAILURES_PER_MINUTE = env.number("API_FAILURES_PER_MINUTE", 60)
API_LARGEST_BODY = 262_144
# In whole units: what one request of a program moves or uses at most.
API_LARGEST_AMOUNT = env.number("API_LARGEST_AMOUNT", 1_000_000)
ASSIST_SECONDS = 1800
HOP_SECONDS = 60

import config.celery  # noqa: E402, F401  (whichever process this is, its tasks go to our Redis)
from config.logging import configure  # noqa: E402

LOGGING_CONFIG = None
configure(level=env.text("LOG_LEVEL", "INFO"), as_json=env.flag("LOG_JSON") or PRODUCTION)

env.finish()
