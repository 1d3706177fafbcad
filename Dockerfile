# syntax=docker/dockerfile:1
# The server, for the CPU and, as target cuda, for NVIDIA GPUs. Built with the same tools/install as `make demo`, so that what
# is installed is listed in one place only.
#   docker build --tag likeness .
#   docker run --rm --publish 127.0.0.1:50051:50051 likeness
#   docker build --target cuda --tag likeness:cuda .
#   docker run --rm --gpus all --publish 127.0.0.1:50051:50051 likeness:cuda
# docs/setup.md says what of this was run and where.

FROM debian:bookworm-slim AS build
WORKDIR /src
# First what changes seldom: packages, downloads and weights stay in this layer while only sources change.
COPY tools/install tools/install
COPY tools/fetch tools/fetch
COPY tools/weights tools/weights
RUN tools/install
COPY . .
RUN cmake --preset cpu -DLIKENESS_BUILD_TESTS=OFF \
 && cmake --build --preset cpu --target likeness \
 && deploy/runtime-packages build/cpu/likeness > /runtime-packages

# Ubuntu 24.04 has the same packages as Debian 12, and NVIDIA's images are of it.
FROM nvidia/cuda:13.0.1-cudnn-devel-ubuntu24.04 AS build-cuda
WORKDIR /src
COPY tools/install tools/install
COPY tools/fetch tools/fetch
COPY tools/weights tools/weights
RUN tools/install
COPY . .
RUN cmake --preset release-cuda -DLIKENESS_BUILD_TESTS=OFF \
 && cmake --build --preset release-cuda --target likeness \
 && deploy/runtime-packages build/release-cuda/likeness > /runtime-packages

# The base image has the driver's interface and NVIDIA's package list; of the toolkit only the libraries come in that the
# program needs (cuFFT, cuDNN).
FROM nvidia/cuda:13.0.1-base-ubuntu24.04 AS cuda
COPY --from=build-cuda /runtime-packages /tmp/runtime-packages
RUN apt-get update \
 && xargs apt-get install --yes --no-install-recommends < /tmp/runtime-packages \
 && rm -rf /var/lib/apt/lists/* /tmp/runtime-packages \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin likeness
COPY --from=build-cuda /src/build/release-cuda/likeness /usr/bin/likeness
COPY --from=build-cuda /src/build/weights/*.safetensors /usr/share/likeness/weights/
COPY LICENSE docs/licences.md /usr/share/doc/likeness/
COPY deploy/likeness.toml /etc/likeness/likeness.toml
USER 10001
EXPOSE 50051 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["likeness", "metrics", "--server", "127.0.0.1:50051", "--format", "json"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["likeness"]
CMD ["serve", "--config", "/etc/likeness/likeness.toml"]

FROM debian:bookworm-slim
COPY --from=build /runtime-packages /tmp/runtime-packages
RUN apt-get update \
 && xargs apt-get install --yes --no-install-recommends < /tmp/runtime-packages \
 && rm -rf /var/lib/apt/lists/* /tmp/runtime-packages \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin likeness
COPY --from=build /src/build/cpu/likeness /usr/bin/likeness
COPY --from=build /src/build/weights/*.safetensors /usr/share/likeness/weights/
COPY LICENSE docs/licences.md /usr/share/doc/likeness/
COPY deploy/likeness.toml /etc/likeness/likeness.toml
USER 10001
EXPOSE 50051 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["likeness", "metrics", "--server", "127.0.0.1:50051", "--format", "json"]
# SIGTERM drains: allow more than drain_seconds before the kill (compose.yaml does).
STOPSIGNAL SIGTERM
ENTRYPOINT ["likeness"]
CMD ["serve", "--config", "/etc/likeness/likeness.toml"]
