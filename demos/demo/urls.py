"""The URLs of the project: an application has those below its own name."""

from django.apps import apps
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from demo import views

urlpatterns = [
    path("", views.HomeView.as_view(), name="home"),
    *(
        path(f"{one.name}/", include(f"{one.name}.urls"))
        for one in views.APPLICATIONS
        if apps.is_installed(one.name)
    ),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("signup/", views.SignUpView.as_view(), name="signup"),
    path("server-info/", views.server_info, name="server-info"),
    path("jackfield/", include("django_jackfield.urls")),
]
