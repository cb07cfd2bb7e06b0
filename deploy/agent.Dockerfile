# The agent. From the root of the repository: docker build -f deploy/agent.Dockerfile -t nexodus-agent .
# It runs with --cap-add NET_ADMIN --device /dev/net/tun (see compose.yaml).
FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /nexodus
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:24.21.0-bookworm-slim AS program
WORKDIR /nexodus
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY crypto crypto
COPY protocol protocol
COPY agent agent
COPY deploy/build.ts deploy/agent-program.ts deploy/
RUN node deploy/build.ts && mv "$(readlink -f dist/current)" program

FROM node:24.21.0-bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends iproute2 iputils-ping nftables wireguard-go \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /nexodus
COPY --from=dependencies /nexodus/node_modules node_modules
COPY LICENSE ./
COPY --from=program /nexodus/program .
RUN printf '#!/bin/sh\nexec node /nexodus/agent/nexctl.js "$@"\n' > /usr/local/bin/nexctl \
  && chmod 0755 /usr/local/bin/nexctl \
  && install -d -m 0700 /var/lib/nexd
# Root inside, because Linux gives network rights to nobody else; compose.yaml takes all other rights away.
ENV NODE_ENV=production \
    NEXODUS_STATE_DIR=/var/lib/nexd
VOLUME /var/lib/nexd
# WireGuard and connectivity checks; the mesh (libp2p).
EXPOSE 51820/udp 51822/tcp 51822/udp
# Not healthy until it is enrolled: `docker logs` shows the code and the link.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["nexctl", "status"]
# Left alone, V8's young generation grows to 100 MB in the first seconds, and nothing is faster for it; from its usual 1 MB
# it is collected six times before the first packet.
ENTRYPOINT ["node", "--min-semi-space-size=8", "--max-semi-space-size=16", "/nexodus/agent/nexd.js"]
CMD ["up"]
