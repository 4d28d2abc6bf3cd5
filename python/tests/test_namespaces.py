"""What channel classes make of the server's configuration, and what the server makes of that."""

import re
import subprocess
import tomllib
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from django_jackfield import Channel, History, connecting, on, publish, refreshing, rpc, subscribed
from django_jackfield import options as option
from django_jackfield.namespaces import access, conflicts, faults, namespaces, server_config, toml
from django_jackfield.patterns import PatternError, home, witness
from django_jackfield.project_file import differences, project_file
from django_jackfield.registry import isolated
from live_channels import BINARY, ROOT, error, needs_server, serving

KEYS = ["the-first-key-of-at-least-32-byte", "the-second-key-of-at-least-32-byte"]


@pytest.fixture
def registry():
    with isolated() as empty:
        yield empty


def declare(pattern, name="Room", **attributes):
    return type(name, (Channel,), {"pattern": pattern} | attributes)


def table(registry, name):
    return next(one for one in namespaces(registry) if one.name == name).options


def test_the_options_are_those_of_the_server():
    text = (ROOT / "docs" / "config.md").read_text()
    text = text[text.index("## `[channel]`") : text.index("## `[[channel.namespaces]]`")]
    documented = re.findall(r"^\| `without_namespace\.([\w.]+)` \| .* \| `(.*?)` \|", text, re.M)
    assert {name for name, _ in documented} == set(option.DEFAULTS)
    for name, default in documented:
        assert tomllib.loads(f"x = {default}")["x"] == option.DEFAULTS[name], name


@pytest.mark.parametrize(
    ("pattern", "namespace", "regex"),
    [
        ("room:<int:pk>", "room", "(?:[0-9]+)"),
        ("$room:<int:pk>", "room", "(?:[0-9]+)"),
        ("room:a.b", "room", r"a\.b"),
        ("news", "", "news"),
        ("news-<slug:topic>", "", "news-(?:[-a-zA-Z0-9_]+)"),
        ("room:<int:pk>:typing", "room", "(?:[0-9]+):typing"),
        ("/rooms/<int:pk>/talk", "/rooms/:pk/talk", "/rooms/(?:[0-9]+)/talk"),
    ],
)
def test_where_a_pattern_is_at_home(registry, pattern, namespace, regex):
    found = home(declare(pattern))
    assert (found.namespace, found.regex) == (namespace, regex)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("<slug:kind>:<int:pk>", "must be plain text"),
        ("ro om:<int:pk>", "letters, digits"),
        ("/rooms/r-<int:pk>", "never both"),
        ("/files/<path:name>", "one part for each value"),
        ("<path:name>", "the namespace"),
        ("$", "names no channel"),
    ],
)
def test_a_pattern_that_the_server_cannot_read(registry, pattern, says):
    with pytest.raises(PatternError, match=says):
        home(declare(pattern))


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        ("room:<int:pk>", "room:<slug:name>", "room:0"),
        ("room:<int:pk>", "room:lobby", None),
        ("room:<str:name>", "room:lobby", "room:lobby"),
        ("room:<int:pk>", "hall:<int:pk>", None),
        ("doc:<uuid:pk>", "doc:<int:pk>", None),
        ("file:<path:name>", "file:<slug:a>/<slug:b>", "file:-/-"),
        ("a:<int:x>-<int:y>", "a:<slug:z>", "a:0-0"),
    ],
)
def test_overlaps_are_found_with_a_name_that_shows_them(registry, one, other, name):
    assert witness(declare(one, "One"), declare(other, "Other")) == name


def test_a_class_says_what_its_channels_keep(registry):
    class Room(Channel):
        pattern = "room:<int:pk>"
        history = History(size=200, ttl=timedelta(days=7), positioned=True)
        presence = True
        join_leave = True
        rate = "5/s"
        options = {"history_meta_ttl": timedelta(days=90), "allow_tags_filter": True}

    assert table(registry, "room") == {
        "history_size": 200,
        "history_ttl": "7d",
        "allow_recovery": True,
        "force_recovery": True,
        "allow_positioning": True,
        "force_positioning": True,
        "allow_history_for_subscriber": True,
        "presence": True,
        "allow_presence_for_subscriber": True,
        "join_leave": True,
        "publish_rate": 5,
        "history_meta_ttl": "90d",
        "allow_tags_filter": True,
        "channel_regex": "(?:[0-9]+)",
    }
    assert Room.declared.keys() == {"history", "presence", "join_leave", "rate", "options"}


