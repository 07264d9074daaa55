# syntax=docker/dockerfile:1
# One image for all roles: `docker run IMAGE serve-api`. Builds with BuildKit and with Buildah; see scripts/image.sh.

# Named versions; the last one, which ships, by its digest too.
ARG NODE_IMAGE=docker.io/library/node:24.18.0-trixie-slim
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-slim-trixie
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian13:nonroot@sha256:54df941ed0d06a1bd95ef5e0ce391fd8d9f94b64782dc9a60062727849ee3f97

# ---- the web app, which the program embeds ----------------------------------------------------------------------------
FROM ${NODE_IMAGE} AS web
WORKDIR /src/web
# Of their own, so that a change of a page does not fetch the packages again.
COPY web/package.json web/package-lock.json ./
RUN --mount=type=cache,id=udaconnect-npm,target=/root/.npm \
    npm ci --no-audit --no-fund
COPY web/ ./
RUN npm run build

# ---- the program ------------------------------------------------------------------------------------------------------
FROM ${RUST_IMAGE} AS build
WORKDIR /src
# Function names in backtraces stay; line numbers would triple the size. Optimised as a whole, which takes some minutes more, the
# program is a fifth smaller (29 MB).
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo \
    CARGO_PROFILE_RELEASE_LTO=fat \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
    CARGO_TERM_COLOR=never
COPY . .
COPY --from=web /src/web/dist web/dist
# Crates and objects of the last build are kept beside the layers. The toolchain of the image is the one that is wanted.
RUN --mount=type=cache,id=udaconnect-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=udaconnect-target,target=/src/target,sharing=locked \
    cargo build --release --locked --bin udaconnect \
    && mkdir /out && cp target/release/udaconnect /out/ \
    && /out/udaconnect --version

# ---- what ships: the C library and the program; no shell, no packages, no root ------------------------------------------
FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="UdaConnect" \
      org.opencontainers.image.description="Tells conference attendees whom they met, where, when and for how long" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /out/udaconnect /udaconnect
# Each role at its own port, on all addresses of the container.
ENV LISTEN_ADDR=0.0.0.0 \
    APP_LISTEN_ADDR=0.0.0.0:30000 \
    API_LISTEN_ADDR=0.0.0.0:30001 \
    GRPC_LISTEN_ADDR=0.0.0.0:30002
EXPOSE 30000 30001 30002 30003
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/udaconnect"]
CMD ["standalone"]
# For Docker; Kubernetes uses probes of its own. Asks every role that listens in the container.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["/udaconnect", "healthcheck"]
