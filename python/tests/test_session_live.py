"""Cookies that log sockets in: the real server, Django over HTTP, and websockets."""

import json
import os
import shutil
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.exceptions import SuspiciousOperation
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from django_jackfield import Channel, brokers, connections, token
from django_jackfield.doctor import cookies
from django_jackfield.project_file import project_file
from django_jackfield.registry import isolated
from django_jackfield.views import TokenView
from servers import until

BINARY = os.environ.get("JACKFIELD_BIN") or shutil.which("jackfield")
KEY = "a-key-of-the-live-tests-that-is-long-enough"
NOBODY = {"code": 101, "message": "unauthorized"}

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not BINARY, reason="no jackfield: set JACKFIELD_BIN"),
]


@pytest.fixture(autouse=True)
def registry():
    with isolated() as empty:

        class News(Channel):
            pattern = "news"
            access = "public"

        yield empty


class Site:
    """A server with the file that the project makes for it."""

    def __init__(self, settings, registry, django):
        os.environ.setdefault("JACKFIELD_BIN", BINARY)
        sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
        from serving import Server

        self.settings, self.registry, self.django = settings, registry, django
        self.server, self.stack = Server(), ExitStack()

    def start(self, *, auth="session", origins=None, secret=None, **more):
        self.settings.JACKFIELD = {
            "default": {
                "OPTIONS": {"port": self.server.embedded},
                "KEYS": [KEY],
                "PUBLIC_URL": self.server.url,
                "TIMEOUT": 10.0,
                "AUTH": auth,
                "CONNECT_URL": f"{self.django}/jackfield/connect/",
            }
            | more
        }
        file = project_file(self.registry)
        if secret:
            file.secrets["JACKFIELD_CLIENT_PROXY_CONNECT_SECRET"] = secret
        client = file.document["client"]
        client["expired_close_delay"] = "100ms"
        file.document["http_stream"] = {"enabled": True}
        client["allowed_origins"] = origins or client["allowed_origins"]
        self.server.config = file.text(keys=True)
        self.stack.enter_context(self.server)
        return self

    def page(self, browser=None, *, cookies=None, origin=True, **said):
        """A socket of a browser's page."""
        if browser is not None:
            cookies = {name: one.value for name, one in browser.cookies.items()}
        headers = {}
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        told = self.django if origin is True else origin
        socket = self.stack.enter_context(
            connect(self.server.url, additional_headers=headers, origin=told)
        )
        return Page(socket, said)


class Page:
    """An open page, and what became of its `connect`."""

    def __init__(self, socket, said):
        self.socket = socket
        socket.send(json.dumps({"id": 1, "connect": said}))
        self.reply = self.read(1)

    def read(self, id=None):
        """The reply with this id, or the code with which the server closed."""
        try:
            while True:
                for line in self.socket.recv(30).splitlines():
                    message = json.loads(line)
                    if message == {}:
                        self.socket.send("{}")
                    elif message.get("id") == id:
                        return message
        except ConnectionClosed as error:
            return error.rcvd.code

    @property
    def user(self):
        """As whom it is in, None if it is not."""
        said = self.reply.get("connect") if isinstance(self.reply, dict) else None
        return said and said["data"]["user"]

    @property
    def error(self):
        return self.reply.get("error") if isinstance(self.reply, dict) else self.reply

    def closed(self):
        code = self.read()
        assert isinstance(code, int)
        return code

    def is_open(self):
        self.socket.send(json.dumps({"id": 2, "subscribe": {"channel": "news"}}))
        return isinstance(self.read(2), dict)


@pytest.fixture
def site(settings, registry, live_server):
    settings.SESSION_ENGINE = "django_jackfield.sessions.db"
    made = Site(settings, registry, live_server.url)
    yield made
    made.stack.close()
    brokers.close_all()


@pytest.fixture
def ann():
    return User.objects.create_user("ann", password="old")


def browser_of(user):
    browser = Client()
    browser.force_login(user)
    return browser


def test_a_cookie_logs_in_and_nothing_else_does(site, ann):
    site.start()
    browser = browser_of(ann)
    page = site.page(browser)
    assert page.user == str(ann.pk)
    assert [one.user_id for one in connections()] == [str(ann.pk)]
    assert site.page().error == NOBODY
    assert site.page(cookies={"sessionid": "x" * 32}).error == NOBODY
    # No page: a program with a cookie of its own.
    assert site.page(browser, origin=None).user == str(ann.pk)
    assert site.page(browser, data={"user": "another"}).error == NOBODY


