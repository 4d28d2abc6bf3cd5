"""Writes the Protobuf of the transcripts with Google's implementation and the schema of an SDK, or checks what stands there.

    pip install centrifuge-python
    python spec/transcripts/protobuf.py            # exits with 1 if a case differs
    python spec/transcripts/protobuf.py --write
"""

import json
import re
import sys
from pathlib import Path

from centrifuge.protocol import client_pb2 as schema
from google.protobuf import json_format

HERE = Path(__file__).parent
VERSION = "jackfield"


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


def fill_publication(publication, said):
    publication.data = payload(said["data"])
    if "info" in said:
        fill_info(publication.info, said["info"])
    publication.offset, publication.time = said.get("offset", 0), said.get("time", 0)
    publication.tags.update(said.get("tags", {}))


def fill_subscribed(result, said):
    for name in ("epoch", "offset", "recoverable", "positioned", "recovered", "was_recovering"):
        if name in said:
            setattr(result, name, said[name])
    for one in said.get("publications", []):
        fill_publication(result.publications.add(), one)
    if "data" in said:
        result.data = payload(said["data"])


def fill_welcome(result, said):
    result.client, result.version = said["client"], VERSION
    if "ttl" in said:
        result.expires, result.ttl = True, min(said["ttl"], 2**32 - 1)
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


def main():
    write, wrong = "--write" in sys.argv, 0
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
