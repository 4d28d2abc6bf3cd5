"""The WSGI application: any WSGI server runs it, Apache's mod_wsgi included."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")
application = get_wsgi_application()
