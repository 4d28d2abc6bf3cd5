"""The connect view: who a cookie is, and that only the server may ask."""

import json
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import include, path
from django.utils import timezone

from django_jackfield import Subscription, brokers, webhook
from django_jackfield.connect import ConnectView, is_own_page
from django_jackfield.sid import SESSION_FIELD
from django_jackfield.views import TokenView
from django_jackfield.webhook import NotSigned, secret_of, signed_headers, verify

KEYS = ["a-key-for-tokens", "an-old-one"]
NOBODY = {"error": {"code": 101, "message": "unauthorized"}}
WHERE = "/jackfield/connect/"

pytestmark = pytest.mark.django_db


def setting(**more):
    return {"default": {"KEYS": KEYS, "AUTH": "session", "PUBLIC_URL": "wss://rt.test/"} | more}


@pytest.fixture(autouse=True)
def mode(settings):
    settings.JACKFIELD = setting()
    settings.ALLOWED_HOSTS = ["testserver", "shop.test"]
    settings.SESSION_ENGINE = "django_jackfield.sessions.db"
    # As strict as a project may be.
    settings.MIDDLEWARE = [
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]


@pytest.fixture
def ann():
    return User.objects.create_user("ann", password="old")


@pytest.fixture
def browser(ann):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ann)
    return browser


def posted(browser, said=None, *, headers=None, secret=None, now=None, **more):
    body = json.dumps({"client": "c1", "transport": "websocket"} | (said or {})).encode()
    secret = secret or secret_of(brokers["default"].config)
    signed = signed_headers(secret, body, now) if headers is None else headers
    return browser.post(WHERE, body, content_type="application/json", headers=signed | more)


def asked(browser, said=None, **more):
    answer = posted(browser, said, **more)
    assert answer.status_code == 200, answer.content
    return answer.json()


# Signatures.


def test_the_example_of_standard_webhooks(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_614_265_330.5)
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v2,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    verify(headers, b'{"test": 2432232314}', ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    with pytest.raises(NotSigned, match="none of ours"):
        verify(headers, b'{"test": 2432232315}', ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


def test_the_secret_tells_nothing_of_the_key(settings):
    first = secret_of(brokers["default"].config)
    assert first.startswith("whsec_")
    assert not any(key in first for key in KEYS)
    settings.JACKFIELD = {"default": {"KEYS": KEYS}, "other": {"KEYS": KEYS}}
    assert secret_of(brokers["default"].config) == first != secret_of(brokers["other"].config)
    settings.JACKFIELD = setting(KEYS=KEYS[1:])
    assert secret_of(brokers["default"].config) != first


def test_both_keys_count_while_one_is_exchanged(browser, settings):
    settings.JACKFIELD = setting(KEYS=[KEYS[1]])
    old = secret_of(brokers["default"].config)
    settings.JACKFIELD = setting()
    assert "result" in asked(browser, secret=old)
    settings.JACKFIELD = setting(KEYS=[KEYS[0]])
    assert posted(browser, secret=old).status_code == 401


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "not all there"),
        ({"webhook-signature": "v1,bm8="}, "not all there"),
        ({"webhook-timestamp": "soon"}, "no number of seconds"),
        ({"webhook-timestamp": "9" * 40}, "no number of seconds"),
        ({"webhook-timestamp": "\u0661"}, "no number of seconds"),
        ({"webhook-signature": "v1,bm8="}, "none of ours"),
        ({"webhook-signature": "v1,\u00e9"}, "none of ours"),
        ({"webhook-signature": "bm8="}, "none of ours"),
    ],
)
def test_a_stranger_is_told_what_is_wrong(browser, caplog, headers, said):
    whole = signed_headers(secret_of(brokers["default"].config), b"{}")
    wrong = headers if said == "not all there" else whole | headers
    answer = posted(browser, headers=wrong)
    assert answer.status_code == 401
    assert said in answer.json()["error"]
    assert said in caplog.text
    assert "user" not in answer.content.decode()


@pytest.mark.parametrize("off", [-310, 310])
def test_a_request_of_another_time_is_void(browser, off):
    answer = posted(browser, now=time.time() + off)
    assert answer.status_code == 401
    assert "NTP" in answer.json()["error"]
    assert posted(browser, now=time.time() + off * 0.9).status_code == 200


def test_another_key_is_a_stranger(browser):
    other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert posted(browser, secret=other).status_code == 401


def test_only_posts(browser):
    assert browser.get(WHERE).status_code == 405


def test_it_says_nothing_where_only_tokens_count(browser, settings):
    settings.JACKFIELD = setting(AUTH="token")
    answer = posted(browser)
    assert answer.status_code == 404
    assert "cookies log nobody in" in answer.json()["error"]


# Who it is.


def test_a_cookie_is_its_user(browser, ann):
    answer = posted(browser)
    assert "no-store" in answer["Cache-Control"]
    said = answer.json()["result"]
    assert set(said) == {"user", "data", "expire_at", "token_id"}
    assert said["user"] == str(ann.pk)
    assert said["data"] == {"user": str(ann.pk)}
    assert said["token_id"] == browser.session[SESSION_FIELD]
    assert asked(browser)["result"]["token_id"] == said["token_id"]


def test_both_ways_ask_alike(browser, settings):
    settings.JACKFIELD = setting(AUTH="both")
    assert asked(browser)["result"]["user"]


def test_nobody_is_nobody(browser, ann):
    assert asked(Client()) == NOBODY
    stale = Client()
    stale.cookies["sessionid"] = "there-is-no-such-session"
    assert asked(stale) == NOBODY
    browser.logout()
    assert asked(browser) == NOBODY


def test_a_session_that_is_over_is_nobody(browser):
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert asked(browser) == NOBODY


