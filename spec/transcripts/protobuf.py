"""Writes the Protobuf of the transcripts with Google's implementation and the schema of an SDK, or checks what stands there.

The messages of the sessions are held against the same schema. Fields that it does not have (yet) are added to it, and two of our own, which have numbers above 100.

    pip install centrifuge-python
    python spec/transcripts/protobuf.py            # exits with 1 if a case differs
    python spec/transcripts/protobuf.py --write
"""

import json
import re
import sys
from pathlib import Path

from centrifuge.protocol import client_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

HERE = Path(__file__).parent
VERSION = "jackfield"
ADDED = {
    "PublishRequest": {"type": (3, "int32"), "key": (4, "string"), "removed": (5, "bool")},
    "Publication": {
        "key": (11, "string"),
        "removed": (12, "bool"),
        "score": (13, "sint64"),
        "epoch": (14, "string"),
        "version": (16, "uint64"),
    },
    "StreamPosition": {"time": (101, "uint64")},
    "SubRefreshRequest": {"type": (3, "int32")},
    "SubscribeRequest": {
        "type": (15, "int32"),
        "phase": (16, "int32"),
        "cursor": (17, "string"),
        "limit": (18, "int32"),
        "asc": (19, "bool"),
        "delivery": (101, "string"),
    },
    "SubscribeResult": {
        "type": (15, "int32"),
        "phase": (16, "int32"),
        "cursor": (17, "string"),
        "state": (18, "Publication"),
    },
}


class Schema:
    """The messages by name."""

    def __init__(self):
        self.file = descriptor_pb2.FileDescriptorProto()
        client_pb2.DESCRIPTOR.CopyToProto(self.file)
        for message in self.file.message_type:
            known = {field.name for field in message.field}
            for name, (number, kind) in ADDED.get(message.name, {}).items():
                if name not in known:
                    self.add(message, name, number, kind)
        self.pool = descriptor_pool.DescriptorPool()
        self.pool.Add(self.file)

    def add(self, message, name, number, kind):
        field = message.field.add(name=name, number=number)
        field.label = field.LABEL_OPTIONAL
        if kind == "Publication":
            field.label, field.type = field.LABEL_REPEATED, field.TYPE_MESSAGE
            field.type_name = f".{self.file.package}.{kind}"
        else:
            field.type = getattr(field, f"TYPE_{kind.upper()}")

    def __getattr__(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"{self.file.package}.{name}"))


schema = Schema()


def behind_its_length(message):
    body = message.SerializeToString(deterministic=True)
    length, prefix = len(body), b""
    while length > 127:
        prefix += bytes([length & 127 | 128])
        length >>= 7
    return prefix + bytes([length]) + body


def payload(value):
    return bytes(value["binary"]) if "binary" in value else value.get("json", value.get("text", "")).encode()


def fill_info(info, said):
    info.user, info.client = said.get("user", ""), said["client"]
    info.conn_info, info.chan_info = said.get("conn_info", "").encode(), said.get("chan_info", "").encode()


def fill_publication(publication, said, patch=None):
    publication.data = payload(said["data"]) if patch is None else patch.encode()
    publication.delta = patch is not None
    if "info" in said:
        fill_info(publication.info, said["info"])
    publication.offset, publication.time = said.get("offset", 0), said.get("time", 0)
    publication.tags.update(said.get("tags", {}))
    for name in ("key", "removed", "score", "epoch", "version"):
        if name in said:
            setattr(publication, name, said[name])


def fill_ttl(result, said):
    if "ttl" in said:
        result.expires, result.ttl = True, min(said["ttl"], 2**32 - 1)


def fill_subscribed(result, said):
    fill_ttl(result, said)
    for name in ("epoch", "offset", "recoverable", "positioned", "recovered", "was_recovering", "delta", "phase", "cursor"):
        if name in said:
            setattr(result, name, said[name])
    result.type = said.get("kind", 0)
    patches = said.get("patches", []) if said.get("delta") else []
    for nth, one in enumerate(said.get("publications", [])):
        fill_publication(result.publications.add(), one, patches[nth] if nth < len(patches) else None)
    for one in said.get("state", []):
        fill_publication(result.state.add(), one)
    if "data" in said:
        result.data = payload(said["data"])


def fill_welcome(result, said):
    result.client, result.version = said["client"], VERSION
    fill_ttl(result, said)
    for channel, one in said.get("subs", {}).items():
        fill_subscribed(result.subs[channel], one)
        result.subs[channel].SetInParent()
    for name, number in (("ping", "ping_seconds"), ("pong",) * 2, ("session",) * 2, ("node",) * 2, ("time",) * 2):
        if number in said:
            setattr(result, name, said[number])
    if "data" in said:
        result.data = payload(said["data"])