def test_a_handler_may_have_the_name_of_an_option(registry):
    class Doc(Channel):
        pattern = "doc:<int:pk>"
        binary = True

        @on("snapshot")
        def snapshot(self, ctx, data, pk): ...

    assert "snapshot" not in Doc.declared
    assert "snapshot" not in table(registry, "doc")
    assert table(registry, "doc")["publication_data_format"] == "binary"


ASKED = {
    "subscribe_proxy_enabled": True,
    "subscribe_proxy_name": "app",
    "sub_refresh_proxy_enabled": True,
    "sub_refresh_proxy_name": "app",
}


def yes(self, user, **params):
    return True


@pytest.mark.parametrize(
    ("attributes", "who", "options"),
    [
        ({}, "token", {}),
        ({"access": "token"}, "token", {}),
        (
            {"access": "public"},
            "public",
            {"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True},
        ),
        (
            {"access": "authenticated"},
            "authenticated",
            {"allow_subscribe_for_client": True},
        ),
        (
            {"can_subscribe": yes},
            "ask",
            ASKED,
        ),
        ({"access": "authenticated", "can_subscribe": yes}, "ask", ASKED),
        ({"access": "token", "can_subscribe": yes}, "token", {}),
        (
            {"permission": "chat.view_room"},
            "ask",
            ASKED,
        ),
        (
            {"can_publish": yes},
            "token",
            {"publish_proxy_enabled": True, "publish_proxy_name": "app"},
        ),
        ({"relay": True}, "token", {"allow_publish_for_subscriber": True}),
        ({"relay": ["typing"]}, "token", {"allow_publish_for_subscriber": True}),
        (
            {"say": True},
            "token",
            {"allow_publish_for_subscriber": True, "publish_to": "app"},
        ),
    ],
)
def test_rights_follow_from_the_class(registry, attributes, who, options):
    if "say" in attributes:

        class Room(Channel):
            pattern = "room:<int:pk>"

            @on("say")
            def say(self, ctx, data, pk): ...

    else:
        Room = declare("room:<int:pk>", **attributes)
    assert access(Room) == who
    assert table(registry, "room") == options | {"channel_regex": "(?:[0-9]+)"}


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"rate": "30/m"}, "rate = '30/m': the server counts"),
        ({"rate": True}, "rate = True"),
        ({"delivery": "newest"}, "delivery is 'all', 'latest'"),
        ({"delivery": "sampled:0"}, "N from 1 to 1000"),
        ({"history": 100}, "history is a History"),
        ({"presence": "yes"}, "presence is True or False"),
        ({"relay": "move"}, "relay is True or a list"),
        ({"access": "everybody"}, "access is one of 'public'"),
        ({"options": {"presense": True}}, "Did you mean 'presence'?"),
        ({"options": {"map": {"modus": 1}}}, "Did you mean 'map.mode'?"),
        ({"options": {"join_leave_limit": "many"}}, "join_leave_limit is a whole number"),
        ({"options": {"join_leave_limit": True}}, "join_leave_limit is a whole number"),
        ({"options": {"history_ttl": "soon"}}, "'soon' is no time"),
        ({"options": {"publish_to": "all"}}, "publish_to is one of 'app', 'channel'"),
        ({"options": {"allowed_delta_types": "fossil"}}, "a list of texts"),
        ({"options": ["presence"]}, "options is a dict"),
        ({"delivery": "latest", "history": History(size=1, ttl=60)}, "Set snapshot = True"),
        ({"presense": True}, "Did you mean 'presence'?"),
    ],
)
def test_what_cannot_be_told_to_the_server_is_a_fault_with_a_remedy(registry, attributes, says):
    room = declare("room:<int:pk>", **attributes)
    found = list(faults(room))
    assert len(found) == 1
    assert says in found[0]
    with pytest.raises(ImproperlyConfigured, match="Room: "):
        server_config(registry)


