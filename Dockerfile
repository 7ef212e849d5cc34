# The image of every process of Atlas. docker-compose.yml says which one runs what.
FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/atlas
WORKDIR /app

# What changes seldom comes first, so that a change of the sources leaves it cached.
COPY requirements/bootstrap.txt requirements/lock.txt requirements/
RUN pip install --require-hashes -r requirements/bootstrap.txt \
    && uv venv --python /usr/local/bin/python "$VIRTUAL_ENV" \
    && uv pip sync --require-hashes requirements/lock.txt

COPY setup.cfg pyproject.toml README.md LICENSE celeryconfig.py ./
COPY alembic/ alembic/
COPY workers/ workers/
COPY atlas/ atlas/
# Editable, since the migrations stand beside the package. The lock also holds what tests and
# linters need; that goes.
RUN uv pip install --no-deps --no-build-isolation --editable . \
    && python -c "import configparser; c = configparser.ConfigParser(); c.read('setup.cfg'); print(c['options.extras_require']['dev'])" > /tmp/dev.txt \
    && uv pip uninstall -r /tmp/dev.txt \
    && python -m compileall -q alembic workers atlas celeryconfig.py


FROM python:3.11-slim

# pip and its like install nothing here any more; connectors are installed by uv.
RUN pip uninstall --yes --root-user-action=ignore setuptools wheel pip \
    && groupadd --gid 10001 atlas \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/atlas --no-create-home --shell /usr/sbin/nologin atlas \
    && install --directory --owner=atlas --group=atlas --mode=0700 /var/lib/atlas /var/lib/atlas/tmp /var/lib/atlas-uploads

COPY --from=build /opt/atlas /opt/atlas
COPY --from=build /app /app

ENV PATH=/opt/atlas/bin:$PATH \
    HOME=/var/lib/atlas \
    ATLAS_HOME=/var/lib/atlas \
    ATLAS_UPLOADS=/var/lib/atlas-uploads \
    DO_NOT_TRACK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /app
EXPOSE 8000
CMD ["gunicorn", "--config", "python:atlas.web.gunicorn", "--bind", "0.0.0.0:8000", "atlas.web:create_app()"]
