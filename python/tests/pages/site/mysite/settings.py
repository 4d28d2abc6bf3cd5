"""As `startproject` makes it, with the apps that the pages talk of; blocks are put into it."""

import os
import sys
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "the-key-of-the-pages"
DEBUG = True
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "mysite.urls"
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
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "static/"
USE_TZ = True
JACKFIELD = {"default": {}}
# -- blocks --

# Whatever a page's list of apps is, those that its blocks are made of are there.
for _app in (
    "django.contrib.messages",
    "django.contrib.admin",
    "chat",
    "shop",
    "fleet",
    "notes",
    "page",
):
    if _app not in INSTALLED_APPS:
        INSTALLED_APPS.append(_app)
if "django_jackfield" not in INSTALLED_APPS:
    INSTALLED_APPS = ["django_jackfield", *INSTALLED_APPS]
if "DEBUG_TOOLBAR_PANELS" in globals():
    INSTALLED_APPS.append("debug_toolbar")
    MIDDLEWARE.insert(0, "debug_toolbar.middleware.DebugToolbarMiddleware")
if "PAGES_LOCMEM" in os.environ:
    # Tables without migrations, in memory: each block has its own.
    DATABASES["default"]["NAME"] = ":memory:"
    MIGRATION_MODULES = dict.fromkeys(_name.rpartition(".")[2] for _name in INSTALLED_APPS)
    MIGRATION_MODULES |= {"jackfield_outbox": None, "jackfield_inbox": None}
    for _alias in JACKFIELD.values():
        _alias.update(BACKEND="django_jackfield.backends.locmem.LocMemBackend", OPTIONS={})
sys.path.insert(0, str(BASE_DIR))