def test_a_good_class_has_no_faults(registry):
    good = declare("room:<int:pk>", delivery="sampled:10", options={"map.max_keys": 5}, title="x")
    assert list(faults(good)) == []


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": True}, {"ttl": 0}, {"ttl": "x"}])
def test_a_history_needs_both_its_bounds(wrong):
    with pytest.raises(ValueError, match="History"):
        History(**({"size": 10, "ttl": "1h"} | wrong))


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (timedelta(days=7), "7d"),
        (timedelta(seconds=90), "90s"),
        (0.25, "250ms"),
        ("1h30m", "90m"),
        (0, "0s"),
    ],
)
def test_times(said, text):
    assert option.duration(said) == text


def test_two_classes_of_one_namespace_want_the_same(registry):
    declare("room:<int:pk>", "Room", presence=True, history=History(size=1, ttl=60))
    declare("room:<int:pk>:log", "Log", presence=True, history=History(size=1, ttl="1m"))
    assert list(conflicts(registry)) == []
    assert table(registry, "room")["channel_regex"] == "(?:(?:[0-9]+))|(?:(?:[0-9]+):log)"
    declare("room:<int:pk>:chat", "Chat", presence=True)
    (found,) = conflicts(registry)
    assert str(found).startswith("test_namespaces.Room and test_namespaces.Chat are both in")
    assert "history_size" in str(found)
    assert "presence" not in str(found)
    with pytest.raises(ImproperlyConfigured, match="want different things of it"):
        server_config(registry)


def test_calls_and_notices_are_switched_on_where_somebody_takes_them(registry):
    assert server_config(registry) == {"app_link": {"events": ["connect", "disconnect", "message"]}}
    connecting(lambda ctx, data: None)
    refreshing(lambda ctx: None)
    rpc("rename")(lambda ctx, data: None)
    rpc("rooms:rename")(lambda ctx, data: None)
    subscribed(lambda ctx: None)
    assert server_config(registry) == {
        "client": {"proxy": {"connect": {"enabled": True}, "refresh": {"enabled": True}}},
        "rpc": {
            "without_namespace": {"proxy_enabled": True},
            "namespaces": [{"name": "rooms", "proxy_enabled": True}],
        },
        "app_link": {"events": ["connect", "disconnect", "message", "subscribe"]},
    }


def test_toml_is_read_back_as_it_was():
    document = {
        "dev": True,
        "a": {"text": 'quote " and \n line', "list": ["x", "y"], "deep": {"n": 1}},
        "channel": {"namespaces": [{"name": "a", "map": {"mode": "x"}}, {"name": "ü"}]},
        "odd key": {"ok": 1.5},
    }
    assert tomllib.loads(toml(document)) == document


REDIS = {"BACKEND": "django_jackfield.backends.redis.RedisBackend"}
RABBITMQ = {"BACKEND": "django_jackfield.backends.rabbitmq.RabbitMQBackend"}


@pytest.mark.parametrize(
    ("alias", "link", "secret"),
    [
        (
            REDIS | {"OPTIONS": {"url": "redis://127.0.0.1:6379/0"}},
            {"driver": "redis", "url": "redis://127.0.0.1:6379/0"},
            None,
        ),
        (
            REDIS | {"OPTIONS": {"url": "redis://q:6379/0", "username": "u", "password": "p w"}},
            {"driver": "redis"},
            "redis://u:p%20w@q:6379/0",
        ),
        (
            RABBITMQ | {"OPTIONS": {"url": "amqp://u:p@q:5672/%2F"}},
            {"driver": "rabbitmq"},
            "amqp://u:p@q:5672/%2F",
        ),
        ({"OPTIONS": {"port": 9402}, "PREFIX": "mine"}, {"driver": "embedded"}, None),
    ],
)
def test_the_queue_is_that_of_the_alias(registry, settings, alias, link, secret):
    settings.JACKFIELD = {"default": {"KEYS": KEYS} | alias}
    file = project_file(registry)
    told = dict(file.document["app_link"])
    assert told.pop("events") == ["connect", "disconnect", "message"]
    assert told == link | {"prefix": alias.get("PREFIX", "jackfield"), "partitions": 8}
    assert file.document.get("embedded", {}).get("port") == alias["OPTIONS"].get("port")
    assert file.secrets.get("JACKFIELD_APP_LINK_URL") == secret
    # What is secret is shown to those who ask for it only.
    shown, hidden = file.text(keys=True), file.text()
    for value in file.secrets.values():
        assert value in shown
        assert value not in hidden
    for name in file.secrets:
        assert f"#   {name}=..." in hidden
    found = tomllib.loads(shown)
    assert found["client"]["token"] == {
        "hmac_secret_key": KEYS[0],
        "hmac_previous_secret_key": KEYS[1],
    }
    assert list(differences(file, found)) == []


