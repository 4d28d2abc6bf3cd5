"""The token view, and the admin."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("jackfield/", include("django_jackfield.urls")),
    path("admin/", admin.site.urls),
]
