# Two images: `worker` with the core alone (candles in, forecasts out), `full` with everything.
FROM python:3.11.13-slim-bookworm AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 \
    # Nothing in the working folder is ever imported in place of what is installed.
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    OPENBLAS_NUM_THREADS=1
RUN useradd --uid 10001 --create-home --home-dir /data candlecast
WORKDIR /src

FROM base AS worker
COPY requirements-core.txt ./
RUN pip install --require-hashes --only-binary :all: -r requirements-core.txt
COPY . .
RUN pip install --no-deps --no-build-isolation . && rm -rf build ./*.egg-info
USER candlecast
WORKDIR /data
ENTRYPOINT []
CMD ["candlecast", "worker"]

FROM base AS full
COPY requirements.txt ./
RUN pip install --require-hashes --only-binary :all: -r requirements.txt
COPY . .
RUN pip install --no-deps --no-build-isolation . && rm -rf build ./*.egg-info
USER candlecast
WORKDIR /data
ENTRYPOINT []
CMD ["candlecast", "--help"]
