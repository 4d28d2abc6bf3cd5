"""Settings. A worker subprocess gets its backend from the environment."""

import os

SECRET_KEY = "the-secret-key-of-the-tests"
DEBUG = False
USE_TZ = True
ROOT_URLCONF = "project.urls"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_jackfield",
    "django_jackfield.outbox",
    "django_jackfield.inbox",
    "project.chat",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("TEST_DATABASE", ":memory:"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

if "TEST_BACKEND" in os.environ:
    JACKFIELD = {
        "default": {
            "BACKEND": os.environ["TEST_BACKEND"],
            "OPTIONS": {"url": os.environ["TEST_URL"]},
            "PREFIX": os.environ["TEST_PREFIX"],
            "KEYS": ["worker-key"],
        }
    }

# The admin pages and the panel of the debug toolbar.
INSTALLED_APPS += [
    "django.contrib.admin",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_jackfield.contrib.admin",
]
MIDDLEWARE += ["django.contrib.messages.middleware.MessageMiddleware"]
STATIC_URL = "static/"
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
