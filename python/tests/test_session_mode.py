"""AUTH "session" and "both": the server's file, the checks, the page, the commands."""

import json
import subprocess
import tomllib

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.cache import SessionStore
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import RequestFactory

from django_jackfield import brokers, conf, connecting
from django_jackfield.checks import session as checks
from django_jackfield.connect_call import HEADERS, USUAL_PATH
from django_jackfield.devserver import config as devserver
from django_jackfield.devserver.binary import find_binary
from django_jackfield.page import page_config
from django_jackfield.project_file import differences, project_file
from django_jackfield.registry import isolated
from django_jackfield.sid import SESSION_FIELD
from django_jackfield.webhook import secret_of

KEYS = ["a-key-of-at-least-thirty-two-bytes-for-tests"]
ENDPOINT = f"http://127.0.0.1:8000{USUAL_PATH}"
BINARY = find_binary()


def setting(**more):
    full = {"KEYS": KEYS, "AUTH": "session", "PUBLIC_URL": "wss://shop.test/rt"} | more
    return {"default": full}


@pytest.fixture(autouse=True)
def registry():
    with isolated() as empty:
        yield empty


@pytest.fixture(autouse=True)
def production(settings, monkeypatch):
    """A site whose settings are sound."""
    monkeypatch.setattr(conf, "in_development", lambda: False)
    for module in ("project_file", "page"):
        monkeypatch.setattr(f"django_jackfield.{module}.in_development", lambda: False)
    settings.JACKFIELD = setting(CONNECT_URL=ENDPOINT)
    settings.ALLOWED_HOSTS = ["shop.test", "127.0.0.1"]
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    return settings


def found():
    return [
        (one.id.rpartition(".")[2], f"{one.msg} {one.hint}")
        for check in (
            checks.check_asked,
            checks.check_cookies,
            checks.check_reach,
            checks.check_pages,
        )
        for one in check(None)
    ]


# The setting.


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"AUTH": "sesion"}, 'AUTH must be "token", "session" or "both", not \'sesion\'. Did'),
        ({"AUTH": "sesion"}, "Did you mean 'session'?"),
        ({"AUTH": "Both"}, "Did you mean 'both'?"),
        ({"AUTH": None}, "not None. Known: token, session, both."),
        ({"AUTH": ["session"]}, "not ['session']. Did you mean 'session'?"),
        ({"CONNECT_URL": "127.0.0.1:8000"}, "CONNECT_URL must be an http:// or https:// URL"),
        ({"CONECT_URL": ENDPOINT}, "Did you mean 'CONNECT_URL'?"),
    ],
)
def test_faults_of_the_setting(settings, more, said):
    settings.JACKFIELD = setting(**more)
    with pytest.raises(ImproperlyConfigured) as caught:
        _ = brokers["default"]
    assert said in str(caught.value)
    assert found() == []


# Checks.


def test_a_sound_site_hears_nothing(settings):
    assert found() == []
    settings.JACKFIELD = setting(AUTH="both", CONNECT_URL=ENDPOINT)
    assert found() == []
    settings.JACKFIELD = setting(PUBLIC_URL="/connection/websocket", CONNECT_URL=ENDPOINT)
    assert found() == []


def test_tokens_need_nothing_of_it(settings):
    settings.JACKFIELD = {"default": {"KEYS": KEYS, "PUBLIC_URL": "wss://elsewhere.test/"}}
    settings.MIDDLEWARE, settings.ALLOWED_HOSTS = [], []
    connecting(lambda ctx, data: None)
    assert found() == []


def test_what_the_mode_lacks(settings):
    settings.JACKFIELD = setting()
    [(id, said)] = found()
    assert (id, ENDPOINT in said) == ("E007", True)
    settings.JACKFIELD = setting(CONNECT_URL=ENDPOINT)
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if "SessionMiddleware" not in one]
    [(id, said)] = found()
    assert (id, "request.session" in said) == ("E007", True)


