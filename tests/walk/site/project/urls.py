"""Two views."""

from django.urls import path

from rooms import views

urlpatterns = [path("say/<int:pk>", views.say), path("call/<str:name>", views.call)]
