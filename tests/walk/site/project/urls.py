"""Two views, and the one that hands out tokens."""

from django.urls import include, path

from rooms import views

urlpatterns = [
    path("jackfield/", include("django_jackfield.urls")),
    path("say/<int:pk>", views.say),
    path("call/<str:name>", views.call),
]