def test_the_view_must_be_routed_where_runserver_is_asked(settings, monkeypatch):
    monkeypatch.setattr(conf, "in_development", lambda: True)
    settings.JACKFIELD = setting()
    assert found() == []
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    [(id, said)] = found()
    assert (id, "is not routed" in said) == ("E007", True)


def test_a_function_that_nobody_asks(settings):
    @connecting(listener="gps")
    def gps_login(ctx, data):
        return None

    [(id, said)] = found()
    assert id == "E008"
    assert "gps_login" in said


@pytest.mark.parametrize(
    ("url", "changed", "said"),
    [
        ("wss://rt.shop.test/", {}, "rt.shop.test of PUBLIC_URL is none of those"),
        ("wss://rt.shop.test/", {"ALLOWED_HOSTS": [".shop.test", "127.0.0.1"]}, "is none of those"),
        ("wss://rt.shop.test/", {"SESSION_COOKIE_DOMAIN": ".shop.test"}, ""),
        ("wss://rt.shop.test/", {"SESSION_COOKIE_DOMAIN": "shop.test"}, ""),
        ("wss://shop.test/", {"SESSION_COOKIE_DOMAIN": "shop.test"}, ""),
        ("wss://notshop.test/", {"SESSION_COOKIE_DOMAIN": "shop.test"}, "does not cover notshop"),
        ("wss://rt.test/", {"SESSION_COOKIE_DOMAIN": "www.shop.test"}, "does not cover rt.test"),
        ("wss://SHOP.test:8443/", {}, ""),
        ("wss://rt.test/", {"CSRF_TRUSTED_ORIGINS": ["https://rt.test"]}, ""),
        ("ws://shop.test/", {"SESSION_COOKIE_SECURE": True}, "which is ws://"),
        ("wss://shop.test/", {"SESSION_COOKIE_SECURE": True}, ""),
        ("wss://shop.test/rt", {"SESSION_COOKIE_PATH": "/app"}, "does not cover /rt"),
        ("wss://shop.test/apple", {"SESSION_COOKIE_PATH": "/app"}, "does not cover /apple"),
        ("wss://shop.test/app/rt", {"SESSION_COOKIE_PATH": "/app/"}, ""),
        ("/rt", {"SESSION_COOKIE_PATH": "/app"}, "does not cover /rt"),
    ],
)
def test_where_the_cookie_goes(settings, url, changed, said):
    settings.JACKFIELD = setting(PUBLIC_URL=url, CONNECT_URL=ENDPOINT)
    for name, value in changed.items():
        setattr(settings, name, value)
    messages = found()
    assert [id for id, _ in messages] == (["W005"] if said else [])
    assert all(said in text for _, text in messages)


@pytest.mark.parametrize(
    ("connect_url", "changed", "said"),
    [
        ("http://django.internal/jackfield/connect/", {}, "ALLOWED_HOSTS lacks django.internal"),
        ("http://[::1]:8000/jackfield/connect/", {}, "ALLOWED_HOSTS lacks [::1]"),
        (ENDPOINT, {"SECURE_SSL_REDIRECT": True}, r"'^jackfield/connect/$'"),
        ("https://shop.test/jackfield/connect/", {"SECURE_SSL_REDIRECT": True}, ""),
        (
            ENDPOINT,
            {"SECURE_SSL_REDIRECT": True, "SECURE_REDIRECT_EXEMPT": [r"^jackfield/connect/$"]},
            "",
        ),
    ],
)
def test_what_turns_the_server_away(settings, connect_url, changed, said):
    settings.JACKFIELD = setting(CONNECT_URL=connect_url)
    settings.MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", *settings.MIDDLEWARE]
    for name, value in changed.items():
        setattr(settings, name, value)
    messages = found()
    assert [id for id, _ in messages] == (["W011"] if said else [])
    assert all(said in text for _, text in messages)


def test_no_page_is_known(settings):
    settings.ALLOWED_HOSTS = ["*"]
    [(id, said)] = found()
    assert (id, "CSRF_TRUSTED_ORIGINS" in said) == ("W012", True)
    settings.CSRF_TRUSTED_ORIGINS = ["https://shop.test"]
    assert found() == []


