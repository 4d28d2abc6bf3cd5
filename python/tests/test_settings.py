"""The JACKFIELD setting: defaults, faults with a remedy, system checks."""

import threading

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import RequestFactory, override_settings

from django_jackfield import broker, brokers, conf
from django_jackfield.aliases import InvalidAlias
from django_jackfield.checks import setting as checks

LOCMEM = "django_jackfield.backends.locmem.LocMemBackend"


def found(check, setting):
    with override_settings(JACKFIELD=setting):
        return [(one.id, one.msg) for one in check(None)]


@pytest.fixture
def production(monkeypatch):
    monkeypatch.setattr(conf, "in_development", lambda: False)


EVERYWHERE = "ws://0.0.0.0:8001/connection/websocket"


@pytest.mark.parametrize(
    ("told", "host", "secure", "url"),
    [
        (EVERYWHERE, "192.0.2.7:8000", False, "ws://192.0.2.7:8001/connection/websocket"),
        (EVERYWHERE, "laptop.local", False, "ws://laptop.local:8001/connection/websocket"),
        (EVERYWHERE, "[2001:db8::7]:8000", False, "ws://[2001:db8::7]:8001/connection/websocket"),
        (EVERYWHERE, "refused.example:8000", False, "ws://127.0.0.1:8001/connection/websocket"),
        (EVERYWHERE, "192.0.2.7", True, "ws://127.0.0.1:8001/connection/websocket"),
        ("ws://[::]:8001/x", "[2001:db8::7]:8000", False, "ws://[2001:db8::7]:8001/x"),
        ("ws://[::]:8001/x", "refused.example", False, "ws://[::1]:8001/x"),
        ("ws://192.0.2.9:8001/x", "192.0.2.7:8000", False, "ws://192.0.2.9:8001/x"),
        ("", "192.0.2.7:8000", False, "ws://127.0.0.1:8400/connection/websocket"),
    ],
)
def test_a_server_on_every_address_is_told_by_the_host_of_the_page(
    settings, monkeypatch, told, host, secure, url
):
    settings.ALLOWED_HOSTS = ["192.0.2.7", "laptop.local", "[2001:db8::7]"]
    monkeypatch.setenv(conf.URL_VARIABLE, told)
    request = RequestFactory().get("/", headers={"host": host}, secure=secure)
    assert brokers["default"].config.url_for(request) == url


def test_the_host_of_the_page_is_nothing_to_a_server_of_production(
    settings, monkeypatch, production
):
    settings.JACKFIELD = {"default": {"PUBLIC_URL": "wss://example.com/x", "KEYS": ["k" * 32]}}
    monkeypatch.setenv(conf.URL_VARIABLE, EVERYWHERE)
    assert brokers["default"].config.url_for(RequestFactory().get("/")) == "wss://example.com/x"


def test_zero_settings_work_in_development():
    assert not hasattr(django_settings, "JACKFIELD")
    config = brokers["default"].config
    assert config.backend.endswith("EmbeddedBackend")
    assert config.public_url == "ws://127.0.0.1:8400/connection/websocket"
    assert config.signing_key == conf.derived_key("default") != django_settings.SECRET_KEY
    assert checks.check_settings(None) == []


