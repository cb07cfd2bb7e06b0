"""Processor time of a packet on its way through a host's rules.

usage: policy-flood.py INTERFACE HEX COUNT

Puts the same Ethernet frame on a cable COUNT times; the kernel takes it through the other end's rules in the time
of this process. Prints nanoseconds of it for each.
"""
import socket
import sys
import time

interface, frame, count = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3])
cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
cable.bind((interface, 0))
for _ in range(count // 10):
    cable.send(frame)
begun = time.process_time_ns()
for _ in range(count):
    cable.send(frame)
print((time.process_time_ns() - begun) / count)
