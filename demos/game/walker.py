"""A whole bot in thirty lines of the standard library: it walks from spark to spark.

python game/walker.py [port]
"""

import socket
import struct
import sys
import time

ME = b"walker"
line = socket.create_connection(("127.0.0.1", int((sys.argv[1:] or [8404])[0])))
said, mine, sparks = 0.0, 0, {}
while True:
    if mine == 0 and time.time() - said > 2:  # kind 2 is a name; with the number 0 it is my own
        said = time.time()
        line.sendall(struct.pack(">BB10s", 2, 0, ME))
    frame = line.recv(12, socket.MSG_WAITALL)
    if len(frame) < 12:
        break
    kind, number, x, y, _, state = struct.unpack(">BBHHBB4x", frame)
    if kind == 2 and number and frame[2:].startswith(ME):
        mine = number
    elif kind == 4:  # a spark; with the bit 32 it was there
        sparks[number] = None if state & 32 else (x, y)
    elif kind == 3 and number == mine and time.time() - said > 0.1:
        said = time.time()
        there = [(place[0] - x, place[1] - y) for place in sparks.values() if place]
        dx, dy = min(there, key=lambda way: way[0] ** 2 + way[1] ** 2, default=(0, 0))
        far = max(abs(dx), abs(dy), 1)  # kind 1 is a wish: where to, -127 to 127 each
        line.sendall(struct.pack(">BbbH7x", 1, 127 * dx // far, 127 * dy // far, 0))
