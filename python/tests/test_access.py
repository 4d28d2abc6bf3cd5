"""Who may come in: the access rules of channel classes, in the worker, the view and the checks."""

import base64
import json

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.checks import run_checks
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.test import RequestFactory

from django_jackfield import Channel, Subscription, subscription_token, token
from django_jackfield.access import access_of, decide_for
from django_jackfield.dispatch import Dispatcher
from django_jackfield.event import Event
from django_jackfield.registry import isolated
from workers import BY_NAME

KEY = "a-key-for-tokens"


@pytest.fixture(autouse=True)
def keys(settings):
    settings.JACKFIELD = {"default": {"KEYS": [KEY], "PUBLIC_URL": "wss://rt/"}}


@pytest.fixture(autouse=True)
def registry():
    with isolated() as empty:
        yield empty


def room(**members):
    return type("Room", (Channel,), {"pattern": "room:<int:pk>"} | members)


def opened(text):
    body = text.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def asked(registry, user="42", kind="subscribe call"):
    fields = BY_NAME[kind] | {"user": str(user), "channel": "room:7"}
    said = json.loads(Dispatcher(registry).handle(Event.from_fields(fields)).answer)
    return said.get("result", said.get("error", {}).get("code"))


ANN = User(pk=42, username="ann")
GONE = User(pk=43, username="gone", is_active=False)


@pytest.mark.parametrize(
    ("access", "ann", "gone", "nobody"),
    [
        ("public", True, True, True),
        ("authenticated", True, False, False),
        ("token", False, False, False),
        ("ask", False, False, False),
        ("", False, False, False),
    ],
)
def test_access_without_rules(registry, access, ann, gone, nobody):
    room(access=access)
    match = registry.match("room:7")
    said = [decide_for(match, "room:7", user) for user in (ANN, GONE, AnonymousUser())]
    assert said == [ann, gone, nobody]


@pytest.mark.django_db
def test_access_in_the_worker(registry):
    ann = User.objects.create_user("ann")
    gone = User.objects.create_user("gone", is_active=False)
    room(access="authenticated")
    assert asked(registry, ann.pk) == {}
    assert asked(registry, gone.pk) == asked(registry, "") == asked(registry, "999") == 103
    assert asked(registry, ann.pk, "publish call") == 103
    assert asked(registry, ann.pk, "sub_refresh call") == {}
    assert asked(registry, gone.pk, "sub_refresh call") == {"expired": True}


def test_a_channel_of_tokens_asks_nobody_else(registry):
    room(access="token", can_subscribe=lambda self, user, pk: True)
    assert asked(registry) == 103
    assert decide_for(registry.match("room:7"), "room:7", ANN) is True


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, ""),
        ({"access": "public"}, "public"),
        ({"can_subscribe": lambda self, user, pk: True}, "ask"),
        ({"permission": "auth.view_user"}, "ask"),
        ({"permission_classes": [object]}, "ask"),
        ({"access": "authenticated", "permission": "auth.view_user"}, "ask"),
        ({"access": "token", "permission": "auth.view_user"}, "token"),
    ],
)
def test_rules_are_asked_whatever_access_says(members, said):
    assert access_of(room(**members)) == said


@pytest.mark.django_db
def test_permissions(registry):
    ann = User.objects.create_user("ann")
    room(permission="auth.view_user", can_publish=lambda self, user, pk: True)
    assert asked(registry, ann.pk) == asked(registry, ann.pk, "publish call") == 103
    ann.user_permissions.add(Permission.objects.get(codename="view_user"))
    assert asked(registry, ann.pk) == asked(registry, ann.pk, "publish call") == {}
    registry.channels.clear()
    room(permission=["auth.view_user", "auth.add_user"])
    assert asked(registry, ann.pk) == 103
    registry.channels.clear()
    room(permission="auth.view_user", can_subscribe=lambda self, user, pk: pk == 8)
    assert asked(registry, ann.pk) == 103