def test_a_cookie_from_before_a_logout_is_nobody(browser):
    kept = browser.cookies["sessionid"].value
    browser.logout()
    thief = Client()
    thief.cookies["sessionid"] = kept
    assert asked(thief) == NOBODY


def test_who_is_deactivated_or_has_another_password_is_nobody(browser, ann):
    ann.set_password("new")
    ann.save()
    assert asked(browser) == NOBODY
    browser.force_login(ann)
    assert "result" in asked(browser)
    ann.is_active = False
    ann.save()
    assert asked(browser) == NOBODY


def test_visitors_come_in_where_the_setting_says_so(settings, ann):
    settings.JACKFIELD = setting(ANONYMOUS=True, TOKEN_TTL=60)
    said = asked(Client())["result"]
    assert (said["user"], said["data"]) == ("", {"user": ""})
    assert "token_id" not in said
    # They may log in, and are asked again as often as they would fetch a token.
    assert 55 <= said["expire_at"] - time.time() <= 60
    browser = Client()
    session = browser.session
    session["basket"] = [1]
    session.save()
    assert asked(browser)["result"]["token_id"].startswith("visitor-")


def test_a_page_of_somebody_else_stays_out(browser, ann):
    assert asked(browser, {"data": {"user": str(ann.pk)}})["result"]["user"] == str(ann.pk)
    assert asked(browser, {"data": {"user": "another"}}) == NOBODY
    for other in ({"user": 7}, {"user": ""}, [], "x", None):
        assert "result" in asked(browser, {"data": other})


def test_where_no_middleware_knows_a_user(settings, ann, browser):
    settings.MIDDLEWARE = []
    assert asked(browser) == NOBODY


# What the project says of them.


class NamedView(TokenView):
    def token_info(self, request):
        return {"name": request.user.get_username()}

    def token_channels(self, request):
        return {"news": Subscription(data=1)}


class OwnView(ConnectView):
    def token_info(self, request):
        return {"own": True}

    def token_channels(self, request):
        return ["board"]


class TokenUrls:
    urlpatterns = [
        path("jackfield/token/", NamedView.as_view()),
        path("jackfield/", include("django_jackfield.urls")),
    ]


class OwnUrls:
    urlpatterns = [path("jackfield/connect/", OwnView.as_view()), *TokenUrls.urlpatterns]


def test_the_token_view_of_the_project_says_what_others_see(browser, settings):
    settings.ROOT_URLCONF = TokenUrls
    said = asked(browser)["result"]
    assert (said["info"], said["subs"]) == ({"name": "ann"}, {"news": {"data": 1}})
    settings.ROOT_URLCONF = OwnUrls
    said = asked(browser)["result"]
    assert (said["info"], said["channels"]) == ({"own": True}, ["board"])


# How long.


def ends(browser):
    return asked(browser)["result"]["expire_at"]


def test_a_connection_lasts_as_long_as_its_session(browser):
    assert ends(browser) - time.time() > 13 * 24 * 3600
    # By the row and not by now: the session was saved some days ago.
    tomorrow = timezone.now() + timedelta(days=1)
    Session.objects.update(expire_date=tomorrow)
    assert ends(browser) == int(tomorrow.timestamp())


@pytest.mark.parametrize("engine", ["django.contrib.sessions.backends.db", "cached_db", "cache"])
def test_sessions_whose_end_nobody_tells_are_asked_again_soon(settings, ann, engine):
    own = f"django_jackfield.sessions.{engine}"
    settings.SESSION_ENGINE = engine if "." in engine else own
    browser = Client()
    browser.force_login(ann)
    left = ends(browser) - time.time()
    # cached_db has a table that says when; of a cache nobody knows, and db of Django tells nothing.
    assert left > 13 * 24 * 3600 if engine == "cached_db" else 290 < left <= 300
    if engine.startswith("django"):
        end = timezone.now() + timedelta(seconds=100)
        Session.objects.update(expire_date=end)
        assert ends(browser) == int(end.timestamp())


# From where.


@pytest.mark.parametrize(
    ("origin", "is_ours"),
    [
        ("https://shop.test", True),
        ("https://SHOP.test:8443", True),
        ("https://rt.test", True),
        ("https://a.partner.test", True),
        ("http://a.partner.test", False),
        ("https://partner.test", True),  # as Django reads the setting
        ("https://evil.test", False),
        ("https://shop.test.evil.test", False),
        ("https://evilshop.test", False),
        ("http://localhost:8000", False),
        ("null", False),
        ("file://", False),
    ],
)
def test_a_foreign_page_gets_in_by_no_cookie(browser, settings, caplog, origin, is_ours):
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.partner.test"]
    settings.ALLOWED_HOSTS = ["testserver", "shop.test", "*"]
    said = asked(browser, origin=origin)
    assert ("result" in said) is is_ours
    assert is_ours or said == NOBODY
    assert ("CSRF_TRUSTED_ORIGINS" in caplog.text) is not is_ours


def test_pages_of_runserver_are_ours(settings):
    settings.DEBUG, settings.ALLOWED_HOSTS = True, []
    config = brokers["default"].config
    assert is_own_page("http://localhost:8000", config)
    assert is_own_page("http://127.0.0.1:8000", config)
    assert is_own_page("http://[::1]:8000", config)
    assert not is_own_page("http://example.com:8000", config)
    settings.ALLOWED_HOSTS = ["*"]
    assert is_own_page("http://192.168.1.5:8000", config)
    settings.DEBUG = False
    assert not is_own_page("http://192.168.1.5:8000", config)


def test_the_headers_of_the_package_are_those_it_verifies():
    headers = signed_headers("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b"x")
    verify(headers, b"x", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    assert webhook.TOLERANCE_SECONDS == 300
