"""Settings of the demo. Everything that differs between machines comes from the environment."""

import os

from demo import link

BASE_DIR = link.BASE_DIR
STATE_DIR = link.state_dir(os.environ)


def words(name: str, default: str) -> list[str]:
    """A variable that holds several texts, separated by spaces or commas."""
    return os.environ.get(name, default).replace(",", " ").split()


DEBUG = os.environ.get("DJANGO_DEBUG", "") == "1"
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or link.kept_secret(STATE_DIR, "secret-key")
ALLOWED_HOSTS = words("DJANGO_ALLOWED_HOSTS", "localhost 127.0.0.1 [::1]")
CSRF_TRUSTED_ORIGINS = words("DJANGO_CSRF_TRUSTED_ORIGINS", "")

INSTALLED_APPS = [
    "demo",
    "chat",
    "dashboard",
    "game",
    "editor",
    "market",
    "django_jackfield",
    "django_jackfield.outbox",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "demo.urls"
WSGI_APPLICATION = "demo.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DEMO_DATABASE") or STATE_DIR / "db.sqlite3",
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # no collectstatic

BACKENDS = {
    "embedded": "django_jackfield.backends.embedded.EmbeddedBackend",
    "redis": "django_jackfield.backends.redis.RedisBackend",
    "rabbitmq": "django_jackfield.backends.rabbitmq.RabbitMQBackend",
}
JACKFIELD = {
    "default": {
        "BACKEND": BACKENDS[link.driver(os.environ)],
        "OPTIONS": link.backend_options(os.environ),
        "KEYS": [link.token_key(os.environ)],
        "PUBLIC_URL": os.environ.get("JACKFIELD_PUBLIC_URL") or None,
        "OUTBOX": True,  # what was committed is told, whatever is killed and whenever
    }
}

# Where the market's page finds the server behind a slow line (`market/slow_line.py`).
DEMO_SLOW_URL = os.environ.get("DEMO_SLOW_URL", "ws://127.0.0.1:8405/connection/websocket")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"pika": {"level": "WARNING"}},
}
