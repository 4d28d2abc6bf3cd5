"""The urls with those of the debug toolbar."""

from django.urls import include, path

from project.urls import urlpatterns as project_urls

urlpatterns = [*project_urls, path("__debug__/", include("debug_toolbar.urls"))]
