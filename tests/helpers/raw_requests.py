"""Requests byte by byte, as no HTTP library would send them."""

from __future__ import annotations

TOKEN = "t" * 43
CREDENTIALS = f"Authorization: Bearer {TOKEN}\r\n".encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def get(path: str, host: str | None = "localhost", more: bytes = CREDENTIALS) -> bytes:
    named = b"" if host is None else f"Host: {host}\r\n".encode()
    return f"GET {path} HTTP/1.1\r\n".encode() + named + more + b"Connection: close\r\n\r\n"


def post(path: str, body_headers: bytes, body: bytes = b"", more: bytes = CREDENTIALS) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n".encode()
    return head + more + body_headers + b"Connection: close\r\n\r\n" + body
