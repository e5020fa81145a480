# docker build --build-arg VERSION=1.2.3 -t ticketproxy:1.2.3 .
# docker run --rm ticketproxy:1.2.3 demo --once

# The builder runs natively, and Go cross-compiles for the target.
FROM --platform=$BUILDPLATFORM golang:1.26.8-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download
COPY . .
ARG TARGETOS TARGETARCH
ARG VERSION=devel
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/cache \
    GOCACHE=/cache CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/ticketproxy .
# What the program may write to: its state, and what demo keeps for a moment.
RUN install -d -m 0700 /owned/state /owned/tmp

FROM scratch
ARG VERSION=devel
LABEL org.opencontainers.image.title="ticketproxy" \
      org.opencontainers.image.description="Authenticating sidecar: plain HTTP for the app, fresh OAuth tokens for the API" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ticketproxy /ticketproxy
# The licenses of all that is in the image: of the program, of the modules in it, and of
# the certificates (MPL 2.0), from the package that they come from.
COPY LICENSE THIRD_PARTY_LICENSES /licenses/
COPY --from=build /usr/share/doc/ca-certificates/copyright /licenses/ca-certificates
# A fresh named volume takes its owner and mode from the directory in the image.
# There is no VOLUME: an anonymous one would lose the tokens with the container,
# and nobody would notice before a rotated token is gone.
COPY --from=build --chown=65532:65532 /owned/ /
ENV XDG_STATE_HOME=/state
# By number, so that runAsNonRoot can be verified.
USER 65532:65532
# Ready means that every account holds a token, so that Compose's
# "condition: service_healthy" starts an app when its first request will pass.
# Kubernetes does not heed this; it has probes.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --start-interval=1s \
    CMD ["/ticketproxy", "wait", "--timeout", "1s"]
ENTRYPOINT ["/ticketproxy"]
CMD ["serve"]
