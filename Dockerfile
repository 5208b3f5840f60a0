# CPU by default; for CUDA: docker build --build-arg TORCH_BUILD=cu128 .
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ARG TORCH_BUILD=cpu
ARG TORCH_VERSION=2.13.0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/speechplan
ENV PATH="/opt/speechplan/bin:$PATH"
RUN pip install --index-url "https://download.pytorch.org/whl/${TORCH_BUILD}" "torch==${TORCH_VERSION}"
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY models_registry models_registry
COPY planner planner
COPY measurements measurements
COPY api api
# Its own bounds hold; there is no version to pin.
# hadolint ignore=DL3013
RUN pip install ".[client,containers,measure,offline-weights,otel,parquet,plots,postgres]"

FROM python:${PYTHON_VERSION}-slim-bookworm
COPY --from=build /opt/speechplan /opt/speechplan
# pg_dump and pg_restore, for 'speechplan db backup' on PostgreSQL; the distribution's version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home --home-dir /data speechplan
USER 10001
WORKDIR /data
ENV PATH="/opt/speechplan/bin:$PATH" \
    SPEECHPLAN_HOST=0.0.0.0 \
    SPEECHPLAN_PORT=8000 \
    SPEECHPLAN_DATABASE_URL=sqlite:////data/speechplan.db \
    SPEECHPLAN_CACHE_DIR=/data/cache \
    HF_HOME=/data/huggingface
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['SPEECHPLAN_PORT']}/health/ready\", timeout=4)"]
# Listening beyond the container needs a key: -e SPEECHPLAN_API_KEY=...
CMD ["speechplan", "serve"]
