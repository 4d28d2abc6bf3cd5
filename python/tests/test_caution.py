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
            assert caution.keeps(delivery(attempt, name), partition)
    done = []
    while caution.may_draw:
        drawn = caution.draw()
        assert not caution.may_draw
        for one in drawn:
            if one.fields["id"] in kills:
                return done
            done.append(one.fields["id"])
        assert caution.clear(drawn[0])
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


def test_what_is_trusted_waits_only_behind_what_is_not():
    caution = Caution(TRIES)
    known, fresh = delivery(4), delivery(1)
    assert not caution.keeps(delivery(3), "0")
    assert caution.keeps(known, "1")
    assert not caution.keeps(fresh, "0")
    assert caution.keeps(fresh, "1")
    assert caution.draw() == [known, fresh]
    assert not caution.keeps(delivery(1), "1")
    assert not caution.clear(fresh)
    assert caution.clear(known)
    assert not caution.may_draw


def test_what_a_connection_delivered_is_forgotten_with_it():
    caution = Caution(TRIES)
    assert caution.keeps(delivery(5), "0")
    assert caution.keeps(delivery(5), "1")
    drawn = caution.draw()[0]
    caution.forget()
    assert not caution.may_draw
    assert not caution.clear(drawn)
