"""The URLs of the editor."""

from django.urls import path

from editor import views

app_name = "editor"
urlpatterns = [
    path("", views.DocumentsView.as_view(), name="home"),
    path("<int:pk>/", views.DocumentView.as_view(), name="document"),
    path("<int:pk>/about/", views.AboutView.as_view(), name="about"),
    path("<int:pk>/shares/", views.ShareView.as_view(), name="shares"),
    path("<int:pk>/moments/", views.MomentsView.as_view(), name="moments"),
    path("<int:pk>/moments/<int:moment>/", views.MomentView.as_view(), name="moment"),
]