def test_without_keys_production_does_not_sign(production, settings):
    settings.JACKFIELD = {"default": {}}
    with pytest.raises(ImproperlyConfigured, match="jackfield keygen"):
        _ = brokers["default"].config.signing_key


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"BACKND": LOCMEM}, "unknown key 'BACKND'. Did you mean 'BACKEND'?"),
        ({"timeout": 1}, "Did you mean 'TIMEOUT'?"),
        ({"OPTIONS": {"prot": 1}}, "unknown option 'prot'. Did you mean 'port'?"),
        ({"BACKEND": LOCMEM, "OPTIONS": {"url": ""}}, "unknown option 'url'. Known: none."),
        ({"PARTITIONS": 0}, "PARTITIONS must be a number from 1 to 1024, not 0"),
        ({"PREFIX": "{a}"}, "PREFIX must be a name without braces"),
        ({"KEYS": "secret"}, "KEYS must be a list"),
        ({"BREAKER": 3}, "BREAKER must be (failures, seconds)"),
        ({"BACKEND": "no.such.Backend"}, "cannot import the backend"),
        ({"BACKEND": "django.http.HttpRequest"}, "is no BaseBackend"),
        ({"BACKEND": "django_jackfield.backends.redis.RedisBackend"}, "set 'url' to redis://"),
        ({"BACKEND": "django_jackfield.backends.rabbitmq.RabbitMQBackend"}, "set 'url' to amqp://"),
    ],
)
def test_faults_name_the_remedy(settings, raw, said):
    settings.JACKFIELD = {"default": raw}
    with pytest.raises(ImproperlyConfigured) as caught:
        _ = brokers["default"]
    assert said in str(caught.value)


def test_checks_of_keys_and_options():
    assert [id for id, _ in found(checks.check_settings, {"default": {"BACKND": 1}})] == [
        "jackfield.E001"
    ]
    assert [
        id for id, _ in found(checks.check_settings, {"default": {"OPTIONS": {"hst": "x"}}})
    ] == ["jackfield.E001"]
    assert [id for id, _ in found(checks.check_settings, {"default": {"BACKEND": "x.Y"}})] == [
        "jackfield.E002"
    ]
    assert [id for id, _ in found(checks.check_settings, {"default": {"TIMEOUT": -1}})] == [
        "jackfield.E006"
    ]
    assert [id for id, _ in found(checks.check_settings, ["default"])] == ["jackfield.E006"]


def test_check_of_the_signing_keys(production):
    missing = found(checks.check_settings, {"default": {"BACKEND": LOCMEM}})
    assert [id for id, _ in missing] == ["jackfield.E003"]
    shared = {"default": {"BACKEND": LOCMEM, "KEYS": [django_settings.SECRET_KEY]}}
    assert [id for id, _ in found(checks.check_settings, shared)] == ["jackfield.E003"]
    good = {"default": {"BACKEND": LOCMEM, "KEYS": [lambda: "secret"]}}
    assert found(checks.check_settings, good) == []


def test_check_of_deployment():
    ids = [id for id, _ in found(checks.check_deployment, {"default": {}})]
    assert ids == ["jackfield.W001"]
    real = {
        "default": {
            "BACKEND": "django_jackfield.backends.redis.RedisBackend",
            "OPTIONS": {"url": "redis://127.0.0.1/0"},
        }
    }
    assert found(checks.check_deployment, real) == []


def test_check_of_the_token_view():
    assert checks.check_urls(None) == []
    with override_settings(ROOT_URLCONF="django.contrib.auth.urls"):
        assert [one.id for one in checks.check_urls(None)] == ["jackfield.W002"]


def test_the_checks_are_registered(settings, capsys):
    settings.JACKFIELD = {"default": {"BACKEND": LOCMEM}}
    call_command("check", "--tag", "jackfield", "--deploy")
    assert "jackfield.W001" in capsys.readouterr().err


def test_secrets_may_be_callables(settings):
    settings.JACKFIELD = {
        "default": {
            "BACKEND": "django_jackfield.backends.redis.RedisBackend",
            "OPTIONS": {"url": lambda: "redis://127.0.0.1:1/0"},
            "KEYS": [lambda: "key"],
        }
    }
    assert broker.url == "redis://127.0.0.1:1/0"
    assert broker.config.signing_key == "key"


def test_an_unknown_alias_is_an_error():
    with pytest.raises(InvalidAlias, match="elsewhere"):
        _ = brokers["elsewhere"]


def test_threads_have_objects_of_their_own_and_one_breaker(settings):
    settings.JACKFIELD = {"default": {"BACKEND": LOCMEM}}
    other = []
    thread = threading.Thread(target=lambda: other.append(brokers["default"]))
    thread.start()
    thread.join()
    assert other[0] is not brokers["default"]
    assert other[0].breaker is brokers["default"].breaker
