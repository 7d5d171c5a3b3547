# syntax=docker/dockerfile:1
# A bot and linqbot on Fly.io: docs/deploy/run.md. vendor/ has linqbot's wheels.

FROM python:3.13-slim-trixie
ENV HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    LINQBOT_HOST=0.0.0.0 \
    LINQBOT_STORAGE=sqlite:////data/linqbot.db \
    SQLITE_TMPDIR=/data
RUN useradd --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin linqbot
COPY vendor /vendor
# Packages that the bot needs go at the end of this line.
RUN pip install --no-cache-dir /vendor/*.whl
COPY . /app
WORKDIR /app
# Fly mounts the volume as root's: it is handed to the bot's user, who then runs the bot. Without a volume the start fails.
ENTRYPOINT ["/bin/sh", "-c", "chown linqbot:linqbot /data && exec setpriv --reuid=linqbot --regid=linqbot --clear-groups \"$@\"", "sh"]
CMD ["linqbot", "serve", "/app/bot.py"]