class Owned:
    """An authentication backend with permissions of objects."""

    def has_perm(self, user, permission, thing=None):
        return permission == "chat.read" and thing == {"owner": user.pk}


@pytest.mark.django_db
def test_permissions_of_objects(registry, settings):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Owned"]
    ann = User.objects.create_user("ann")
    things = {7: {"owner": ann.pk}}

    def get_object(self, pk):
        if pk not in things:
            raise ObjectDoesNotExist
        return things[pk]

    room(permission="chat.read", get_object=get_object)
    assert asked(registry, ann.pk) == {}
    for thing in ({"owner": 0}, None):
        things[7] = thing
        assert asked(registry, ann.pk) == 103
    things.clear()
    assert asked(registry, ann.pk) == 103


class Rule:
    seen = []

    def has_permission(self, request, view):
        self.seen.append((request.method, view.action, dict(view.kwargs), view.pattern))
        return request.method == "GET" and bool(request.user)

    def has_object_permission(self, request, view, thing):
        return thing == "yes"


class Either:
    """As a composition of DRF: no class, makes its rule by a call."""

    def __call__(self):
        return Rule()


@pytest.mark.parametrize("rule", [Rule, Rule(), Either()])
def test_permission_classes(registry, rule):
    Rule.seen.clear()
    room(permission_classes=[rule], can_publish=lambda self, user, pk: True)
    assert decide_for(registry.match("room:7"), "room:7", ANN) is True
    assert decide_for(registry.match("room:7"), "room:7", ANN, "can_publish") is False
    assert Rule.seen == [
        ("GET", "subscribe", {"pk": 7}, "room:<int:pk>"),
        ("POST", "publish", {"pk": 7}, "room:<int:pk>"),
    ]
    registry.channels.clear()
    room(permission_classes=[rule], get_object=lambda self, pk: "yes" if pk == 7 else "no")
    assert decide_for(registry.match("room:7"), "room:7", ANN) is True
    assert decide_for(registry.match("room:8"), "room:8", ANN) is False


def test_a_grant_is_remembered_where_the_class_says_so(registry):
    room(access_ttl=60, can_subscribe=lambda self, user, pk: True)
    assert asked(registry) == {"cache_for": 60}
    assert asked(registry, kind="sub_refresh call") == {}
    registry.channels.clear()
    room(access_ttl=60, can_subscribe=lambda self, user, pk: False)
    assert asked(registry) == 103


def test_async_rules(registry):
    async def can_subscribe(self, user, pk):
        return user.is_anonymous

    room(can_subscribe=can_subscribe)
    assert asked(registry, "") == {}
    assert asked(registry, "", kind="sub_refresh call") == {}


# The view.


@pytest.fixture
def ann(client, db):
    user = User.objects.create_user("ann")
    client.force_login(user)
    return user


def test_the_view_opens_a_channel(client, ann, registry):
    grant = Subscription(info={"role": "host"}, override={"presence": False}, cache_for=60)
    room(can_subscribe=lambda self, user, pk: grant if pk == 7 and user == ann else False)
    said = client.get("/jackfield/token/?channel=room:7").json()
    assert set(said) == {"token", "expires", "channel"}
    claims = opened(said["token"])
    assert claims.pop("jti") == client.session["_jackfield_sid"]
    assert claims.pop("exp") - int(claims.pop("iat")) == 300
    assert claims == {
        "sub": str(ann.pk),
        "channel": "room:7",
        "info": {"role": "host"},
        "override": {"presence": {"value": False}},
    }
    refused = client.get("/jackfield/token/?channel=room:8")
    assert refused.status_code == 403
    assert refused.json() == {"error": "permission denied"}
    assert "no-store" in refused["Cache-Control"]


@pytest.mark.parametrize("error", [PermissionDenied, ObjectDoesNotExist])
def test_the_view_refuses_what_a_rule_raises(client, ann, registry, error):
    def can_subscribe(self, user, pk):
        raise error

    room(can_subscribe=can_subscribe)
    assert client.get("/jackfield/token/?channel=room:7").status_code == 403


