"""What a site writes, as type checkers see it: mypy and pyright read this, both strict.

`assert_type` fails in the checker whose view differs; nothing here ever runs.
"""

from typing import Any, assert_type

from django_jackfield import (
    AskTimeout,
    Channel,
    ClientError,
    Command,
    Context,
    Subscription,
    ahistory,
    apresence,
    ask_client,
    connected,
    history,
    on,
    presence,
    presence_stats,
    publish,
    publish_many,
    rpc,
    send,
    token,
)


class Room(Channel):
    """Hooks may be typed as narrowly as the pattern is."""

    pattern = "room:<int:pk>"

    def can_subscribe(self, user: Any, pk: int) -> bool | Subscription:
        return Subscription(info={"pk": pk}) if user else False

    @on("say")
    def say(self, ctx: Context, data: dict[str, str], pk: int) -> None:
        assert_type(ctx.user_id, str)
        assert_type(ctx.attempt, int)
        publish(f"room:{pk}", {"event": "said", "data": data["text"]})


@rpc("rooms.rename")
def rename(ctx: Context, pk: int, title: str) -> dict[str, bool]:
    if not title:
        raise ClientError(400, "a title, please")
    return {"ok": True}


@connected
def came(ctx: Context) -> None:
    send(user=ctx.user_id, data={"hello": True})


# A decorated function is what it was.
assert_type(rename(Context.__new__(Context), 7, "x"), dict[str, bool])


def asks() -> None:
    assert_type(presence("room:7"), dict[str, dict[str, Any]])
    assert_type(presence_stats("room:7"), dict[str, int])
    assert_type(history("room:7", limit=3), dict[str, Any])
    assert_type(token("42"), str)
    assert_type(publish_many([("room:7", {"n": 1})]), list[Command])
    try:
        ask_client("where", client="c1")
    except AskTimeout as error:
        assert_type(str(error), str)


async def asks_too() -> None:
    assert_type(await apresence("room:7"), dict[str, dict[str, Any]])
    assert_type(await ahistory("room:7"), dict[str, Any])
