# kiebot in a container:    docker build --tag kiebot .
# Every setting explained:  docker run --rm kiebot settings
# docs/operating.md says how it is run.

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist . \
 && python -m venv --without-pip /opt/kiebot \
 && pip --python /opt/kiebot/bin/python install --no-cache-dir /dist/*.whl

FROM python:3.13-slim
LABEL org.opencontainers.image.title="kiebot" org.opencontainers.image.licenses="MIT"

# The number is said once more below, so that a host can see that it is not root's.
RUN groupadd --gid 10001 kiebot \
 && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin kiebot \
 && install --directory --owner=kiebot --group=kiebot --mode=0700 /data
COPY --from=build /opt/kiebot /opt/kiebot

# Without a DATABASE_URL, or with an empty one, the database is /data/kiebot/kiebot.db.
ENV PATH="/opt/kiebot/bin:$PATH" \
    PORT=10000 \
    PYTHONUNBUFFERED=1 \
    XDG_DATA_HOME=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 10000

# Not /ready: an instance that waits for its predecessor to stop is healthy. Not urllib: that would
# ask a proxy of the environment.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 CMD ["python", "-c", \
  "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 10000), timeout=4); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]

# kiebot finishes what is in hand within 10 s; give it 15 (docker stop -t 15).
STOPSIGNAL SIGTERM
ENTRYPOINT ["kiebot"]
CMD ["serve"]
