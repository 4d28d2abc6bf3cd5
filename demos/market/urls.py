"""The URLs of the market."""

from django.urls import path

from market import views

app_name = "market"
urlpatterns = [
    path("", views.MarketView.as_view(), name="home"),
    path("clock/", views.clock, name="clock"),
    path("pace/", views.pace, name="pace"),
]
