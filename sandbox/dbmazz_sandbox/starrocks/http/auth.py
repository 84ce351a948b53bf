"""Basic authentication as FE and BE read it: the part of the user after `@` is dropped."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str


def read_basic(request: web.Request) -> Credentials | None:
    """The credentials of a request; None when the header is missing or not Basic."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None
    user, colon, password = text.partition(":")
    return Credentials(user.partition("@")[0], password) if colon else None
