"""The pages: connections, channels, dead letters, nodes and workers."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.timezone import get_current_timezone
from django.utils.translation import ngettext

from django_jackfield.aliases import brokers
from django_jackfield.ask import history, presence, presence_stats
from django_jackfield.command import disconnection
from django_jackfield.contrib.admin.models import Channel, Connection, DeadLetter, Node
from django_jackfield.contrib.admin.pages import Page
from django_jackfield.contrib.admin.permissions import KICK, REPLAY
from django_jackfield.contrib.admin.users import add_action
from django_jackfield.contrib.admin.workers import leases
from django_jackfield.dead import Wanted
from django_jackfield.errors import AskError
from django_jackfield.overview import channels, nodes
from django_jackfield.who import connections

SHOWN = 500
RECENT = 50


@admin.register(Connection)
class ConnectionPage(Page):
    """Who is connected; chosen ones can be closed."""

    template = "connections.html"
    page_actions = {"kick": (KICK, "kick")}

    def found(self, request: HttpRequest, via: str) -> dict[str, Any]:
        user = request.GET.get("user", "").strip()
        every = connections(user or None, via=via)
        rows = [asdict(one) | {"user": one.user_id} for one in every[:SHOWN]]
        names = user_names(row["user"] for row in rows)
        for row in rows:
            row["channels"] = sorted(row["channels"])
            row["user_name"], row["user_url"] = names.get(row["user"], ("", ""))
        return {"rows": rows, "count": len(every), "user": user}

    def kick(self, request: HttpRequest, chosen: list[str], via: str) -> None:
        """Closes connections."""
        for client in chosen:
            brokers[via].send([disconnection(None, client)])
            self.note(request, client, "Closed the connection.")
        said = ngettext("%d connection is closed.", "%d connections are closed.", len(chosen))
        messages.success(request, said % len(chosen))


@admin.register(Channel)
class ChannelPage(Page):
    """The channels that somebody is in; with `?channel=` who is in one, and what was published."""

    template = "channels.html"

    def found(self, request: HttpRequest, via: str) -> dict[str, Any]:
        name = request.GET.get("channel", "").strip()
        if name:
            return self._one(name, via)
        pattern = request.GET.get("pattern", "").strip()
        every = channels(pattern, via=via)
        rows = sorted(every.items(), key=lambda row: (-row[1], row[0]))[:SHOWN]
        return {"rows": rows, "count": len(every), "pattern": pattern}

    def _one(self, name: str, via: str) -> dict[str, Any]:
        shown: dict[str, Any] = {"channel": name, "title": name}
        try:
            shown["stats"] = presence_stats(name, via=via)
            members = list(presence(name, via=via).values())[:SHOWN]
            names = user_names(member["user"] for member in members)
            for member in members:
                member["user_name"], member["user_url"] = names.get(member["user"], ("", ""))
                member["infos"] = shortened(
                    {key: member[key] for key in ("conn_info", "chan_info") if key in member}
                )
            shown["members"] = members
        except AskError as error:
            shown["no_presence"] = _refusal(error)
        try:
            kept = history(name, limit=RECENT, reverse=True, via=via)
            shown |= {"offset": kept["offset"], "epoch": kept["epoch"]}
            shown["publications"] = [_described(one) for one in kept["publications"]]
        except AskError as error:
            shown["no_history"] = _refusal(error)
        return shown


@admin.register(DeadLetter)
class DeadLetterPage(Page):
    """What could not be done; chosen letters are put back or thrown away."""

    template = "dead_letters.html"
    page_actions = {"replay": (REPLAY, "replay"), "drop": (REPLAY, "drop")}

    def found(self, request: HttpRequest, via: str) -> dict[str, Any]:
        letters = brokers[via].dead_letters(SHOWN)
        rows = [
            {
                "id": letter.get("id", ""),
                "reason": letter.get("reason", ""),
                "kind": letter.get("method") or letter.get("type", ""),
                "said": shortened(letter.get("payload") or letter.get("data", "")),
                "user": letter.get("user", ""),
                "channel": letter.get("channel", ""),
                "at": _moment(letter.get("at", "").partition("-")[0]),
            }
            for letter in letters
        ]
        return {"rows": rows, "limit": SHOWN}

    def replay(self, request: HttpRequest, chosen: list[str], via: str) -> None:
        """Puts letters back into the queue they came from."""
        self._settle(request, chosen, via, put_back=True)

    def drop(self, request: HttpRequest, chosen: list[str], via: str) -> None:
        """Throws letters away."""
        self._settle(request, chosen, via, put_back=False)

    def _settle(self, request: HttpRequest, chosen: list[str], via: str, *, put_back: bool) -> None:
        counts: dict[str, int] = {}
        for id in chosen:
            settled = brokers[via].settle_dead(Wanted(put_back=put_back, id=id))
            for letter, verdict in settled:
                counts[verdict] = counts.get(verdict, 0) + 1
                self.note(request, letter.id, verdict)
            if not settled:
                counts["gone already"] = counts.get("gone already", 0) + 1
        for verdict, count in counts.items():
            done = verdict in ("replayed", "dropped")
            messages.add_message(
                request, messages.SUCCESS if done else messages.WARNING, f"{count} {verdict}"
            )


@admin.register(Node)
class NodePage(Page):
    """The nodes of the server, and which partitions workers read."""

    template = "nodes.html"

    def found(self, request: HttpRequest, via: str) -> dict[str, Any]:
        shown: dict[str, Any] = {"partitions": leases(brokers[via])}
        shown["rows"] = nodes(via=via)
        return shown


def user_names(ids: Any) -> dict[str, tuple[str, str]]:
    """The names of users by what the server calls them, and where the admin shows them."""
    from django.contrib.auth import get_user_model

    model: Any = get_user_model()
    found: dict[str, tuple[str, str]] = {}
    keys = []
    for id in {one for one in ids if one}:
        try:
            keys.append(model._meta.pk.to_python(id))
        except Exception:  # noqa: S112 (a device's id is no key of a user)
            continue
    for user in model._default_manager.filter(pk__in=keys):
        about = model._meta
        try:
            where = reverse(f"admin:{about.app_label}_{about.model_name}_change", args=[user.pk])
        except NoReverseMatch:
            where = ""
        found[str(user.pk)] = (str(user), where)
    return found


def shortened(value: Any, most: int = 400) -> str:
    """Something as a line of text."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[:most] + "…"


def _described(publication: dict[str, Any]) -> dict[str, Any]:
    data = publication.get("data", publication.get("b64data"))
    return {
        "offset": publication["offset"],
        "at": _moment(publication.get("time")),
        "user": (publication.get("info") or {}).get("user", ""),
        "said": shortened(data),
    }


def _refusal(error: AskError) -> str:
    """Why there is nothing to show."""
    return {108: "off", 102: "unknown"}.get(error.code, str(error))


def _moment(milliseconds: Any) -> datetime | None:
    """A moment from milliseconds since 1970, where there are any."""
    text = str(milliseconds or "")
    return (
        datetime.fromtimestamp(int(text) / 1000, get_current_timezone()) if text.isdigit() else None
    )


add_action(admin.site)
