"""Sends IP packets, for Node has no raw sockets.

Reads lines from standard input: `frame INTERFACE MAC HEX` puts a packet on a cable, to the interface with that
address; `raw HEX` gives one to the kernel, as a program of this host would send it; `done` is answered by
`sent COUNT refused COUNT` since the last one. Refused is what the kernel drops at once, by a rule.
"""
import socket
import sys

packet_socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
sent = refused = 0
for line in sys.stdin:
    kind, *words = line.split()
    if kind == "done":
        print("sent", sent, "refused", refused, flush=True)
        sent = refused = 0
        continue
    packet = bytes.fromhex(words[-1])
    is_ipv6 = packet[0] >> 4 == 6
    try:
        if kind == "frame":
            mac = bytes.fromhex(words[1].replace(":", ""))
            ethertype = b"\x86\xdd" if is_ipv6 else b"\x08\x00"
            packet_socket.sendto(mac + b"\x02\0\0\0\0\1" + ethertype + packet, (words[0], 0))
        elif is_ipv6:
            raw6.sendto(packet, (socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0))
        else:
            raw4.sendto(packet, (socket.inet_ntop(socket.AF_INET, packet[16:20]), 0))
        sent += 1
    except PermissionError:
        refused += 1
