"""Echoes through the laboratory, for as long as it is not ended.

usage: probe.py ADDRESS INTERVAL_MILLISECONDS

One echo (ICMP, ICMPv6) leaves in every interval, whether or not there is an interface, a route or an answer
yet; each chooses its source address anew, unlike ping(8). Prints a line for each echo, `s SEQUENCE SENT`, and
one for each answer, `r SEQUENCE SENT RECEIVED`; times are milliseconds of CLOCK_MONOTONIC. Node has no raw
sockets, hence Python.
"""
import os
import select
import socket
import struct
import sys
import time

address, interval = sys.argv[1], float(sys.argv[2]) / 1000
is_ipv6 = ":" in address
family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
protocol = socket.IPPROTO_ICMPV6 if is_ipv6 else socket.IPPROTO_ICMP
REQUEST, REPLY, HEADER = (128, 129, 0) if is_ipv6 else (8, 0, 20)
identifier = os.getpid() & 0xFFFF

sock = socket.socket(family, socket.SOCK_RAW, protocol)
sock.setblocking(False)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo(sequence):
    """The kernel fills in the checksum of ICMPv6."""
    body = struct.pack("!HH", identifier, sequence & 0xFFFF) + b"nexodus!" * 7
    zero = struct.pack("!BBH", REQUEST, 0, 0) + body
    return zero if is_ipv6 else struct.pack("!BBH", REQUEST, 0, checksum(zero)) + body


def milliseconds(moment):
    return f"{moment * 1000:.3f}"


sent, sequence, due = {}, 0, time.monotonic()
print("ready", flush=True)
while True:
    now = time.monotonic()
    if now >= due:
        # One that could not be sent in time is left out: a burst would say nothing of the path.
        due = max(due + interval, now)
        sequence += 1
        sent[sequence & 0xFFFF] = (sequence, now)
        print("s", sequence, milliseconds(now), flush=True)
        try:
            sock.sendto(echo(sequence), (address, 0))
        except OSError:
            pass  # no interface or no route yet: lost, as for any sender
    if not select.select([sock], [], [], max(0, due - time.monotonic()))[0]:
        continue
    try:
        packet, source = sock.recvfrom(2048)
    except OSError:
        continue
    received = time.monotonic()
    if source[0] != address or len(packet) < HEADER + 8 or packet[HEADER] != REPLY:
        continue
    whose, number = struct.unpack_from("!HH", packet, HEADER + 4)
    if whose == identifier and number in sent:
        count, when = sent.pop(number)
        print("r", count, milliseconds(when), milliseconds(received), flush=True)
