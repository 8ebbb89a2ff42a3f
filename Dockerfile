# The service, as an image: `docker build --build-arg COMMIT="$(git describe --always --abbrev=40 --dirty)" -t lanebench .`
# Works with BuildKit and with the classic builder. Where no public registry is reached, `ci/images/build --env` names others.
ARG BUILDER_IMAGE=rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILDER_IMAGE} AS build
WORKDIR /lanebench
# Nobody reads symbols in here.
ENV CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_INCREMENTAL=0
# First the dependencies alone, on empty sources: a layer that stays until a manifest changes, and most of the time.
COPY Cargo.toml Cargo.lock ./
COPY harness/Cargo.toml harness/
COPY harness/broker/Cargo.toml harness/broker/
COPY harness/gate/Cargo.toml harness/gate/
COPY harness/load/Cargo.toml harness/load/
COPY harness/measure/Cargo.toml harness/measure/
COPY harness/proxy/Cargo.toml harness/proxy/
COPY harness/redis-stub/Cargo.toml harness/redis-stub/
COPY harness/report/Cargo.toml harness/report/
COPY harness/result/Cargo.toml harness/result/
COPY harness/scenario/Cargo.toml harness/scenario/
COPY harness/settings/Cargo.toml harness/settings/
COPY harness/stats/Cargo.toml harness/stats/
COPY harness/verify/Cargo.toml harness/verify/
COPY harness/workload/Cargo.toml harness/workload/
# Without `containers`, since what runs in one starts no others; ci/test-containers asks for it, to use the binary outside as well.
ARG FEATURES=
RUN for crate in . harness harness/*/; do mkdir -p $crate/src && touch $crate/src/lib.rs; done \
 && echo 'fn main() {}' >harness/src/main.rs \
 && cargo build --release --locked --package lanebench --bin lanebench --features "$FEATURES" \
 && rm -rf src harness/src harness/*/src target/release/.fingerprint/lanebench-* target/release/.fingerprint/payment-delivery-*
COPY src src
COPY harness harness
ARG COMMIT=unknown
RUN LANEBENCH_COMMIT="$COMMIT" cargo build --release --locked --package lanebench --bin lanebench --features "$FEATURES"

# Nothing is run in this one, so any base with glibc will do, one without a shell too.
FROM ${RUNTIME_IMAGE}
ARG COMMIT=unknown
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="lanebench" \
      org.opencontainers.image.description="A payment-to-delivery pipeline on Kafka as a service, and the harness that measures it" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
# The authorities that sign certificates of databases; a slim base has none.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /lanebench/target/release/lanebench /usr/local/bin/
# A number, so that a base needs no such user, and a cluster can see that it is not root.
USER 10001:10001
WORKDIR /tmp
# In the environment, so that the health check asks where it listens. Beyond loopback it wants a token: LANEBENCH_API_TOKEN.
ENV LANEBENCH_LISTEN=0.0.0.0:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=6 CMD ["lanebench", "serve", "--check"]
ENTRYPOINT ["lanebench"]
CMD ["serve", "--stack", "external"]
