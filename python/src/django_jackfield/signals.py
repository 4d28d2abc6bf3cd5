"""Signals by which a project hears of its publications and of its clients."""

from django.dispatch import Signal

publication_sent = Signal()
"""Arguments: `commands`, `via`. The queue has accepted them."""

publication_failed = Signal()
"""Arguments: `commands`, `via`, `error`, `kept`. They were meant to be sent on commit and were
not; `kept` of them wait in the outbox, and a relay sends them later."""

client_connected = Signal()
"""Arguments: `ctx`. Sent by the worker for each connect notice."""

client_disconnected = Signal()
"""Arguments: `ctx`. Sent by the worker for each disconnect notice."""

node_lost = Signal()
"""Arguments: `ctx`. A node of the server is gone without a word: `ctx.node` is its id.
Its connections are over, and nobody tells of them one by one."""

client_subscribed = Signal()
"""Arguments: `ctx`. A client is in `ctx.channel`."""

client_unsubscribed = Signal()
"""Arguments: `ctx`. A client left `ctx.channel`; `ctx.data` has code and reason."""

channel_occupied = Signal()
"""Arguments: `ctx`. `ctx.channel` has its first subscriber."""

channel_vacated = Signal()
"""Arguments: `ctx`. `ctx.channel` has lost its last subscriber."""

message_undelivered = Signal()
"""Arguments: `ctx`. `ctx.data` was for `ctx.user_id`, by command `ctx.event`, and found nobody."""

notices_lost = Signal()
"""Arguments: `ctx`. The server could not tell of `ctx.data["count"]` things."""

message_dead = Signal()
"""Arguments: `event` (None if undecodable), `reason`, `error`. It went to the dead letters."""

handler_started = Signal()
"""Arguments: `ctx`, `name` (of the message or the method), `handler`. Its code runs next, in
this thread. A receiver that raises is logged and changes nothing."""

handler_finished = Signal()
"""Arguments: `ctx`, `name`, `handler`, `seconds`. It returned."""

handler_failed = Signal()
"""Arguments: `ctx`, `name`, `handler`, `seconds`, `error`. It raised: a refusal, such as
ClientError or PermissionDenied, or a fault."""

handler_stuck = Signal()
"""Arguments: `event`, `seconds`, `stack`. It runs for longer than it may, and still does."""
