"""An echo in plain Python, which imports nothing of linqbot: a webhook that stores, and a worker that answers.

A text such as `slot 4` asks for a slot that only one person gets. The bot keeps every promise, unless FLAW in its environment
names one of the flaws that are looked for below.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import signal
import sqlite3
import sys
import threading
import time
import uuid
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FLAW = os.environ.get("FLAW", "")
LINQ = urlsplit(os.environ["LINQ_API_V3_BASE_URL"])
SCHEMA = """
create table if not exists inbox (
    place integer primary key, event text unique, chat text, words text, done integer default 0, key text
);
create table if not exists secrets (secret text unique);
create table if not exists crashes (place integer);
create table if not exists slots (name text unique, chat text);
"""

taken: dict[str, str] = {}  # with the flaw "slots in memory"
lock = threading.Lock()
arrived = threading.Event()
db = sqlite3.connect(":memory:" if FLAW == "memory" else os.environ["BOT_DB"], check_same_thread=False)


def run(sql: str, *values: object) -> list[Any]:
    with lock, db:
        return db.execute(sql, values).fetchall()


def secrets() -> list[str]:
    given = os.environ["LINQ_WEBHOOK_SECRET"].split(",")
    for each in reversed(given):
        run("insert or ignore into secrets values (?)", each)
    stored = [secret for (secret,) in run("select secret from secrets order by rowid")]
    return stored if FLAW == "keeps old secrets" else stored[:1] if FLAW == "first secret" else given


def is_genuine(headers: Message, body: bytes) -> bool:
    given = headers.get("webhook-signature")
    if given is None:
        return FLAW == "takes unsigned"
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for secret in SECRETS:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
        if any(hmac.compare_digest(wanted, each) for each in given.split(" ")):
            return True
    return False


def store(event: dict[str, Any]) -> None:
    name = uuid.uuid4().hex if FLAW == "no dedupe" else event["event_id"]
    words = "".join(part.get("value", "") for part in event["data"]["parts"])
    if FLAW == "forgets bread" and "bread" in words:
        return
    sql = "insert or ignore into inbox (event, chat, words, key) values (?, ?, ?, ?)"
    run(sql, name, event["data"]["chat"]["id"], words, name)
    arrived.set()


class Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path != "/webhook" or FLAW == "never ready":
            return self.answer(404)
        if not is_genuine(self.headers, body):
            return self.answer(401)
        event = json.loads(body)
        if FLAW == "acks before storing":
            self.answer(200)
            time.sleep(0.3)
            return store(event)
        store(event)
        return self.answer(200)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


def reply(chat: str, words: str) -> str:
    if FLAW == "mutters":
        return "Pardon?"
    if not words.startswith("slot "):
        return f"You said: {words}"
    if FLAW == "slots in memory":
        owner = taken.setdefault(words, chat)
    else:
        run("insert or ignore into slots values (?, ?)", words, chat)
        ((owner,),) = run("select chat from slots where name = ?", words)
    return f"The {words} is {'yours' if owner == chat else 'taken'}."


def send(chat: str, words: str, key: str) -> tuple[int, float]:
    """Return the status, 0 without an answer, and the seconds to wait."""
    connection = http.client.HTTPConnection(LINQ.netloc, timeout=10)
    message = {"parts": [{"type": "text", "value": reply(chat, words)}], "idempotency_key": key}
    headers = {"authorization": f"Bearer {os.environ['LINQ_API_V3_API_KEY']}", "content-type": "application/json"}
    try:
        connection.request("POST", f"{LINQ.path}/v3/chats/{chat}/messages", json.dumps({"message": message}), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, float(answer.headers.get("retry-after") or 0)
    except (OSError, http.client.HTTPException):
        return 0, 0
    finally:
        connection.close()


def handle(place: int, chat: str, words: str, key: str) -> None:
    if FLAW == "crashes" and "bread" in words and not run("select * from crashes where place = ?", place):
        run("insert into crashes values (?)", place)
        os.kill(os.getpid(), signal.SIGKILL)
    for attempt in range(100):
        status, wait_s = send(chat, words, uuid.uuid4().hex if FLAW == "new key" else key)
        if status == 403 and FLAW == "never gives up":
            threading.Thread(target=pester, args=(chat, words), daemon=True).start()
        if 200 <= status < 500 and status != 429:
            break
        if status == 503 and FLAW == "gives up on 503":
            break
        if status == 0 and FLAW == "new key after lost answer":
            key = uuid.uuid4().hex
            run("update inbox set key = ? where place = ?", key, place)
        time.sleep(0.1 if FLAW == "impatient" else wait_s or min(0.1 * 2**attempt, 2))
    run("update inbox set done = 1 where place = ?", place)


def pester(chat: str, words: str) -> None:
    while True:
        time.sleep(0.2)
        send(chat, words, uuid.uuid4().hex)


def work() -> None:
    while True:
        order = "desc" if FLAW == "out of order" else ""
        time.sleep(0.05 if order else 0)
        if not (
            rows := run(f"select place, chat, words, key from inbox where not done order by place {order} limit 1")
        ):
            arrived.wait()
            arrived.clear()
        for row in rows:
            handle(*row)


if __name__ == "__main__":
    db.executescript(SCHEMA)
    SECRETS = secrets()
    print("listening", file=sys.stderr)
    threading.Thread(target=work, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Webhook).serve_forever()