# The server's file.


def test_the_file_says_where_to_ask_and_not_the_secret(registry, capsys):
    call_command("jackfield", "config")
    text = capsys.readouterr().out
    secret = secret_of(brokers["default"].config)
    assert secret not in text
    assert "JACKFIELD_CLIENT_PROXY_CONNECT_SECRET=..." in text
    client = tomllib.loads(text)["client"]
    assert client["allowed_origins"] == ["https://shop.test", "https://127.0.0.1"]
    asked = client["proxy"]["connect"]
    assert (asked["enabled"], asked["endpoint"]) == (True, ENDPOINT)
    assert asked["http_headers"] == list(HEADERS)
    assert "Cookie" in HEADERS
    assert {one["status_code"]: one["to_error"]["code"] for one in transforms(asked)} == {
        302: 101,
        303: 101,
        307: 101,
        403: 101,
    }
    call_command("jackfield", "config", "--keys")
    text = capsys.readouterr().out
    assert tomllib.loads(text)["client"]["proxy"]["connect"]["secret"] == secret
    call_command("jackfield", "key")
    assert f'[client.proxy.connect]\nsecret = "{secret}"' in capsys.readouterr().out


def transforms(asked):
    return asked["http"]["status_to_code_transforms"]


def test_tokens_leave_the_file_as_it_was(registry, settings, capsys):
    settings.JACKFIELD = setting(AUTH="token", CONNECT_URL=ENDPOINT)
    file = project_file(registry)
    assert "proxy" not in file.document["client"]
    assert not any("CONNECT" in name for name in file.secrets)
    call_command("jackfield", "key")
    assert "proxy" not in capsys.readouterr().out


def test_without_an_address_there_is_no_file(registry, settings, capsys):
    settings.JACKFIELD = setting()
    with pytest.raises((ImproperlyConfigured, CommandError), match="CONNECT_URL does not say"):
        call_command("jackfield", "config")


def test_check_finds_what_is_not_so(registry):
    file = project_file(registry)
    assert list(differences(file, file.complete())) == []
    # The secret may be a variable of the server, the patience is the operator's.
    there = json.loads(json.dumps(file.document))
    there["client"]["proxy"]["connect"]["timeout"] = "9s"
    assert list(differences(file, there)) == []
    connect = there["client"]["proxy"]["connect"]
    connect |= {"http_headers": ["Origin"], "secret": "another", "endpoint": "http://x/"}
    connect["http"]["status_to_code_transforms"] = []
    there["client"]["allowed_origins"] = ["*"]
    said = " ".join(differences(file, there))
    for part in (
        'http_headers lacks "Accept-Language", "Cookie"',
        "client.proxy.connect.secret is not what the project has",
        f'endpoint is "http://x/", and the project needs "{ENDPOINT}"',
        "status_to_code_transforms is not what the project needs",
        'client.allowed_origins has "*", and cookies log in',
    ):
        assert part in said
    del there["client"]["proxy"]
    assert "client.proxy.connect.enabled is missing" in " ".join(differences(file, there))


def test_any_page_is_no_fault_where_tokens_count(registry, settings):
    settings.JACKFIELD = setting(AUTH="token")
    file = project_file(registry)
    file.document["client"]["allowed_origins"] = ["*"]
    assert list(differences(project_file(registry), file.document)) == []


def test_the_file_for_runserver(registry, settings):
    settings.JACKFIELD = setting()
    config = brokers["default"].config
    full = devserver.local_config(config, registry, "127.0.0.1", 8001, [], "http://127.0.0.1:80")
    asked = full["client"]["proxy"]["connect"]
    assert asked["endpoint"] == f"http://127.0.0.1:80{USUAL_PATH}"
    assert asked["secret"] == secret_of(config)
    with pytest.raises(ImproperlyConfigured, match="CONNECT_URL"):
        devserver.local_config(config, registry, "127.0.0.1", 8001, [])
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    with pytest.raises(ImproperlyConfigured, match="not routed: add path"):
        devserver.local_config(config, registry, "127.0.0.1", 8001, [], "http://127.0.0.1:80")
    settings.ROOT_URLCONF = "no.such.urls"
    full = devserver.local_config(config, registry, "127.0.0.1", 8001, [], "http://127.0.0.1:80")
    assert full["client"]["proxy"]["connect"]["endpoint"].endswith(USUAL_PATH)


