"""A panel for django-debug-toolbar. Put it into INSTALLED_APPS and into DEBUG_TOOLBAR_PANELS."""
