"""The token view."""

from django.urls import include, path

urlpatterns = [path("jackfield/", include("django_jackfield.urls"))]
