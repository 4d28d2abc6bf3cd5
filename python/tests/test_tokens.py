"""Tokens and the view that hands them out."""

import asyncio
import base64
import hashlib
import hmac
import json

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory

from django_jackfield import atoken, token

KEY = "a-key-for-tokens"


@pytest.fixture(autouse=True)
def keys(settings):
    settings.JACKFIELD = {"default": {"KEYS": [KEY, "an-old-one"], "PUBLIC_URL": "wss://rt/"}}


def opened(text):
    """The claims of a token whose signature is right."""
    head, body, signature = text.split(".")
    raw = hmac.new(KEY.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == signature
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "typ": "JWT"}
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def test_claims_are_those_the_server_reads():
    said = opened(token(User(pk=7), info={"name": "Ann"}, ttl=60))
    assert said["sub"] == "7"
    assert said["exp"] - int(said["iat"]) == 60
    assert said["info"] == {"name": "Ann"}
    assert set(opened(token("dev:7"))) == {"sub", "iat", "exp"}
    assert opened(token(AnonymousUser()))["sub"] == ""


def test_a_request_stands_for_its_user():
    request = RequestFactory().get("/")
    request.user = User(pk=8)
    assert opened(token(request))["sub"] == "8"
    assert opened(asyncio.run(atoken(request)))["sub"] == "8"


@pytest.mark.django_db
def test_the_view_signs_for_whom_is_logged_in(client):
    user = User.objects.create_user("ann")
    client.force_login(user)
    answer = client.get("/jackfield/token/")
    assert answer.status_code == 200
    said = answer.json()
    assert set(said) == {"token", "expires", "url"}
    assert opened(said["token"])["sub"] == str(user.pk)
    assert opened(said["token"])["exp"] == said["expires"]
    assert said["url"] == "wss://rt/"
    assert "Cookie" in answer["Vary"]
    assert "no-store" in answer["Cache-Control"]
    assert client.post("/jackfield/token/").status_code == 405


@pytest.mark.django_db
def test_the_view_refuses_anonymous_users_unless_told(client, settings):
    answer = client.get("/jackfield/token/")
    assert answer.status_code == 403
    assert answer.json() == {"error": "log in first"}
    assert "Cookie" in answer["Vary"]
    settings.JACKFIELD = {"default": {"KEYS": [KEY], "ANONYMOUS": True}}
    assert opened(client.get("/jackfield/token/").json()["token"])["sub"] == ""
