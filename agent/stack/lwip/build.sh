#!/usr/bin/env bash
# Builds lwip.wasm from Debian's source package of lwIP: `build.sh FILE` writes it there. The source is fetched from a
# Debian mirror (LWIP_SOURCE names a copy at hand, or MIRROR another mirror), and nothing is built unless its checksum
# is the one below. The same compiler makes the same bytes: lwip.wasm.sha256 has their checksum.
#   apt-get install clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32 curl xz-utils patch
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$(realpath -m "${1:?usage: build.sh FILE}")
source=lwip_2.2.1+dfsg1.orig.tar.xz
checksum=83729c274c499d3348e9fbbe043a3113f3fa8953e7efddc7c21c7fcbb1f2b7b1
mirror=${MIRROR:-http://deb.debian.org/debian}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if [ -n "${LWIP_SOURCE:-}" ]; then cp "$LWIP_SOURCE" "$source"
else curl --fail --silent --show-error --retry 3 --output "$source" "$mirror/pool/main/l/lwip/$source"; fi
echo "$checksum  $source" | sha256sum --check --quiet
tar --extract --file "$source" --strip-components 1
(cd src && patch --quiet --strip 1 <"$here/lwip.patch")

# Names without folders: paths would end up in the result.
cp "$here"/*.[ch] src/
mkdir -p src/arch && cp "$here"/arch/cc.h src/arch/
cd src
clang-14 --target=wasm32-wasi -mexec-model=reactor -O2 -flto -DNDEBUG -w \
  -I. -Iinclude \
  -Wl,--strip-all -Wl,--lto-O2 -Wl,--initial-memory=12582912 -Wl,--max-memory=268435456 -Wl,-z,stack-size=262144 \
  -o "$target" \
  glue.c sender.c recovery.c bbr.c cubic.c core/*.c core/ipv4/*.c core/ipv6/*.c
