"""The panel of the debug toolbar, with requests as the toolbar runs them."""

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.test import RequestFactory

from django_jackfield import brokers, publish, send
from django_jackfield.backends.locmem import LocMemBackend
from django_jackfield.errors import PublishError

pytest.importorskip("debug_toolbar", reason="django-debug-toolbar is not installed")
panels = pytest.importorskip("django_jackfield.contrib.toolbar.panels")


@pytest.fixture
def shown(settings, jackfield_outbox):
    """Runs a view under the panel; gives what the panel has to show, and its HTML."""
    settings.INSTALLED_APPS = [
        *settings.INSTALLED_APPS,
        "debug_toolbar",
        "django_jackfield.contrib.toolbar",
    ]
    settings.DEBUG_TOOLBAR_PANELS = ["django_jackfield.contrib.toolbar.panels.JackfieldPanel"]
    settings.ROOT_URLCONF = "project.urls_toolbar"

    def run(view):
        from debug_toolbar.toolbar import DebugToolbar

        def answer(request):
            view()
            return HttpResponse("<html><body></body></html>")

        request = RequestFactory().get("/")
        toolbar = DebugToolbar(request, answer)
        (panel,) = toolbar.enabled_panels
        panel.enable_instrumentation()
        try:
            response = toolbar.process_request(request)
            panel.generate_stats(request, response)
        finally:
            panel.disable_instrumentation()
        stats = panel.get_stats()
        return stats, render_to_string(panel.template, stats), panel

    return run


def test_what_a_request_published(shown):
    def view():
        publish("room:7", {"event": "say", "data": "<b>hi</b>"}, on_commit=False)
        send(user=3, data={"n": 1}, on_commit=False)

    stats, html, panel = shown(view)
    first, second = stats["rows"]
    assert (first["method"], first["to"], first["event"]) == ("publish", "room:7", "say")
    assert (second["method"], second["to"], second["event"]) == ("send", "3", "")
    assert {row["state"] for row in stats["rows"]} == {"sent"}
    assert stats["bytes"] == sum(row["bytes"] for row in stats["rows"]) > 0
    assert first["milliseconds"] is not None
    assert "&lt;b&gt;hi" in html
    assert "<b>" not in html
    assert panel.nav_subtitle == "2 commands"


@pytest.mark.django_db
def test_what_waits_for_the_commit(shown):
    def view():
        with transaction.atomic():
            publish("room:7", {"event": "say", "data": 1})

    stats, _, _ = shown(view)
    (row,) = stats["rows"]
    assert (row["to"], row["state"]) == ("room:7", "waiting for the commit")


def test_what_failed(shown, monkeypatch):
    def fail(self, commands):
        raise PublishError("the queue is gone")

    monkeypatch.setattr(LocMemBackend, "_send", fail)

    def view():
        with pytest.raises(PublishError):
            publish("room:7", 1, on_commit=False)

    stats, _, _ = shown(view)
    assert [row["state"] for row in stats["rows"]] == ["failed"]


def test_a_request_that_says_nothing(shown):
    stats, html, panel = shown(lambda: None)
    assert stats["rows"] == []
    assert "told the server nothing" in html
    assert panel.nav_subtitle == "0 commands"


def test_outside_of_a_request_nothing_is_kept(shown):
    shown(lambda: None)
    publish("room:7", 1, on_commit=False)
    assert panels._rows.get() is None
    assert brokers["default"].config.backend.endswith("LocMemBackend")
