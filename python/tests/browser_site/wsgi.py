"""The site under gunicorn, with its tables."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "browser_site.settings")

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
call_command("migrate", verbosity=0)
