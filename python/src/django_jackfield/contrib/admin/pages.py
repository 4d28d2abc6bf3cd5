"""What the pages of the admin have in common: rights, the alias, and faults of the queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET, require_POST

from django_jackfield.aliases import brokers
from django_jackfield.contrib.admin.permissions import VIEW
from django_jackfield.errors import JackfieldError

FAULTS = (JackfieldError, ImproperlyConfigured, NotImplementedError)
Action = Callable[[HttpRequest, str], int]


class Page(admin.ModelAdmin):
    """A list that comes from the server. Nothing is added or changed by a form."""

    template = ""
    page_actions: dict[str, tuple[str, str]] = {}
    """What may be POSTed: name to the permission that it needs and the name of a method."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, VIEW)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _may(request, VIEW)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        """The list, and where its forms go."""
        about = self.model._meta
        name = f"{about.app_label}_{about.model_name}"
        urls = [path("", self._wrapped(require_GET(self.list_view)), name=f"{name}_changelist")]
        if self.page_actions:
            action = require_POST(self.action_view)
            urls.append(path("action/", self._wrapped(action), name=f"{name}_action"))
        return urls

    def _wrapped(self, view: Any) -> Any:
        return self.admin_site.admin_view(view)

    def found(self, request: HttpRequest, via: str) -> dict[str, Any]:
        """What the template shows. May raise one of FAULTS."""
        raise NotImplementedError

    def list_view(self, request: HttpRequest) -> HttpResponse:
        """The page; where the server cannot be asked it says why."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        via = alias(request.GET.get("via"))
        about = self.model._meta
        context = self.admin_site.each_context(request) | {
            "title": str(about.verbose_name_plural).capitalize(),
            "opts": about,
            "via": via,
            "aliases": sorted(brokers.settings),
            "actions": {
                name for name, (needed, _) in self.page_actions.items() if _may(request, needed)
            },
        }
        try:
            context |= self.found(request, via)
        except FAULTS as error:
            context["fault"] = str(error)
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, f"admin/django_jackfield/{self.template}", context)

    def action_view(self, request: HttpRequest) -> HttpResponse:
        """Does to the chosen ones what was asked, and goes back to where the form was."""
        name = request.POST.get("action", "")
        needed, method = self.page_actions.get(name, ("", ""))
        if not needed or not _may(request, needed):
            raise PermissionDenied
        via = alias(request.POST.get("via"))
        chosen = request.POST.getlist("chosen")
        if not chosen:
            messages.warning(request, "Nothing was chosen.")
        else:
            try:
                getattr(self, method)(request, chosen, via)
            except FAULTS as error:
                messages.error(request, str(error))
        about = self.model._meta
        there = reverse(
            f"admin:{about.app_label}_{about.model_name}_changelist",
            current_app=self.admin_site.name,
        )
        query = request.POST.get("query", "")
        return HttpResponseRedirect(f"{there}?{query}" if query else there)

    def note(self, request: HttpRequest, thing: str, what: str) -> None:
        """Writes into the log of the admin who did it."""
        from django.contrib.admin.models import CHANGE, LogEntry
        from django.contrib.contenttypes.models import ContentType

        LogEntry.objects.create(
            user_id=request.user.pk,
            content_type=ContentType.objects.get_for_model(self.model),
            object_id=thing,
            object_repr=thing[:200],
            action_flag=CHANGE,
            change_message=what,
        )


def alias(name: str | None) -> str:
    """An alias of the JACKFIELD setting; the default one where there is no such."""
    return name if name in brokers.settings else "default"


def _may(request: HttpRequest, permission: str) -> bool:
    user: Any = request.user
    return bool(user.is_active and user.has_perm(permission))
