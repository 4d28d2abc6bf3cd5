"""The action "Close connections" of the user admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_jackfield.contrib.admin.permissions import KICK
from django_jackfield.errors import JackfieldError
from django_jackfield.revoke import disconnect


@admin.action(permissions=["jackfield_kick"], description=_("Close connections"))
def jackfield_close_connections(model_admin: Any, request: HttpRequest, users: Any) -> None:
    """Closes every connection of the chosen users. Their clients do not come back by themselves."""
    count = 0
    for user in users:
        try:
            disconnect(user=user, on_commit=False)
        except JackfieldError as error:
            model_admin.message_user(request, str(error), messages.ERROR)
            break
        model_admin.log_change(request, user, "Closed all connections.")
        count += 1
    if count:
        said = ngettext(
            "Closed the connections of %d user.", "Closed the connections of %d users.", count
        )
        model_admin.message_user(request, said % count, messages.SUCCESS)


class CloseConnectionsMixin:
    """For a project's own: `class MyUserAdmin(CloseConnectionsMixin, UserAdmin)`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        _extend(self)

    def has_jackfield_kick_permission(self, request: HttpRequest) -> bool:
        """Who may close connections."""
        return bool(request.user.has_perm(KICK))  # type: ignore[union-attr]


def add_action(site: admin.AdminSite) -> None:
    """Gives the action to the user admin that is registered, unless it has it."""
    from django.contrib.auth import get_user_model

    model = get_user_model()
    if not site.is_registered(model):
        return
    registered: Any = site._registry[model]
    if isinstance(registered, CloseConnectionsMixin):
        return
    kind = type(registered)
    extended: Any = type(
        kind.__name__, (CloseConnectionsMixin, kind), {"__module__": kind.__module__}
    )
    registered.__class__ = extended
    _extend(registered)


def _extend(model_admin: Any) -> None:
    """Puts the action to those of an admin; None means that it shall have none."""
    known = model_admin.actions
    if known is not None and jackfield_close_connections not in known:
        model_admin.actions = [*known, jackfield_close_connections]
