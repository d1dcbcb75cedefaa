# The wheel is built in one image; the other holds what runs: Python, the wheel, no compiler, no root.
# Media needs the address of the host: set AIRSIDE_RTC__ANNOUNCE, or use the host's network.

FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        build-essential perl python3 python3-venv && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /build && /build/bin/pip install --no-cache-dir "maturin>=1.9,<2"
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY dataplane dataplane
COPY sfu sfu
COPY signaling signaling
COPY config config
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/dataplane/target \
    /build/bin/maturin build --release --locked --out /wheels

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home airside
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -rf /wheels
COPY config/sfu.yaml /etc/airside/sfu.yaml
USER airside
# One TCP port for HTTP and WebSocket, one UDP port for all media.
EXPOSE 7880/tcp 7882/udp
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "\
import os, urllib.request; \
urllib.request.urlopen(f'http://127.0.0.1:{os.environ.get(\"AIRSIDE_HTTP__PORT\", 7880)}/healthz', timeout=2)"]
# exec form: SIGTERM reaches the server, which tells its clients before it ends.
ENTRYPOINT ["airside"]
CMD ["serve", "--config", "/etc/airside/sfu.yaml"]
