"""The settings with the app whose handlers have rules."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as APPS

INSTALLED_APPS = [*APPS, "project.lanes"]
