"""The URLs of the chat."""

from django.urls import path

from chat import views

app_name = "chat"
urlpatterns = [
    path("", views.RoomsView.as_view(), name="home"),
    path("rooms/<int:pk>/", views.RoomView.as_view(), name="room"),
    path("rooms/<int:pk>/join/", views.join, name="join"),
    path("rooms/<int:pk>/messages/", views.messages_of, name="messages"),
    path("notices/", views.dismiss, name="dismiss"),
]
