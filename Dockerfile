# wrapd in a container: non-root, with an optional read-only root file system; its state is in the volume /var/lib/wrapd.
#   docker build -t wrapd .
# The base image is pinned by tag. For production, pin the digest of an image that you have verified:
#   docker build --build-arg BASE=python:3.13-slim@sha256:… -t wrapd .
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src
# Packages come first, since this layer changes only with the lock file.
COPY requirements.lock ./
RUN python -m venv /opt/venv \
 && /opt/venv/bin/python -m pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY daemon ./daemon
COPY migrations ./migrations
# The build backend is in the lock file, so nothing unpinned is fetched here. Build-only packages are removed.
RUN /opt/venv/bin/python -m pip install --no-deps --no-build-isolation . \
 && /opt/venv/bin/python -m pip uninstall --yes hatchling pathspec pluggy trove-classifiers pip

FROM ${BASE}
LABEL org.opencontainers.image.title="wrapd" \
      org.opencontainers.image.description="Alerts a production team in its own chat when a MetaStudio video ends" \
      org.opencontainers.image.licenses="Apache-2.0"
# The same number as in compose.yaml. A bind mount must be owned by it.
RUN groupadd --system --gid 10001 wrapd \
 && useradd --system --uid 10001 --gid wrapd --home-dir /var/lib/wrapd --no-create-home --shell /usr/sbin/nologin wrapd \
 && install -d -o wrapd -g wrapd -m 2770 /var/lib/wrapd \
 && install -d -m 0755 /etc/wrapd
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WRAPD_CONFIG=/etc/wrapd/config.toml
USER 10001:10001
WORKDIR /var/lib/wrapd
VOLUME /var/lib/wrapd
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["wrapd", "doctor", "--live"]
ENTRYPOINT ["wrapd"]
CMD ["run"]
