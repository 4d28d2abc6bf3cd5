"""The URLs of the game."""

from django.urls import path

from game import views

app_name = "game"
urlpatterns = [
    path("", views.ArenaView.as_view(), name="home"),
    path("token/", views.PlayerTokenView.as_view(), name="token"),
]
