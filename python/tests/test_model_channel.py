"""Channels that follow a model: with locmem, and with the real server."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Concat
from django.test import TestCase

from django_jackfield import History, ModelChannel
from django_jackfield.registry import isolated
from django_jackfield.test import RealtimeTestMixin
from live_channels import error, needs_server, serving


@pytest.fixture
def registry():
    with isolated() as empty:
        yield empty


def declare(model, fields, pattern="thing:<int:pk>", **more):
    attributes = {"pattern": pattern, "model": model, "fields": fields} | more
    return type("Things", (ModelChannel,), attributes)


def told(outbox):
    return [(one.channels, one.data["event"], one.data["data"]) for one in outbox]


class InATestCase(RealtimeTestMixin, TestCase):
    """As a project tests it."""

    def setUp(self):
        super().setUp()
        self.enterContext(isolated())
        declare(Group, ["id", "name"], "groups", channels_for=lambda self, obj: [self.name()])

    def test_a_life(self):
        with self.capturePublications():
            group = Group.objects.create(name="a")
            self.assertNotPublished("groups")
        self.assertPublished("groups", "created", data={"id": group.pk, "name": "a"}, count=1)
        group.name = "b"
        with self.capturePublications():
            group.save()
        self.assertPublished("groups", "updated", data={"id": group.pk, "name": "b"}, count=1)
        key = group.pk
        with self.capturePublications():
            group.delete()
        self.assertPublished("groups", "deleted", data={"id": key}, count=1)

    def test_what_is_rolled_back_is_not_told(self):
        with self.capturePublications(), pytest.raises(ZeroDivisionError), transaction.atomic():
            Group.objects.create(name="a")
            raise ZeroDivisionError
        self.assertNotPublished("groups")

    def test_others_are_not_told(self):
        with self.capturePublications():
            User.objects.create_user("ann")
        self.assertNotPublished()


@pytest.mark.django_db(transaction=True)
def test_the_pattern_finds_its_values_in_the_object(registry, jackfield_outbox):
    declare("auth.Group", ["name"])
    group = Group.objects.create(name="a")
    assert told(jackfield_outbox) == [
        ([f"thing:{group.pk}"], "created", {"id": group.pk, "name": "a"})
    ]


@pytest.mark.django_db(transaction=True)
def test_an_object_may_be_told_in_many_channels_or_in_none(registry, jackfield_outbox):
    def channels_for(self, obj):
        return [self.name(pk=1), self.name(pk=2)] if obj.name == "a" else []

    declare(Group, ["name"], channels_for=channels_for)
    Group.objects.create(name="a")
    Group.objects.create(name="b")
    (one,) = jackfield_outbox
    assert one.channels == ["thing:1", "thing:2"]


@pytest.mark.django_db(transaction=True)
def test_fields_of_relations_and_methods(registry, jackfield_outbox):
    declare(Permission, ["content_type", "content_type__app_label", "natural_key"])
    kind = ContentType.objects.get_for_model(Group)
    one = Permission.objects.create(content_type=kind, codename="x", name="y")
    assert told(jackfield_outbox)[0][2] == {
        "id": one.pk,
        "content_type": kind.pk,
        "content_type__app_label": "auth",
        "natural_key": ["x", "auth", "group"],
    }


@pytest.mark.django_db(transaction=True)
def test_an_update_of_other_fields_is_not_told(registry, jackfield_outbox):
    declare(User, ["username"], events=["updated"])
    user = User.objects.create_user("ann")
    assert jackfield_outbox == []
    user.save(update_fields=["last_login"])
    assert jackfield_outbox == []
    user.save(update_fields=["last_login", "username"])
    assert told(jackfield_outbox) == [
        ([f"thing:{user.pk}"], "updated", {"id": user.pk, "username": "ann"})
    ]


@pytest.mark.django_db(transaction=True)
def test_a_field_that_is_no_column_may_follow_from_any(registry, jackfield_outbox):
    declare(User, ["get_full_name"], events=["updated"])
    user = User.objects.create_user("ann", first_name="Ann")
    user.save(update_fields=["first_name"])
    assert told(jackfield_outbox)[0][2] == {"id": user.pk, "get_full_name": "Ann"}


@pytest.mark.django_db(transaction=True)
def test_names_of_events_and_a_serialise_of_ones_own(registry, jackfield_outbox):
    declare(
        Group,
        (),
        events={"created": "group.new"},
        serialise=lambda self, obj, event: [event, obj.name],
    )
    group = Group.objects.create(name="a")
    group.save()
    assert told(jackfield_outbox) == [([f"thing:{group.pk}"], "group.new", ["created", "a"])]


@pytest.mark.django_db(transaction=True)
def test_a_proxy_is_its_model(registry, jackfield_outbox):
    declare(User, ["username"])

    class Person(User):
        class Meta:
            proxy = True
            app_label = "auth"

    Person.objects.create(username="ann")
    assert told(jackfield_outbox)[0][1] == "created"


@pytest.mark.django_db(transaction=True)
def test_fixtures_are_not_told(registry, jackfield_outbox):
    declare(Group, ["name"])
    text = serializers.serialize("json", [Group(pk=5, name="a")])
    for loaded in serializers.deserialize("json", text):
        loaded.save()
    assert Group.objects.filter(pk=5).exists()
    assert jackfield_outbox == []


@pytest.mark.django_db(transaction=True)
def test_what_sends_no_signal_is_told_by_hand(registry, jackfield_outbox):
    Things = declare(Group, ["name"])
    Group.objects.bulk_create(Group(name=f"g{n}") for n in range(1100))
    Group.objects.update(name=Concat("name", Value("x")))
    assert jackfield_outbox == []
    with transaction.atomic():
        sent = Things.publish_objects(Group.objects.order_by("pk"), "created")
        assert jackfield_outbox == []
    assert len(jackfield_outbox) == len(sent) == 1100
    assert {event for _, event, _ in told(jackfield_outbox)} == {"created"}
    async_to_sync(Things.apublish_objects)(list(Group.objects.all()[:2]))
    assert told(jackfield_outbox)[-1][1] == "updated"
    with pytest.raises(ValueError, match="event is one of created, updated, deleted"):
        Things.publish_objects([], "saved")


@pytest.mark.django_db(transaction=True)
def test_objects_are_values_of_their_own_where_only_the_latest_counts(registry, jackfield_outbox):
    declare(Group, ["name"], "groups", channels_for=lambda self, obj: "groups", delivery="latest")
    group = Group.objects.create(name="a")
    assert jackfield_outbox[0].fields["key"] == str(group.pk)


@pytest.mark.django_db(transaction=True)
def test_a_pattern_that_no_attribute_fits_says_so(registry):
    declare(Group, ["name"], "region:<slug:region>")
    with pytest.raises(NotImplementedError, match=r"channels_for\(self, obj\): a Group has no 're"):
        Group.objects.create(name="a")


@needs_server
@pytest.mark.django_db(transaction=True)
def test_a_page_sees_what_is_committed(registry, settings):
    Board = declare(
        Group,
        ["name"],
        "groups:<slug:first>",
        channels_for=lambda self, obj: self.name(obj.name[0]),
        history=History(size=10, ttl=60),
        access="authenticated",
    )
    with serving(registry, settings) as client:
        page = client("1")
        assert error(page.subscribe("groups:a")) is None
        with transaction.atomic():
            group = Group.objects.create(name="ab")
            Group.objects.create(name="ba")
            group.name = "ac"
            group.save()
        key = group.pk
        group.delete()
        heard = [page.heard("groups:a")["data"] for _ in range(3)]
        assert heard == [
            {"event": "created", "data": {"id": key, "name": "ab"}},
            {"event": "updated", "data": {"id": key, "name": "ac"}},
            {"event": "deleted", "data": {"id": key}},
        ]
        kept = Board.recent("a")["publications"]
        assert [one["data"]["event"] for one in kept] == ["deleted", "updated", "created"]