def test_a_logout_ends_its_sockets_and_voids_the_cookie(site, ann):
    site.start()
    here, there = browser_of(ann), browser_of(ann)
    cookies = {"sessionid": here.cookies["sessionid"].value}
    pages = [site.page(here), site.page(here), site.page(there)]
    row = Session.objects.get(pk=cookies["sessionid"])
    here.logout()
    assert [one.closed() for one in pages[:2]] == [3500, 3500]
    assert pages[2].is_open()
    assert site.page(cookies=cookies).error == NOBODY
    # A request that began before the logout may save the session once more: the view would let
    # it in, the server remembers better.
    row.save(force_insert=True)
    assert site.page(cookies=cookies).error == 3500
    assert site.page(browser_of(ann)).user == str(ann.pk)


def test_a_session_that_is_deleted_elsewhere(site, ann):
    from django_jackfield.sessions.db import SessionStore

    site.start()
    here, there = browser_of(ann), browser_of(ann)
    pages = [site.page(here), site.page(there)]
    SessionStore().delete(there.session.session_key)
    assert pages[1].closed() == 3500
    assert site.page(there).error == NOBODY
    assert pages[0].is_open()


def test_a_new_password_leaves_only_the_session_that_has_it(site, ann):
    site.start()
    here, there = browser_of(ann), browser_of(ann)
    pages = [site.page(here), site.page(there)]
    request = RequestFactory().get("/")
    request.session, request.user = here.session, ann
    ann.set_password("new")
    ann.save()
    update_session_auth_hash(request, ann)
    request.session.save()
    here.cookies["sessionid"] = request.session.session_key
    assert [one.closed() for one in pages] == [4001, 4001]
    assert site.page(here).user == str(ann.pk)
    assert site.page(there).error == NOBODY


def test_with_both_tokens_and_cookies_count(site, ann):
    site.start(auth="both")
    bob = User.objects.create_user("bob")
    browser = browser_of(ann)
    assert site.page(browser).user == str(ann.pk)
    tokened = site.page(token=token(bob))
    assert tokened.reply["connect"]["client"]
    # Who brings a token is judged by it alone.
    site.page(browser, token=token(bob))
    assert sorted(one.user_id for one in connections()) == sorted(
        [str(ann.pk), str(bob.pk), str(bob.pk)]
    )
    assert site.page(browser, token="x.y.z").error == 3500
    assert site.page().error == NOBODY


def test_a_foreign_page_gets_in_by_no_cookie(site, ann):
    site.start()
    with pytest.raises(InvalidStatus) as caught:
        site.page(browser_of(ann), origin="https://evil.test")
    assert caught.value.response.status_code == 403


def test_a_foreign_page_gets_no_further_where_the_server_lets_all_in(site, ann):
    site.start(origins=["*"])
    browser = browser_of(ann)
    assert site.page(browser, origin="https://evil.test").error == NOBODY
    assert site.page(browser, origin="null").error == NOBODY
    assert site.page(browser).user == str(ann.pk)


def test_visitors(site, ann):
    site.start(ANONYMOUS=True)
    browser = Client()
    browser.get("/jackfield/token/")
    assert site.page(browser).user == ""
    session = browser.session
    session["basket"] = 1
    session.save()
    page = site.page(browser)
    assert page.user == ""
    browser.force_login(ann)
    # The page comes back as the user's.
    assert page.closed() == 3005
    page = site.page(browser)
    assert page.user == str(ann.pk)
    browser.logout()
    assert page.closed() == 3005
    assert site.page(browser).user == ""


