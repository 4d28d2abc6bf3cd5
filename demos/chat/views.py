"""The pages, and the JSON that the room's page asks for."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse, reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django.views.generic import CreateView, DetailView
from django_jackfield.views import TokenView

from chat.models import TEXT_LIMIT, TITLE_LIMIT, Membership, Message, Room
from chat.realtime import RoomChannel

PAGE = 50


class SignUpForm(UserCreationForm):
    """Django's own form, for whatever user model the project has."""

    class Meta(UserCreationForm.Meta):
        model = get_user_model()


class SignUpView(CreateView):
    """Makes a user and logs it in."""

    form_class = SignUpForm
    template_name = "registration/signup.html"
    success_url = reverse_lazy("rooms")

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        """Logs in who has just signed up."""
        response = super().form_valid(form)
        login(self.request, self.object)
        return response


class RoomForm(forms.ModelForm):
    """A new room."""

    class Meta:
        model = Room
        fields = ["title"]


class RoomsView(LoginRequiredMixin, CreateView):
    """All rooms, and a form for another."""

    form_class = RoomForm
    template_name = "chat/rooms.html"

    def form_valid(self, form: RoomForm) -> HttpResponse:
        """Who makes a room is its first member."""
        response = super().form_valid(form)
        self.object.members.add(self.request.user)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The rooms, each with its last message."""
        last = Message.objects.filter(room=OuterRef("pk")).order_by("-pk")
        mine = Membership.objects.filter(room=OuterRef("pk"), user=self.request.user)
        rooms = Room.objects.annotate(
            member_count=Count("members"),
            is_mine=Exists(mine),
            last_text=Subquery(last.values("text")[:1]),
            last_author=Subquery(last.values("author__username")[:1]),
            last_at=Subquery(last.values("at")[:1]),
        ).order_by("-is_mine", "pk")
        return super().get_context_data(rooms=rooms, **kwargs)


@login_required
@require_POST
def join(request: HttpRequest, pk: int) -> HttpResponse:
    """Makes the user a member."""
    room = get_object_or_404(Room, pk=pk)
    room.members.add(request.user)
    return redirect(room)


class RoomView(LoginRequiredMixin, DetailView):
    """The page of a room; the rest happens in static/room.js."""

    model = Room
    template_name = "chat/room.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The newest messages, and what the script has to know."""
        room: Room = self.object
        messages, more = newest(room.messages.all())
        members = room.members.order_by("username").values_list(
            "pk", "username", "last_seen__at", named=True
        )
        script = {
            "room": room.pk,
            "channel": RoomChannel.name(room.pk),
            "typing": f"typing:{room.pk}",
            "me": {"id": str(self.request.user.pk), "name": self.request.user.get_username()},
            "members": [
                {"id": str(one.pk), "name": one.username, "seen": one.last_seen__at}
                for one in members
            ],
            "messages": messages,
            "more": more,
            "textLimit": TEXT_LIMIT,
            "socketUrl": socket_url(self.request),
            "tokenUrl": reverse("jackfield:token"),
            "messagesUrl": reverse("messages", args=[room.pk]),
            "loginUrl": f"{reverse('login')}?next={room.get_absolute_url()}",
        }
        return super().get_context_data(
            script=script,
            is_member=any(one.pk == self.request.user.pk for one in members),
            title_limit=TITLE_LIMIT,
            **kwargs,
        )


@require_GET
@never_cache
def messages_of(request: HttpRequest, pk: int) -> JsonResponse:
    """`?after=ID`: what a page missed. `?before=ID`: what came earlier."""
    if not request.user.is_authenticated:
        return JsonResponse({"error": "log in first"}, status=403)
    room = get_object_or_404(Room, pk=pk)
    after, before = (number(request, name) for name in ("after", "before"))
    if after is not None:
        found = list(room.messages.filter(pk__gt=after).select_related("author")[: PAGE + 1])
        messages, more = [one.as_dict() for one in found[:PAGE]], len(found) > PAGE
    else:
        earlier = room.messages.all() if before is None else room.messages.filter(pk__lt=before)
        messages, more = newest(earlier)
    return JsonResponse({"messages": messages, "more": more})


@require_GET
@never_cache
def server_info(request: HttpRequest) -> JsonResponse:
    """Which machine answers."""
    try:
        hostname = socket.gethostname()
        return JsonResponse({"hostname": hostname, "ip_address": socket.gethostbyname(hostname)})
    except (OSError, UnicodeError) as error:
        return JsonResponse({"error": str(error)}, status=500)


class ChatTokenView(TokenView):
    """The token view of the package; others see the name in presence."""

    def token_info(self, request: HttpRequest) -> dict[str, str]:
        """What presence and publications carry of this user."""
        return {"name": request.user.get_username()}


def newest(messages: QuerySet[Message]) -> tuple[list[dict[str, Any]], bool]:
    """The last messages, oldest first, and whether there are earlier ones."""
    found = list(messages.select_related("author").order_by("-pk")[: PAGE + 1])
    return [one.as_dict() for one in reversed(found[:PAGE])], len(found) > PAGE


def number(request: HttpRequest, name: str) -> int | None:
    """A number in the query, if it is one that the database can hold."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def socket_url(request: HttpRequest) -> str:
    """Where the page opens its socket: as configured, or on the page's own host."""
    if url := settings.JACKFIELD["default"]["PUBLIC_URL"]:
        return url
    scheme = "wss" if request.is_secure() else "ws"
    host = urlsplit(f"//{request.get_host()}").hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{settings.JACKFIELD_PORT}/connection/websocket"
