"""A TUN interface on standard input and output: each packet after its length, two bytes, network order."""
import fcntl, os, struct, sys, threading

tun = os.open("/dev/net/tun", os.O_RDWR)
# TUNSETIFF; IFF_TUN | IFF_NO_PI
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", sys.argv[1].encode(), 0x1001))


def outward():
    while True:
        packet = os.read(tun, 65535)
        os.write(1, struct.pack("!H", len(packet)) + packet)


def exactly(count):
    data = b""
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


threading.Thread(target=outward, daemon=True).start()
os.write(1, struct.pack("!H", 0))
while True:
    (length,) = struct.unpack("!H", exactly(2))
    try:
        os.write(tun, exactly(length))
    except OSError:
        pass
