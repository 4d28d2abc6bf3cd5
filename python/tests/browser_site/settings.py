"""Settings; where the socket server is comes from the environment."""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECRET_KEY = "the-secret-key-of-the-browser-site"
DEBUG = False
USE_TZ = True
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "browser_site.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_jackfield",
    "django.contrib.staticfiles",
    "browser_site",
]
MIDDLEWARE = [
    "browser_site.urls.strict_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SITE_DATABASE", ":memory:"),
        "OPTIONS": {"timeout": 20},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "/static/"
JACKFIELD = {
    "default": {
        "BACKEND": "django_jackfield.backends.embedded.EmbeddedBackend",
        "OPTIONS": {"host": "127.0.0.1", "port": int(os.environ.get("SITE_QUEUE_PORT", "8402"))},
        "KEYS": [os.environ.get("SITE_KEY", "a-key-of-at-least-32-bytes-for-tests")],
        "PUBLIC_URL": os.environ.get("SITE_SOCKET_URL"),
        "ANONYMOUS": os.environ.get("SITE_ANONYMOUS") == "1",
        "AUTH": os.environ.get("SITE_AUTH", "token"),
        "CONNECT_URL": os.environ.get("SITE_CONNECT_URL"),
        "TOKEN_TTL": int(os.environ.get("SITE_TOKEN_TTL", "300")),
    }
}
# What a project changes that comes from Channels: nothing but this.
CHANNEL_LAYERS = {"default": {"BACKEND": "django_jackfield.compat.JackfieldChannelLayer"}}