def reply(said):
    result = schema.Reply(id=said["id"])
    ((name, body),) = ((name, body) for name, body in said.items() if name != "id")
    if name == "send":
        return None  # Not in the schema: our own word.
    message = getattr(result, name)
    message.SetInParent()
    if name in ("connect", "refresh"):
        fill_welcome(message, body)
    elif name == "subscribe":
        fill_subscribed(message, body)
    elif name == "sub_refresh":
        fill_ttl(message, body)
    elif name == "rpc":
        message.data = payload(body)
    elif name == "presence":
        for info in body:
            fill_info(message.presence[info["client"]], info)
    elif name == "history":
        message.epoch, message.offset = body.get("epoch", ""), body.get("offset", 0)
        for one in body.get("publications", []):
            fill_publication(message.publications.add(), one)
    else:
        for field, value in body.items():
            setattr(message, field, value)
    return result


def push(said):
    result = schema.Push(channel=said.get("channel", ""))
    if "publication" in said:
        fill_publication(result.pub, said["publication"])
    elif "delta" in said:
        fill_publication(result.pub, said["delta"], said["delta"].get("patch"))
    elif "refresh" in said:
        fill_ttl(result.refresh, said["refresh"])
        result.refresh.SetInParent()
    elif "subscribe" in said:
        for name in ("recoverable", "epoch", "offset", "positioned"):
            if name in said["subscribe"]:
                setattr(result.subscribe, name, said["subscribe"][name])
        if "data" in said["subscribe"]:
            result.subscribe.data = payload(said["subscribe"]["data"])
        result.subscribe.SetInParent()
    elif "unsubscribe" in said:
        result.unsubscribe.code, result.unsubscribe.reason = said["unsubscribe"]["code"], said["unsubscribe"]["reason"]
    elif "message" in said:
        result.message.data = payload(said["message"])
        result.message.SetInParent()
    elif "connect" in said:
        fill_welcome(result.connect, said["connect"])
    elif "disconnect" in said:
        result.disconnect.code, result.disconnect.reason = said["disconnect"]["code"], said["disconnect"]["reason"]
    else:
        name = "join" if "join" in said else "leave"
        fill_info(getattr(result, name).info, said[name])
    return schema.Reply(push=result)


def commands(said):
    return b"".join(behind_its_length(json_format.ParseDict(one, schema.Command())) for one in said)


def expected(case):
    """The bytes of a case in hex; None where no other implementation knows them."""
    if "reply" in case:
        message = reply(case["reply"])
        return message and behind_its_length(message).hex()
    if "push" in case:
        return behind_its_length(push(case["push"])).hex()
    if "says" not in case:
        return None
    if "of" not in case:
        return commands(case["says"]).hex()
    kind = {"connect": schema.ConnectRequest, "emulation": schema.EmulationRequest}[case["of"]]
    return json_format.ParseDict(case["says"], kind()).SerializeToString(deterministic=True).hex()


KINDS = {"uint32": 13, "int32": 5, "int64": 3, "uint64": 4, "sint64": 18, "bool": 8, "string": 9, "data": 12}
RENAMED = {"Join": ("Join", "Leave"), "Empty": ()}


def faults_of_messages():
    """What `session-messages.json` says otherwise than the schema."""
    for name, fields in json.loads((HERE / "session-messages.json").read_text()).items():
        for known in RENAMED.get(name, (name,)):
            descriptor = getattr(schema, known).DESCRIPTOR
            for field, number, kind, _ in fields:
                place = descriptor.fields_by_name.get(field)
                if place is None:
                    # Our own numbers are above 100.
                    if number <= 100:
                        yield f"{known}.{field} is not in the schema"
                    continue
                inside = kind.strip("[]{}")
                of = place.message_type.fields_by_name["value"] if kind.startswith("{") else place
                is_kind = of.type == KINDS[inside] if inside in KINDS else of.type == of.TYPE_MESSAGE
                if place.number != number or not is_kind or kind.startswith(("[", "{")) != place.is_repeated:
                    yield f"{known}.{field} is number {place.number}, and of another type than {kind} or in another number"


def main():
    write, wrong = "--write" in sys.argv, 0
    for fault in faults_of_messages():
        wrong += 1
        print(f"session-messages.json: {fault}")
    for name in ("commands", "replies", "pushes", "requests"):
        path = HERE / ("centrifugo-protobuf-commands.json" if name == "commands" else f"centrifugo-{name}.json")
        lines = path.read_text().split("\n")
        for at, line in enumerate(lines):
            if not line.startswith("  {"):
                continue
            case = json.loads(line.rstrip(","))
            due = expected(case)
            if due is None or case.get("hex") == due:
                continue
            wrong += 1
            print(f"{path.name}: {case['name']}: {case.get('hex')} should be {due}")
            comma = "," if line.endswith(",") else ""
            bare = re.sub(r', "hex": "[0-9a-f]*"', "", line.rstrip(","))
            lines[at] = f'{bare[:-1]}, "hex": "{due}"}}{comma}'
        if write:
            path.write_text("\n".join(lines))
    sys.exit(bool(wrong and not write))


if __name__ == "__main__":
    main()
