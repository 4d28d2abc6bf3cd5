"""The URLs of the demo."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from chat import views

urlpatterns = [
    path("", views.RoomsView.as_view(), name="rooms"),
    path("rooms/<int:pk>/", views.RoomView.as_view(), name="room"),
    path("rooms/<int:pk>/join/", views.join, name="join"),
    path("rooms/<int:pk>/messages/", views.messages_of, name="messages"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("signup/", views.SignUpView.as_view(), name="signup"),
    path("server-info/", views.server_info, name="server-info"),
    # Stands before the package's own, under the same name, to say in the token who this is.
    path("jackfield/token/", views.ChatTokenView.as_view()),
    path("jackfield/", include("django_jackfield.urls")),
]
