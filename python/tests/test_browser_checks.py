"""W003 and W007."""

import sys
import types

import pytest
from django.apps import AppConfig, apps

from django_jackfield.checks.browser import allows, check_csp, check_runserver

URL = "wss://rt.example.com/connection/websocket"


@pytest.fixture(autouse=True)
def setting(settings):
    settings.JACKFIELD = {"default": {"PUBLIC_URL": URL}}
    settings.ALLOWED_HOSTS = ["www.example.com"]
    return settings


@pytest.mark.parametrize(
    ("policy", "url", "expected"),
    [
        ({}, URL, True),
        ({"script-src": ["'self'"]}, URL, True),
        ({"default-src": ["'self'"]}, URL, False),
        ({"default-src": ["*"]}, URL, True),
        ({"default-src": ["*"], "connect-src": ["'none'"]}, URL, False),
        ({"connect-src": ["'self'", "wss://rt.example.com"]}, URL, True),
        ({"connect-src": "'self' wss://rt.example.com"}, URL, True),
        ({"connect-src": ["wss://rt.example.com:443"]}, URL, True),
        ({"connect-src": ["wss://rt.example.com:8443"]}, URL, False),
        ({"connect-src": ["wss://rt.example.com:*"]}, "wss://rt.example.com:8443/", True),
        ({"connect-src": ["wss://*.example.com"]}, URL, True),
        ({"connect-src": ["wss://*.example.org"]}, URL, False),
        ({"connect-src": ["rt.example.com"]}, URL, True),
        ({"connect-src": ["wss:"]}, URL, True),
        ({"connect-src": ["ws:"]}, URL, True),
        ({"connect-src": ["https:"]}, URL, False),
        ({"connect-src": ["https://rt.example.com"]}, URL, False),
        ({"connect-src": ["ws://rt.example.com"]}, URL, True),
        ({"connect-src": ["wss://rt.example.com"]}, "ws://rt.example.com/", False),
        ({"connect-src": ["wss://rt.example.com/connection/"]}, URL, True),
        ({"connect-src": ["wss://rt.example.com/other"]}, URL, False),
        ({"connect-src": ["'self'"]}, "wss://www.example.com/connection/websocket", True),
        ({"connect-src": ["'self'"]}, "wss://www.example.com:8443/", False),
        ({"connect-src": []}, URL, False),
        ({"connect-src": None, "default-src": ["*"]}, URL, True),
    ],
)
def test_what_a_policy_allows(policy, url, expected):
    assert allows(policy, url) is expected


def test_w003_names_the_policy_and_what_it_lacks(setting):
    setting.SECURE_CSP = {"default-src": ["'self'"]}
    (warning,) = check_csp(None)
    assert warning.id == "jackfield.W003"
    assert URL in warning.msg
    assert 'SECURE_CSP["connect-src"] needs "wss://rt.example.com"' in warning.hint


def test_w003_is_silent_where_the_policy_is_right_or_absent(setting):
    assert check_csp(None) == []
    setting.SECURE_CSP = {"connect-src": ["'self'", "wss://rt.example.com"]}
    assert check_csp(None) == []
    setting.JACKFIELD = {"default": {"PUBLIC_URL": "/connection/websocket"}}
    setting.SECURE_CSP = {"connect-src": ["'self'"]}
    assert check_csp(None) == []


def test_w003_leaves_a_broken_setting_to_its_own_check(setting):
    setting.SECURE_CSP = {"default-src": ["'self'"]}
    setting.JACKFIELD = {"default": {"PUBLIC_URLS": URL}}
    assert check_csp(None) == []


def test_w007_names_who_replaces_runserver(monkeypatch):
    assert check_runserver(None) == []
    module = types.ModuleType("daphne")
    module.__path__ = []
    monkeypatch.setitem(sys.modules, "daphne", module)
    daphne = type("Daphne", (AppConfig,), {"name": "daphne", "path": "/nowhere"})("daphne", module)
    monkeypatch.setattr(apps, "get_app_configs", lambda: [daphne])
    (warning,) = check_runserver(None)
    assert warning.id == "jackfield.W007"
    assert "'daphne'" in warning.msg
    assert "ASGI_APPLICATION" in warning.hint


def test_w007_takes_channels_for_what_it_is(monkeypatch):
    pytest.importorskip("channels")
    import channels
    from channels.apps import ChannelsConfig

    monkeypatch.setattr(apps, "get_app_configs", lambda: [ChannelsConfig("channels", channels)])
    # Channels 4 replaces nothing.
    assert check_runserver(None) == []