def test_pages_that_may_connect(registry, settings, monkeypatch):
    monkeypatch.setattr("django_jackfield.project_file.in_development", lambda: False)
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.example.org"]
    settings.ALLOWED_HOSTS = ["example.com", ".example.net", "*"]
    settings.JACKFIELD = {"default": {"KEYS": KEYS}}
    file = project_file(registry)
    assert file.document["client"]["allowed_origins"] == [
        "https://*.example.org",
        "https://example.com",
        "https://example.net",
        "https://*.example.net",
    ]
    assert "ALLOWED_HOSTS has '*'" in file.text()


@needs_server
@pytest.mark.parametrize(
    "alias",
    [
        REDIS | {"OPTIONS": {"url": "redis://127.0.0.1:6379/0"}},
        RABBITMQ | {"OPTIONS": {"url": "amqp://u:p@127.0.0.1:5672/%2F"}},
        {},
    ],
    ids=["redis", "rabbitmq", "embedded"],
)
def test_the_server_accepts_the_file(registry, settings, tmp_path, capsys, alias):
    settings.JACKFIELD = {"default": {"KEYS": KEYS} | alias}
    declare("room:<int:pk>", can_subscribe=yes, presence=True, history=History(size=9, ttl=60))
    declare("/docs/<uuid:pk>", "Doc", can_publish=yes, options={"delta_publish": False})
    declare("quotes:<slug:m>", "Quotes", access="public", delivery="latest", snapshot=True)
    declare("log:<int:pk>", "Log", history=History(size=9, ttl="1h", durable=True))
    declare("news", "News", access="authenticated", rate="3/s", relay=True)
    declare("board:<int:pk>", "Board", options={"subscription_type": "map", "map.max_keys": 5})
    rpc("a:b")(lambda ctx, data: None)
    connecting(lambda ctx, data: None)
    path = tmp_path / "jackfield.toml"
    call_command("jackfield", "config", "--write", str(path), "--keys")
    assert path.stat().st_mode & 0o077 == 0
    said = subprocess.run(
        [BINARY, "check", "-c", path], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "good" in said.stdout + said.stderr
    call_command("jackfield", "config", "--check", str(path))
    assert "is what the project needs" in capsys.readouterr().out


def test_check_says_every_difference_in_words(registry, settings, tmp_path, capsys):
    settings.JACKFIELD = {"default": {"KEYS": KEYS, "PREFIX": "mine"}}
    settings.ALLOWED_HOSTS = []
    declare("room:<int:pk>", can_subscribe=yes, history=History(size=9, ttl="1m"))
    declare("hall:<int:pk>", "Hall")
    rpc("a:b")(lambda ctx, data: None)
    path = tmp_path / "jackfield.toml"
    path.write_text(
        """
        [client]
        allowed_origins = ["http://localhost:*"]
        token.hmac_secret_key = "another"
        [app_link]
        driver = "embedded"
        events = ["connect", "disconnect", "message", "vacated"]
        [[channel.namespaces]]
        name = "room"
        channel_regex = "(?:[0-9]+)"
        subscribe_proxy_enabled = true
        subscribe_proxy_name = "app"
        sub_refresh_proxy_enabled = true
        sub_refresh_proxy_name = "app"
        allow_subscribe_for_client = true
        allow_recovery = true
        force_recovery = true
        allow_history_for_subscriber = true
        history_size = 9
        history_ttl = "60s"
        [[channel.namespaces]]
        name = "old"
        """
    )
    with pytest.raises(CommandError, match=r"7 difference\(s\)"):
        call_command("jackfield", "config", "--check", str(path))
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        [
            "namespace 'hall' is missing.",
            "namespace 'old' is in the file, but no class is in it.",
            "namespace 'room': allow_subscribe_for_client is true, and the project needs false.",
            "client.token.hmac_secret_key is not what the project has (both are secret).",
            'client.allowed_origins lacks "http://127.0.0.1:*".',
            'app_link.prefix is "jackfield", and the project needs "mine".',
            "rpc.namespaces: 'a' is missing, or its proxy_enabled is false.",
        ]
    )


