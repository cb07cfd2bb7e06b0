#!/usr/bin/bash
# First process of the guest: mounts what a host has, runs the file, says with which status it ended, and ends the guest.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C NO_COLOR=1
# Each process of the tests has the same sources to read.
export NODE_COMPILE_CACHE=/tmp/compile-cache
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty raw -echo
. /guest-words
modprobe -a wireguard veth tun nf_tables
ip link set lo up
# As on the hosts that the other backends are tested on.
echo 4194304 >/proc/sys/net/core/rmem_max
echo 4194304 >/proc/sys/net/core/wmem_max
cd "$folder" || exit
printf '\n@@guest-begin\n'
"$node" --import "$watch" "$file" </dev/null
printf '\n@@guest-status %s\n' $?
# What was said is to be out before the machine is.
sleep 1
echo b >/proc/sysrq-trigger
