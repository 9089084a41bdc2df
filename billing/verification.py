"""How a receiver makes sure that a message is ours: the code and the test vector that the documentation shows."""

import json
from typing import Any

from billing.event_types import EventType

BY_HAND = '''\
import base64, hashlib, hmac, time


def verified(secret: str, headers: dict, body: bytes) -> bytes:
    """The body, when it is genuine and fresh. Headers with lower-case names; the body exactly as it came."""
    id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > 300:
        raise ValueError("too old, or from the future")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    if not any(hmac.compare_digest(expected, given) for given in headers["webhook-signature"].split(" ")):
        raise ValueError("not genuine")
    return body
'''
WITH_PACKAGE = """\
from standardwebhooks import Webhook

event = Webhook(secret).verify(body, headers)  # raises WebhookVerificationError
"""
IN_NODE = """\
const crypto = require("node:crypto");

function verified(secret, headers, body) { // body: a Buffer, exactly as it came
  const id = headers["webhook-id"], timestamp = headers["webhook-timestamp"];
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) throw new Error("too old, or from the future");
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const expected = crypto.createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  const genuine = headers["webhook-signature"].split(" ").some((given) => {
    const bytes = Buffer.from(given.replace(/^v1,/, ""), "base64");
    return bytes.length === expected.length && crypto.timingSafeEqual(bytes, expected);
  });
  if (!genuine) throw new Error("not genuine");
  return JSON.parse(body);
}
"""
VECTOR = {
    "secret": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "webhook-id": "evt_01939f2e8c507b1e9a355f7c1d2e3a4b",
    "webhook-timestamp": "1767225600",
    "body": '{"type":"webhook.test","timestamp":"2026-01-01T00:00:00+00:00","data":{"message":"This is a test. Nothing happened."}}',
    "webhook-signature": "v1,rNNUpnolpS76YBEqvNPgx4DcoyAbfJNlf3h+HMhl5dc=",
}
_CLIENT = "01939f2e-8c50-7000-8000-0242ac120002"


def example(kind: EventType) -> str:
    """A body of this kind, laid out to be read."""
    data: dict[str, Any] = {"sub_account_id": _CLIENT, **kind.example}
    return json.dumps({"type": kind.code, "timestamp": "2026-01-01T00:00:00+00:00", "data": data}, indent=2)
