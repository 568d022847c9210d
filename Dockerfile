# The image of every service of the laboratory but Postgres and Redis; docker-compose.yml says which command each runs.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LAB_HOME=/lab \
    LAB_STATIC_ROOT=/srv/labsite/static \
    MPLBACKEND=agg \
    MPLCONFIGDIR=/tmp/matplotlib

RUN useradd --uid 1000 --create-home labsite \
    && install -d -o labsite -g labsite /lab /srv/labsite /srv/labsite/static

WORKDIR /srv/labsite/app

# The locks alone first: a change of the code does not install everything anew.
COPY requirements-uv.lock requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-uv.lock \
    && uv pip install --system --no-cache --require-hashes -r requirements.lock

COPY . .

USER labsite
# Static files need the settings, and the settings an address of a database that nobody asks here.
RUN LAB_HOME=/tmp/build LAB_DATABASE_URL=postgresql://nobody@localhost/none python -m labsite.stack.prepare --static \
    && rm -rf /tmp/build

VOLUME /lab
EXPOSE 8000 8001
CMD ["python", "-m", "labsite.stack.serve", "web", "--host", "0.0.0.0", "--port", "8000"]
