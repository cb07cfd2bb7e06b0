"""Delay and loss where the kernel has no netem: holds the verdicts of netfilter queues.

usage: delay.py SITE:MILLISECONDS:LOSS_PERCENT ...

A line of standard input of the same form changes a site that was named; it is printed once that is done.

Packets from site N wait in queue N, packets to it in queue 100+N, each for the site's delay and in order.
Only metadata is copied from the kernel; a verdict lets a packet go, or drops it. Node has no netlink
sockets, hence Python.
"""
import os
import random
import select
import socket
import struct
import sys
import time
from collections import deque

NETLINK_NETFILTER, SUBSYSTEM_QUEUE = 12, 3
PACKET, VERDICT, CONFIG, VERDICT_BATCH = 0, 1, 2, 3
DROP, ACCEPT = 0, 1
COPY_META, QUEUE_LENGTH = 1, 20000

sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
sock.bind((0, 0))
sock.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
sock.setsockopt(270, 5, 1)  # SOL_NETLINK, NETLINK_NO_ENOBUFS


def attribute(kind, body):
    return struct.pack("HH", 4 + len(body), kind) + body + b"\0" * (-len(body) % 4)


def tell(message, queue, body):
    payload = struct.pack("=BBH", 0, 0, socket.htons(queue)) + body
    head = struct.pack("=IHHII", 16 + len(payload), SUBSYSTEM_QUEUE << 8 | message, 1, 0, 0)
    sock.send(head + payload)


def verdict(message, queue, answer, packet_id):
    tell(message, queue, attribute(2, struct.pack("!II", answer, packet_id)))


def packet_ids(data):
    """Queue and packet id of each packet message in what the socket gave."""
    offset = 0
    while offset + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if kind == SUBSYSTEM_QUEUE << 8 | PACKET:
            queue = socket.ntohs(struct.unpack_from("=H", data, offset + 18)[0])
            place = offset + 20
            while place < offset + length:
                size, name = struct.unpack_from("HH", data, place)
                if name & 0x7FFF == 1:
                    yield queue, struct.unpack_from("!I", data, place + 4)[0]
                    break
                place += (size + 3) & ~3
        offset += (length + 3) & ~3


settings, waiting = {}, {}


def change(text):
    """Settings of both queues of a site, which it returns."""
    site, delay_ms, loss_percent = text.split(":")
    queues = (int(site), 100 + int(site))
    for number in queues:
        settings[number] = (float(delay_ms) / 1000, float(loss_percent) / 100)
    return queues


for argument in sys.argv[1:]:
    for number in change(argument):
        waiting[number] = deque()
        tell(CONFIG, number, attribute(1, struct.pack("!BBH", 1, 0, 0)))  # bind
        params = attribute(2, struct.pack("!IB", 0, COPY_META))
        tell(CONFIG, number, params + attribute(3, struct.pack("!I", QUEUE_LENGTH)))
print("ready", flush=True)
listened = [sock, sys.stdin]
said = b""

while True:
    now = time.monotonic()
    wake = now + 1
    for queue, packets in waiting.items():
        last = None
        while packets and packets[0][0] <= now + 0.00005:
            last = packets.popleft()[1]
        if last is not None:
            verdict(VERDICT_BATCH, queue, ACCEPT, last)  # it and all before it
        if packets:
            wake = min(wake, packets[0][0])
    ready = select.select(listened, [], [], max(0, wake - time.monotonic()))[0]
    if sys.stdin in ready:
        # Not by readline: what it keeps of a read with several lines no select tells of.
        read = os.read(sys.stdin.fileno(), 1 << 12)
        if read == b"":
            listened.remove(sys.stdin)
        *lines, said = (said + read).split(b"\n")
        for line in lines:
            change(line.decode())
            print(line.decode(), flush=True)
    if sock not in ready:
        continue
    arrived = time.monotonic()
    for queue, packet_id in packet_ids(sock.recv(1 << 16)):
        delay, loss = settings[queue]
        if loss and random.random() < loss:
            verdict(VERDICT, queue, DROP, packet_id)
        else:
            waiting[queue].append((arrived + delay, packet_id))
