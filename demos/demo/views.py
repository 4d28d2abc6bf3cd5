"""The page that lists the applications, signing up, and which machine answers."""

from __future__ import annotations

import socket
from typing import NamedTuple

from django.apps import apps
from django.contrib.auth import get_user_model, login
from django.contrib.auth.forms import UserCreationForm
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse, reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from django.views.generic import CreateView, TemplateView


class Application(NamedTuple):
    """One of the list. `name` is the Django app, the namespace of its URLs and its drawing."""

    name: str
    title: str
    says: str

    @property
    def is_here(self) -> bool:
        """Whether this project has it; only such ones are linked."""
        return apps.is_installed(self.name)

    @property
    def url(self) -> str:
        """Where it begins."""
        return reverse(f"{self.name}:home")


APPLICATIONS = (
    Application(
        "chat",
        "Chat",
        "Rooms with history, presence, typing, read marks and moderation."
        " Pull the cable: nothing is lost, nothing comes twice.",
    ),
    Application(
        "game",
        "Game",
        "An arena at 30 Hz, in binary frames. Bots join the same room over plain TCP.",
    ),
    Application(
        "market",
        "Market",
        "500 symbols, thousands of ticks a second. A slow line stays fresh beside fast ones.",
    ),
    Application(
        "editor",
        "Editor",
        "One rich text, many cursors: Yjs with its own provider, rights that end at once.",
    ),
    Application(
        "dashboard",
        "Dashboard",
        "A shop's orders as they come in, by a model that tells of itself."
        " Figures of each second, reckoned by the socket server.",
    ),
)


class HomeView(TemplateView):
    """All applications. Nobody has to log in to look at the list."""

    template_name = "demo/home.html"
    extra_context = {"applications": APPLICATIONS}


class SignUpForm(UserCreationForm):
    """Django's own form, for whatever user model the project has."""

    class Meta(UserCreationForm.Meta):
        model = get_user_model()


class SignUpView(CreateView):
    """Makes a user and logs it in."""

    form_class = SignUpForm
    template_name = "registration/signup.html"
    success_url = reverse_lazy("home")

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        """Logs in who has just signed up."""
        response = super().form_valid(form)
        login(self.request, self.object)
        return response


@require_GET
@never_cache
def server_info(request: HttpRequest) -> JsonResponse:
    """Which machine answers."""
    try:
        hostname = socket.gethostname()
        return JsonResponse({"hostname": hostname, "ip_address": socket.gethostbyname(hostname)})
    except (OSError, UnicodeError) as error:
        return JsonResponse({"error": str(error)}, status=500)
