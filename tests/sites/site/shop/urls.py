"""The pages of the site."""

from django.contrib.auth.views import LoginView
from django.urls import include, path

from shop import views

urlpatterns = [
    path("", views.board),
    path("orders/", views.order),
    path("login/", LoginView.as_view(template_name="login.html")),
    path("jackfield/", include("django_jackfield.urls")),
]
