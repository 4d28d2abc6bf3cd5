"""`manage.py jackfield`, all but the worker."""

import json
import time
import uuid
import zlib

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from django_jackfield import conf
from django_jackfield.command import new_id
from django_jackfield.dead import born


def said(capsys, *arguments):
    call_command("jackfield", *arguments)
    return capsys.readouterr().out


def test_key_prints_the_line_for_the_server(capsys):
    out = said(capsys, "key")
    assert f'[client.token]\nhmac_secret_key = "{conf.derived_key("default")}"' in out


def test_keygen_makes_a_new_key_each_time(capsys):
    assert said(capsys, "keygen") != said(capsys, "keygen")


def test_publish(capsys, jackfield_outbox):
    id = said(capsys, "publish", "room:1", '{"n": 1}').strip()
    assert [(one.id, one.data) for one in jackfield_outbox] == [(id, {"n": 1})]
    with pytest.raises(CommandError, match="needs its quotes"):
        call_command("jackfield", "publish", "room:1", "hi")


@pytest.mark.django_db
def test_token_by_key_or_name(capsys):
    user = User.objects.create_user("ann")
    assert said(capsys, "token", "ann").count(".") == 2
    assert said(capsys, "token", str(user.pk)).count(".") == 2
    with pytest.raises(CommandError, match="nobody"):
        call_command("jackfield", "token", "nobody")


def test_dead_list(capsys, queue, use):
    from workers import server_side

    use(queue)
    side = server_side(queue)
    if queue.kind == "redis":
        side.client.xadd(f"{{{queue.prefix}:3}}:dead", {"reason": "bad", "id": "one"})
    else:
        import pika

        properties = pika.BasicProperties(message_id="one", headers={"reason": "bad"})
        side.channel.basic_publish(side.topology.dead, "", b"x", properties)
    for _ in range(2):
        letters = [json.loads(line) for line in said(capsys, "dead", "list").splitlines()]
        assert [(one["id"], one["reason"]) for one in letters] == [("one", "bad")]
    side.close()


def test_dead_letters_are_put_back_or_thrown_away(capsys, queue, use):
    from workers import BY_NAME, server_side

    use(queue)
    side = server_side(queue)
    command = {"id": "old", "method": "publish", "payload": '{"channel":"room:1","data":1}'}
    event = BY_NAME["disconnect notice"]
    bury(queue, side, "no such channel", command)
    bury(queue, side, "rubbish", command | {"id": "junk"})
    bury(queue, side, "no such channel", command | {"id": "young"}, young=True)
    bury(queue, side, "ValueError", event)
    with pytest.raises(CommandError, match="which ones"):
        call_command("jackfield", "dead", "replay")

    def done(*arguments):
        lines = said(capsys, "dead", *arguments).splitlines()
        return sorted((one["id"], one["done"].split(":")[0]) for one in map(json.loads, lines))

    assert done("drop", "--reason", "rubbish") == [("junk", "dropped")]
    assert done("replay", "--id", "nobody") == []
    assert done("replay", "--all") == sorted(
        [("old", "replayed"), ("young", "kept"), (event["id"], "replayed")]
    )
    left = [json.loads(line)["id"] for line in said(capsys, "dead", "list").splitlines()]
    assert left == ["young"]
    assert done("replay", "--all", "--new-id", "--limit", "1") == [("young", "replayed")]
    assert said(capsys, "dead", "list") == ""
    back = commands(queue, side)
    assert [one["payload"] for one in back] == [command["payload"]] * 2
    assert back[0]["id"] == "old"
    assert back[1]["id"] not in ("old", "young")
    side.close()


def test_an_id_tells_when_it_was_made():
    before = time.time()
    assert before - 1 <= born(new_id()) <= time.time() + 1
    assert born("old") == born(str(uuid.uuid4())) == 0


OLD_SECONDS = 1_700_000_000


def bury(queue, side, reason, fields, young=False):
    """Writes a letter as the server and the worker do."""
    name, at = ("dead:app" if "type" in fields else "dead"), int(time.time())
    if queue.kind == "redis":
        keys = [f"{{{queue.prefix}:{p}}}:{name}" for p in range(8)]
        key = keys[zlib.crc32(fields.get("client", "room:1").encode()) % 8]
        entry = f"{at * 1000}-*" if young else f"{OLD_SECONDS * 1000}-*"
        side.client.xadd(key, {"reason": reason} | fields, id=entry)
        return
    import pika

    own = (
        {}
        if name == "dead"
        else {k: v for k, v in fields.items() if k not in ("id", "type", "data")}
    )
    properties = pika.BasicProperties(
        message_id=fields["id"],
        type=fields.get("type") or fields["method"],
        headers={"reason": reason} | own,
        timestamp=at if young else OLD_SECONDS,
    )
    body = fields.get("payload") or fields.get("data", "")
    side.channel.basic_publish(side.topology.dead, "", body.encode(), properties)


def commands(queue, side):
    """The commands that wait in the partition of room:1."""
    partition = zlib.crc32(b"room:1") % 8
    if queue.kind == "redis":
        entries = side.client.xrange(f"{{{queue.prefix}:{partition}}}:commands")
        return [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in entries]
    name = f"{side.topology.commands}.{partition}"
    found = []
    for method, properties, body in side.channel.consume(name, inactivity_timeout=2):
        if method is None:
            break
        side.channel.basic_ack(method.delivery_tag)
        found.append({"id": properties.message_id, "payload": body.decode()})
    side.channel.cancel()
    return found


def test_a_backend_without_events_says_what_a_worker_needs(jackfield_outbox):
    with pytest.raises(CommandError, match="redis, embedded or rabbitmq"):
        call_command("jackfield", "worker")
    with pytest.raises(CommandError, match="keeps no dead letters"):
        call_command("jackfield", "dead", "list")


def test_partitions_outside_are_refused(settings):
    settings.JACKFIELD = {"default": {}}
    with pytest.raises(CommandError, match="PARTITIONS is 8"):
        call_command("jackfield", "worker", "--only-partitions", "7-9")