@pytest.mark.parametrize(
    ("hosts", "address", "url"),
    [
        ([], "127.0.0.1", "http://127.0.0.1:8000"),
        (["localhost"], "127.0.0.1", "http://localhost:8000"),
        ([".localhost"], "0.0.0.0", "http://localhost:8000"),
        (["127.0.0.1"], "0.0.0.0", "http://127.0.0.1:8000"),
        ([], "::1", "http://[::1]:8000"),
    ],
)
def test_runserver_is_asked_by_a_name_it_answers_to(settings, hosts, address, url):
    settings.ALLOWED_HOSTS = hosts
    assert devserver.site_url(address, 8000) == url


@pytest.mark.skipif(BINARY is None, reason="no server binary: set JACKFIELD_BIN")
def test_the_server_accepts_the_file(registry, tmp_path):
    path = tmp_path / "jackfield.toml"
    call_command("jackfield", "config", "--write", str(path), "--keys")
    command = [BINARY, "check", "-c", path]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    call_command("jackfield", "config", "--check", str(path))
    text = project_file(registry).text()
    path.write_text(text)
    variable = {"JACKFIELD_CLIENT_PROXY_CONNECT_SECRET": "no-secret"}
    said = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=variable
    )
    # It reads the variable by this name.
    assert "client.proxy.connect.secret" in said.stdout + said.stderr


# The page.


def request_of(user, host="shop.test"):
    request = RequestFactory().get("/", headers={"host": host})
    request.user = user
    request.session = SessionStore()
    return request


def test_a_page_has_no_token_and_names_its_session():
    request = request_of(User(pk=42))
    page = page_config(request)
    assert page == {
        "url": "wss://shop.test/rt",
        "token_url": "/jackfield/token/",
        "token": None,
        "auth": "session",
        "user": "42",
    }
    assert request.session[SESSION_FIELD]
    assert "user" not in page_config(request_of(User(pk=42)), token=False)


def test_a_page_of_nobody(settings):
    request = request_of(AnonymousUser())
    assert page_config(request)["user"] is None
    settings.JACKFIELD = setting(CONNECT_URL=ENDPOINT, ANONYMOUS=True)
    assert page_config(request)["user"] == ""
    assert SESSION_FIELD not in request.session


def test_with_both_a_page_brings_its_token(settings):
    settings.JACKFIELD = setting(AUTH="both", CONNECT_URL=ENDPOINT)
    page = page_config(request_of(User(pk=42)))
    assert page["token"].count(".") == 2
    assert "auth" not in page


def test_info_has_no_token_to_be_in():
    with pytest.raises(ImproperlyConfigured, match="override token_info"):
        page_config(request_of(User(pk=42)), info={"name": "Ann"})


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost:8000", "ws://localhost:8001/connection/websocket"),
        ("127.0.0.1:8000", "ws://127.0.0.1:8001/connection/websocket"),
        ("shop.test:8000", "ws://127.0.0.1:8001/connection/websocket"),
        ("evil.test", "ws://127.0.0.1:8001/connection/websocket"),
    ],
)
def test_the_socket_of_runserver_has_the_name_of_the_page(settings, monkeypatch, host, url):
    told = "ws://127.0.0.1:8001/connection/websocket"
    settings.JACKFIELD = setting(CONNECT_URL=ENDPOINT, PUBLIC_URL=told)
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "shop.test"]
    assert page_config(request_of(User(pk=42), host))["url"] == told
    monkeypatch.setattr("django_jackfield.page.in_development", lambda: True)
    assert page_config(request_of(User(pk=42), host))["url"] == url
