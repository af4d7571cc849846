#!/usr/bin/env python3
"""Receives webhooks of Latchkey and prints their events.

    WEBHOOK_SECRET=whsec_... receiver.py [PORT]

It needs only Python 3.9, and listens on 127.0.0.1, port 9000 unless another is
given. WEBHOOK_SECRET may have several secrets, separated by spaces. A request
whose signature or time is wrong is refused, and an event that arrives again is
dropped. Latchkey's docs/webhooks.md describes the requests.
"""

import base64
import collections
import hashlib
import hmac
import http.server
import json
import os
import sys
import threading
import time

TOLERANCE = 5 * 60  # seconds by which a request's time may differ from this clock
MAX_BODY = 64 * 1024  # bytes; Latchkey sends less
MAX_SEEN = 10_000  # IDs of events that are kept to find duplicates


class Refused(Exception):
    """A request that is not a valid webhook."""


def verify(keys, headers, body, now):
    """Returns the ID of the event, or raises Refused.

    The signature covers the ID, the time and the bytes of the body, so verify it
    before the body is parsed.
    """
    event_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not event_id or not (timestamp.isascii() and timestamp.isdigit()):
        raise Refused("a header is missing")
    if abs(now - int(timestamp)) > TOLERANCE:
        raise Refused("the time is too far from this clock")
    signed = f"{event_id}.{timestamp}.".encode() + body
    given = headers.get("webhook-signature", "").split()
    for key in keys:
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        if any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
            return event_id
    raise Refused("no signature is valid")


class Seen:
    """The IDs of the events that were handled.

    A program that acts on events keeps them in its database instead, and adds the
    ID in the same transaction as its own change.
    """

    def __init__(self):
        self.ids = collections.OrderedDict()

    def __contains__(self, event_id):
        return event_id in self.ids

    def add(self, event_id):
        self.ids[event_id] = True
        if len(self.ids) > MAX_SEEN:
            self.ids.popitem(last=False)


def show(event):
    """Prints an event on one line."""
    print("verified", event["type"], "sequence", event["sequence"], "id", event["id"], "data",
          json.dumps(event.get("data"), separators=(",", ":")), flush=True)


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers 204 to an event, and 400 to what is not one."""

    protocol_version = "HTTP/1.1"  # Latchkey uses a connection for several requests
    timeout = 60
    keys, seen, lock = [], Seen(), threading.Lock()

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(int(length))
        try:
            event_id = verify(self.keys, self.headers, body, time.time())
        except Refused as reason:
            print("refused:", reason, file=sys.stderr, flush=True)
            return self.answer(400)
        with self.lock:  # one event at a time
            if event_id not in self.seen:
                show(json.loads(body))
                self.seen.add(event_id)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_):
        """Logs no requests."""


def key_of(secret):
    """Returns the key of a secret, or raises ValueError for any other text."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if not secret.startswith("whsec_") or not key:
        raise ValueError(secret)
    return key


def main():
    try:
        Receiver.keys = [key_of(one) for one in os.environ.get("WEBHOOK_SECRET", "").split()]
    except ValueError:
        Receiver.keys = []
    if not Receiver.keys:
        sys.exit("set WEBHOOK_SECRET to the webhook's secret, whsec_ and base64")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