@needs_server
def test_a_server_with_the_file_does_as_the_classes_say(registry, settings):
    class Room(Channel):
        pattern = "room:<int:pk>"
        history = History(size=3, ttl="1h")
        presence = True

        def can_subscribe(self, user, pk):
            return self.ctx.user_id == "1" or pk == 8

        @on("say")
        def say(self, ctx, data, pk):
            self.publish(pk, event="said", data={"by": ctx.user_id, "text": data})

    class Typing(Channel):
        pattern = "typing:<int:pk>"
        access = "authenticated"
        relay = ["typing"]

    class News(Channel):
        pattern = "news"
        access = "public"

    with serving(registry, settings) as client:
        ann, bob = client("1"), client("2")
        # Who may come in: the class is asked, or the server knows.
        assert error(ann.subscribe("room:7")) is None
        assert error(bob.subscribe("room:7")) == 103
        assert error(bob.subscribe("room:8")) is None
        assert error(bob.subscribe("room:lobby")) == 107
        assert error(bob.subscribe("hall:1")) == 102
        assert error(bob.subscribe("other")) == 107
        assert error(bob.subscribe("news")) is None
        # What is said in a room goes to its handler, and nowhere else by itself.
        assert error(ann.publish("room:7", "say", "hi")) is None
        assert ann.heard("room:7")["data"] == {"event": "said", "data": {"by": "1", "text": "hi"}}
        assert error(bob.publish("room:7", "say", "hi")) == 103
        assert error(bob.publish("news", "say", "hi")) == 103
        # What is relayed needs no worker, but a subscription.
        assert error(bob.publish("typing:1", "typing", True)) == 103
        assert error(ann.subscribe("typing:1")) is None
        assert error(bob.subscribe("typing:1")) is None
        assert error(bob.publish("typing:1", "typing", True)) is None
        assert ann.heard("typing:1")["data"] == {"event": "typing", "data": True}
        # Presence and history, of the application and of subscribers.
        assert Room.members(7).keys() == {ann.me}
        assert Room.members(pk=8)[bob.me]["user"] == "2"
        assert Room.counts(7) == {"num_clients": 1, "num_users": 1}
        assert error(ann.ask(presence={"channel": "room:7"})) is None
        assert error(bob.ask(presence={"channel": "room:7"})) == 103
        assert error(ann.ask(presence={"channel": "news"})) == 108
        for n in range(4):
            Room.publish(7, data=n, on_commit=False)
            assert ann.heard("room:7")["data"] == {"event": "message", "data": n}
        kept = Room.recent(7)
        assert [one["data"]["data"] for one in kept["publications"]] == [3, 2, 1]
        newest = Room.recent(7, limit=1)["publications"]
        assert [one["data"]["data"] for one in newest] == [3]
        since = {"offset": kept["offset"] - 2, "epoch": kept["epoch"]}
        later = Room.recent(7, since=since)["publications"]
        assert [one["data"]["data"] for one in later] == [2, 3]
        assert Room.recent(7, limit=0)["offset"] == kept["offset"]
        # Who comes back is told what it missed.
        back = client("1").subscribe("room:7", recover=True, **since)["subscribe"]
        assert back["recovered"]
        assert [one["data"]["data"] for one in back["publications"]] == [2, 3]
        publish("news", {"event": "flash", "data": 1}, on_commit=False)
        assert bob.heard("news")["data"] == {"event": "flash", "data": 1}
