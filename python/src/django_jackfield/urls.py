"""`path("jackfield/", include("django_jackfield.urls"))`."""

from django.urls import path

from django_jackfield.connect import ConnectView
from django_jackfield.views import TokenView

app_name = "jackfield"
urlpatterns = [
    path("token/", TokenView.as_view(), name="token"),
    path("connect/", ConnectView.as_view(), name="connect"),
]
