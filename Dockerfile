# syntax=docker/dockerfile:1

FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/analytics ./cmd/analytics
# A directory that the server may write to, for the embedded deployment.
RUN mkdir -p /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/analytics /analytics
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV ADDR=:8000 DATA_DIR=/data LOG_FORMAT=json
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=2s --timeout=4s --start-period=40s --retries=3 CMD ["/analytics", "healthcheck"]
ENTRYPOINT ["/analytics"]
CMD ["serve"]
