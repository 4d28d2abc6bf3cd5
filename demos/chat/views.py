"""The pages, and the JSON that the room's page asks for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.db import transaction
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django.views.generic import CreateView, DetailView

from chat.models import TEXT_LIMIT, TITLE_LIMIT, Membership, Message, Room
from chat.realtime import RoomChannel, TypingChannel

PAGE = 50
REMOVED = Membership.State.REMOVED


class RoomForm(forms.ModelForm):
    """A new room."""

    class Meta:
        model = Room
        fields = ["title"]


class RoomsView(LoginRequiredMixin, CreateView):
    """All rooms, a form for another, and what was kept for the user."""

    form_class = RoomForm
    template_name = "chat/rooms.html"

    def form_valid(self, form: RoomForm) -> HttpResponse:
        """Who makes a room looks after it."""
        response = super().form_valid(form)
        Membership.objects.create(room=self.object, user=self.request.user, is_moderator=True)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The rooms, each with its last message and how many are new to the user."""
        last = Message.objects.filter(room=OuterRef("pk"), is_deleted=False).order_by("-pk")
        mine = Membership.objects.filter(room=OuterRef("pk"), user=self.request.user)
        unread = Message.objects.filter(
            room=OuterRef("room"), is_deleted=False, pk__gt=OuterRef("read")
        ).exclude(author=self.request.user)
        rooms = Room.objects.annotate(
            member_count=Count("members", filter=~Q(membership__state=REMOVED)),
            my_state=Subquery(mine.values("state")),
            unread=Subquery(mine.annotate(count=count_of(unread)).values("count")),
            last_text=Subquery(last.values("text")[:1]),
            last_author=Subquery(last.values("author__username")[:1]),
            last_at=Subquery(last.values("at")[:1]),
        ).order_by(F("my_state").asc(nulls_last=True), "pk")
        notices = self.request.user.notices.select_related("message__author", "message__room")
        return super().get_context_data(rooms=rooms, notices=notices, **kwargs)


class RoomView(LoginRequiredMixin, DetailView):
    """The page of a room; the rest happens in static/chat/room.js."""

    model = Room
    template_name = "chat/room.html"

    def get_template_names(self) -> list[str]:
        """Who is not in the room is asked in."""
        return ["chat/room.html" if self.is_member() else "chat/outside.html"]

    def is_member(self) -> bool:
        """Whether the user is in the room."""
        return Membership.of(str(self.request.user.pk), self.object.pk) is not None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The newest messages, and what the script has to know."""
        room: Room = self.object
        if not self.is_member():
            gone = Membership.objects.filter(room=room, user=self.request.user).exists()
            return super().get_context_data(was_removed=gone, **kwargs)
        self.request.user.notices.filter(message__room=room).delete()
        messages, more = newest(room.messages.all())
        script = {
            "room": room.pk,
            "channel": RoomChannel.name(room.pk),
            "typing": TypingChannel.name(room.pk),
            "me": {"id": str(self.request.user.pk), "name": self.request.user.get_username()},
            "messages": messages,
            "more": more,
            "textLimit": TEXT_LIMIT,
            "messagesUrl": reverse("chat:messages", args=[room.pk]),
            "loginUrl": f"{reverse('login')}?next={room.get_absolute_url()}",
            **about(room),
        }
        return super().get_context_data(script=script, title_limit=TITLE_LIMIT, **kwargs)


@login_required
@require_POST
def join(request: HttpRequest, pk: int) -> HttpResponse:
    """Makes the user a member; who was removed stays so."""
    room = get_object_or_404(Room, pk=pk)
    with transaction.atomic():
        member, is_new = Membership.objects.get_or_create(room=room, user=request.user)
        if is_new:
            RoomChannel.publish(pk, event="member", data=member.as_dict())
    return redirect(room)


@login_required
@require_POST
def dismiss(request: HttpRequest) -> HttpResponse:
    """Throws away what was kept for the user."""
    request.user.notices.all().delete()
    return redirect("chat:home")


@require_GET
@never_cache
def messages_of(request: HttpRequest, pk: int) -> JsonResponse:
    """`?after=VERSION`: what happened since, and the room. `?before=ID`: what came earlier."""
    if not request.user.is_authenticated or not Membership.of(str(request.user.pk), pk):
        return JsonResponse({"error": "not in this room"}, status=403)
    room = get_object_or_404(Room, pk=pk)
    after, before = (number(request, name) for name in ("after", "before"))
    if after is not None:
        changed = room.messages.filter(version__gt=after).order_by("version")
        found = list(changed.select_related("author")[: PAGE + 1])
        messages, more = [one.as_dict() for one in found[:PAGE]], len(found) > PAGE
        return JsonResponse({"messages": messages, "more": more, **about(room)})
    earlier = room.messages.all() if before is None else room.messages.filter(pk__lt=before)
    messages, more = newest(earlier)
    return JsonResponse({"messages": messages, "more": more})


def about(room: Room) -> dict[str, Any]:
    """Title, version and members of a room."""
    members = room.membership_set.select_related("user__last_seen").order_by("user__username")
    return {
        "title": room.title,
        "version": room.version,
        "members": [
            one.as_dict() | {"seen": getattr(getattr(one.user, "last_seen", None), "at", None)}
            for one in members
        ],
    }


def newest(messages: QuerySet[Message]) -> tuple[list[dict[str, Any]], bool]:
    """The last messages, oldest first, and whether there are earlier ones."""
    found = list(messages.select_related("author").order_by("-pk")[: PAGE + 1])
    return [one.as_dict() for one in reversed(found[:PAGE])], len(found) > PAGE


def count_of(rows: QuerySet[Any]) -> Coalesce:
    """How many rows a query has, as an expression."""
    counted = rows.order_by().values("room").annotate(count=Count("pk"))
    return Coalesce(Subquery(counted.values("count")), 0)


def number(request: HttpRequest, name: str) -> int | None:
    """A number in the query, if it is one that the database can hold."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