def test_the_view_opens_nothing_by_itself(client, ann, registry):
    room(access="token")
    for name in ("room:7", "other:7", ""):
        assert client.get("/jackfield/token/", {"channel": name}).status_code == 403
    registry.channels.clear()
    room()
    assert client.get("/jackfield/token/?channel=room:7").status_code == 403
    client.logout()
    registry.channels.clear()
    room(access="public")
    assert client.get("/jackfield/token/?channel=room:7").json() == {"error": "log in first"}


# Tokens.


def test_more_claims():
    said = opened(
        token(
            ANN,
            channels=["news"],
            capabilities={"chat:*": ["sub", "pub"], "log": "hst"},
            ttl=60,
        )
    )
    assert said["channels"] == ["news"]
    assert said["caps"] == [
        {"channels": ["chat:*"], "allow": ["sub", "pub"], "match": "wildcard"},
        {"channels": ["log"], "allow": ["hst"]},
    ]
    assert opened(token(ANN, channels={"news": Subscription(data=1)}))["subs"] == {
        "news": {"data": 1}
    }
    for wrong in ({"chat": ["fly"]}, {"chat": []}):
        with pytest.raises(ValueError, match=r"capabilities\['chat'\]"):
            token(ANN, capabilities=wrong)


def test_subscription_tokens():
    said = opened(subscription_token(ANN, "room:7", client="c-1", ttl=60))
    assert said.pop("exp") - int(said.pop("iat")) == 60
    assert said == {"sub": "42", "channel": "room:7", "client": "c-1"}
    assert opened(subscription_token("dev:7", "room:7"))["sub"] == "dev:7"
    with pytest.raises(ValueError, match="channel"):
        subscription_token(ANN, "")


def test_a_token_names_the_session_of_who_is_logged_in(client, ann):
    first = opened(client.get("/jackfield/token/").json()["token"])
    again = opened(client.get("/jackfield/token/").json()["token"])
    assert first["jti"] == again["jti"] == client.session["_jackfield_sid"]
    request = RequestFactory().get("/")
    request.user, request.session = AnonymousUser(), {}
    assert "jti" not in opened(token(request))
    assert request.session == {}


# Checks.


def ids(**more):
    return [(one.id, one.obj) for one in run_checks(tags=["jackfield"], **more)]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"access": "publik"},
        {"access": "ask"},
        {"access": "public", "permission": "auth.view_user"},
    ],
)
def test_a_channel_without_a_sound_rule_is_an_error(members):
    found = room(**members)
    assert ("jackfield.E010", found) in ids()


@pytest.mark.parametrize(
    "members",
    [
        {"access": "public"},
        {"access": "token"},
        {"permission": "auth.view_user"},
        {"access": "authenticated", "can_subscribe": lambda self, user, pk: True},
    ],
)
def test_a_channel_with_a_rule_is_none(members):
    room(**members)
    assert "jackfield.E010" not in dict(ids())


def test_session_engines_that_tell_nothing(settings):
    def warned():
        found = run_checks(tags=["jackfield"], include_deployment_checks=True)
        return [one.hint for one in found if one.id == "jackfield.W004"]

    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    assert "'django_jackfield.sessions.cached_db'" in warned()[0]
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    assert "disconnect(session=...)" in warned()[0]
    for name in ("db", "cache", "cached_db", "file"):
        settings.SESSION_ENGINE = f"django_jackfield.sessions.{name}"
        assert warned() == []


def test_tokens_that_live_long(settings):
    settings.JACKFIELD = {"default": {"KEYS": [KEY], "TOKEN_TTL": 3601}}
    assert "jackfield.W008" in dict(ids())
    settings.JACKFIELD = {"default": {"KEYS": [KEY], "TOKEN_TTL": 3600}}
    assert "jackfield.W008" not in dict(ids())
