"""`manage.py jackfield`, all but the worker."""

import json

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from django_jackfield import conf


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


def test_a_backend_without_events_says_what_a_worker_needs(jackfield_outbox):
    with pytest.raises(CommandError, match="redis, embedded or rabbitmq"):
        call_command("jackfield", "worker")
    with pytest.raises(CommandError, match="keeps no dead letters"):
        call_command("jackfield", "dead", "list")


def test_partitions_outside_are_refused(settings):
    settings.JACKFIELD = {"default": {}}
    with pytest.raises(CommandError, match="PARTITIONS is 8"):
        call_command("jackfield", "worker", "--only-partitions", "7-9")
