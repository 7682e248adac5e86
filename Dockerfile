# One image for every process of Sanguine; docker-compose.yml says which one a container runs.
FROM python:3.11-slim

# LightGBM needs the OpenMP runtime.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home sanguine \
    && install --directory --owner sanguine --mode 0700 /data

WORKDIR /app
COPY requirements.txt requirements-build.txt ./
# What builds a package that comes only as source is installed first: pip would fetch it without looking at hashes.
RUN pip install --no-cache-dir --require-hashes -r requirements-build.txt \
    && pip install --no-cache-dir --require-hashes --no-build-isolation -r requirements.txt
COPY . .

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SANGUINE_ENVIRONMENT=production \
    SANGUINE_DATA_DIR=/data
USER sanguine
VOLUME /data
EXPOSE 8000
CMD ["gunicorn", "-c", "python:backend.ops.gunicorn", "backend.app:create_app()", "--bind", "0.0.0.0:8000", \
     "--workers", "2", "--worker-tmp-dir", "/dev/shm", "--graceful-timeout", "35"]
