"""Who of the suspected begins, life after life, without a broker."""

import pytest

from django_jackfield.worker.caution import Caution
from django_jackfield.worker.feed import Delivery

TRIES = 15
PARTITIONS = [str(n) for n in range(16)]


def delivery(attempt, name=""):
    return Delivery({"id": name}, attempt, None)


def live(window, attempt, kills):
    """One life of a worker that holds all of these, and what it got done."""
    caution = Caution(TRIES)
    for partition, names in window.items():
        for name in names:
            caution.take(delivery(attempt, name), partition)
    done = []
    while ready := caution.ready():
        (begun,) = ready
        assert not caution.ready()
        if begun.fields["id"] in kills:
            return done
        done.append(begun.fields["id"])
        assert caution.clear(begun)
    return done


@pytest.mark.parametrize("killer", PARTITIONS)
def test_all_others_are_done_before_the_one_that_kills_is_given_up(killer):
    window = {one: [f"{one}/{n}" for n in range(8)] for one in PARTITIONS}
    poison, behind = window[killer][0], window[killer][1:]
    trusted = Caution(TRIES).trusted_attempts
    # Twice in one order, forwards and backwards, is enough: the first may be the end of a pair.
    for attempt in range(trusted + 1, trusted + 4):
        done = live(window, attempt, {poison})
        window = {
            one: left
            for one, names in window.items()
            if (left := [name for name in names if name not in done])
        }
    assert window == {killer: [poison, *behind]}


def test_what_is_suspected_comes_first_and_alone():
    caution = Caution(TRIES)
    known, later, fresh, beside = delivery(9), delivery(8), delivery(1), delivery(2)
    caution.take(beside, "0")
    assert caution.ready() == [beside]
    for one in (known, later, fresh):
        caution.take(one, "1")
    caution.take(beside, "0")
    for one in (known, later):
        assert caution.ready() == [one]
        assert caution.ready() == []
        assert not caution.clear(fresh)
        assert caution.clear(one)
    assert caution.ready() == [fresh, beside]
    assert caution.ready() == []


def test_what_a_connection_delivered_is_forgotten_with_it():
    caution = Caution(TRIES)
    caution.take(delivery(9), "0")
    caution.take(delivery(9), "1")
    (begun,) = caution.ready()
    caution.forget()
    assert caution.ready() == []
    assert not caution.clear(begun)