def test_an_engine_that_tells_nothing_is_asked_again(site, ann, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    site.start(TOKEN_TTL=1)
    browser = browser_of(ann)
    page = site.page(browser)
    assert page.user == str(ann.pk)
    assert page.closed() == 3005
    Session.objects.all().delete()
    assert site.page(browser).error == NOBODY


class NamedView(TokenView):
    def token_info(self, request):
        return {"name": request.user.get_username()}

    def token_channels(self, request):
        return ["news"]


class NamedUrls:
    urlpatterns = [
        path("jackfield/token/", NamedView.as_view()),
        path("jackfield/", include("django_jackfield.urls")),
    ]


def gate(request):
    """A middleware that wants a second factor first."""
    return HttpResponse(status=302, headers={"Location": "/second-factor/"})


class GateUrls:
    urlpatterns = [path("jackfield/connect/", gate), *NamedUrls.urlpatterns]


def test_what_the_token_view_says_of_a_user(site, ann, settings):
    settings.ROOT_URLCONF = NamedUrls
    site.start()
    assert list(site.page(browser_of(ann)).reply["connect"]["subs"]) == ["news"]


def test_a_redirect_of_a_middleware_is_a_refusal(site, ann, settings):
    settings.ROOT_URLCONF = GateUrls
    site.start()
    assert site.page(browser_of(ann)).error == NOBODY


heard = []


def hears(request):
    heard.append(request.headers)
    return HttpResponse(json.dumps({"error": NOBODY}))


class HearingUrls:
    urlpatterns = [path("jackfield/connect/", csrf_exempt(hears)), *NamedUrls.urlpatterns]


def test_what_the_view_is_told_of_the_browser(site, settings):
    settings.ROOT_URLCONF = HearingUrls
    site.start()
    heard.clear()
    made_up = {
        "User-Agent": "Netscape/4",
        "Accept-Language": "de",
        "X-Forwarded-For": "203.0.113.9",
        "X-Real-IP": "203.0.113.9",
        "Authorization": "Basic eDp5",
        "Webhook-Id": "mine",
        "Host": site.server.url.split("/")[2],
    }
    cookies = "sessionid=s; theme=dark"
    with socket.create_connection(("127.0.0.1", site.server.port), 30) as raw:
        headers = made_up | {"Cookie": cookies, "Origin": site.django, "Content-Type": "text/plain"}
        body = '{"id":1,"connect":{}}'
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        raw.sendall(
            f"POST /connection/http_stream HTTP/1.1\r\n{lines}"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        until(lambda: heard, what="the server's question")
        raw.settimeout(30)
        answer = b""
        while b"unauthorized" not in answer:
            more = raw.recv(4096)
            assert more, answer
            answer += more
    told = heard[0]
    assert told["Cookie"] == cookies
    assert told["Origin"] == site.django
    assert (told["User-Agent"], told["Accept-Language"]) == ("Netscape/4", "de")
    # The client's address is what the server has seen, and nothing else of its head goes along.
    assert told["X-Forwarded-For"] == "127.0.0.1"
    assert told["Host"] == site.django.removeprefix("http://")
    assert told["Webhook-Id"] != "mine"
    assert not {"Authorization", "X-Real-Ip"} & set(told)


def test_a_server_with_another_secret_is_told_nothing(site, ann, caplog):
    site.start(secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    error = site.page(browser_of(ann)).error
    assert (error["code"], error["temporary"]) == (100, True)
    until(lambda: "none of ours" in caplog.text, what="a word in Django's log")


# What the doctor says.


def redirected(request):
    return HttpResponse(status=301, headers={"Location": f"https://shop.test{request.path}"})


def refused(request):
    raise SuspiciousOperation("not by this name")


def other(request):
    return HttpResponse("hello")


def routed(view):
    class Urls:
        urlpatterns = [path("jackfield/connect/", csrf_exempt(view)), *NamedUrls.urlpatterns]

    return Urls


def findings(site):
    config = brokers["default"].config
    found = [*cookies.view(config), *cookies.asking(site.server.url, config)]
    return {one.subject: (one.state, f"{one.text} {one.remedy}") for one in found}


def test_the_doctor_finds_all_well(site):
    site.start()
    assert {name: state for name, (state, _) in findings(site).items()} == {
        "connect view": "ok",
        "cookies": "ok",
    }


def test_the_doctor_looks_at_cookies_only_where_they_count(site):
    site.start(auth="token")
    assert findings(site) == {}


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (redirected, "SECURE_REDIRECT_EXEMPT = ['^jackfield/connect/$']"),
        (gate, "middleware turns everybody away"),
        (refused, "to ALLOWED_HOSTS"),
        (other, "is no JSON"),
    ],
)
def test_the_doctor_says_who_turns_the_server_away(site, settings, view, said):
    settings.ROOT_URLCONF = routed(view)
    site.start()
    state, text = findings(site)["connect view"]
    assert state == "problem"
    assert said in text


def test_the_doctor_says_where_django_is_not(site, settings):
    site.start()
    there = settings.JACKFIELD["default"]
    for url, said in (
        (f"{site.django}/elsewhere/", "is not there"),
        ("http://127.0.0.1:1/", "cannot be reached"),
        ("", "CONNECT_URL is not set"),
    ):
        settings.JACKFIELD = {"default": there | {"CONNECT_URL": url or None}}
        assert said in findings(site)["connect view"][1]


def test_the_doctor_says_what_the_server_lacks(site):
    site.start(secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", origins=["*"])
    config = brokers["default"].config
    first, second = cookies.asking(site.server.url, config)
    assert (first.state, second.state) == ("problem", "problem")
    assert "gets no answer from Django: 100" in first.text
    assert "takes sockets of any page" in second.text


def test_the_doctor_says_that_the_server_does_not_ask(site, settings):
    site.start(auth="token")
    settings.JACKFIELD = {"default": settings.JACKFIELD["default"] | {"AUTH": "both"}}
    state, text = findings(site)["cookies"]
    assert state == "problem"
    assert "[client.proxy.connect]" in text
