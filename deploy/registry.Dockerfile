# The registry. From the root of the repository: docker build -f deploy/registry.Dockerfile -t nexodus-registry .
FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /nexodus
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:24.21.0-bookworm-slim
WORKDIR /nexodus
COPY --from=dependencies /nexodus/node_modules node_modules
COPY package.json LICENSE ./
COPY crypto crypto
COPY protocol protocol
COPY registry registry
RUN install -d -o node -g node -m 0700 /var/lib/nexodus-registry
USER node
ENV NODE_ENV=production \
    NEXODUS_REGISTRY_STATE_DIR=/var/lib/nexodus-registry \
    NEXODUS_REGISTRY_LISTEN=0.0.0.0:3000
VOLUME /var/lib/nexodus-registry
# Web pages and API; rendezvous (libp2p); STUN.
EXPOSE 3000/tcp 4001/tcp 3478/udp
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "--eval", "fetch('http://127.0.0.1:3000/v1/info').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Where all addresses are listened on, NEXODUS_REGISTRY_PUBLIC_URL must be given.
ENTRYPOINT ["node", "/nexodus/registry/main.ts"]
