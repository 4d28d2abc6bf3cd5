"""The URLs of the dashboard."""

from django.urls import path

from dashboard import views

app_name = "dashboard"
urlpatterns = [
    path("", views.DashboardView.as_view(), name="home"),
    path("orders/", views.OrdersView.as_view(), name="orders"),
    path("seconds/", views.SecondsView.as_view(), name="seconds"),
]
