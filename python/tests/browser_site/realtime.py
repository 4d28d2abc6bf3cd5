"""What pages of the tests may do."""

from django_jackfield import Channel, ClientError, on, publish, rpc


class RoomChannel(Channel):
    pattern = "room:<int:pk>"
    access = "authenticated"

    @on("say")
    def say(self, ctx, data, pk):
        publish(ctx.channel, {"event": "said", "data": {"text": data["text"], "by": ctx.user_id}})


class DeskChannel(Channel):
    pattern = "desk:<int:pk>"

    def can_subscribe(self, user, pk):
        return user.username == "ann"


@rpc("add")
def add(ctx, a: int, b: int):
    if a == 13:
        raise ClientError(413, "thirteen is not added")
    return a + b
