"""Requests of hostile and of broken clients, made by a seeded generator.

`HostileRequests(seed)` yields endlessly. The kinds take turns, so that a short run has each; sizes,
words and the pieces in which the bytes are sent are random.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MULTIPART = "Content-Type: multipart/form-data; boundary=b"
CHUNKED = "Transfer-Encoding: chunked"
_SUBMISSIONS = ("/v1/jobs", "/v1/restore", "/v1/detections")
_ANSWERED_AT_ONCE = ("/v1/jobs", "/v1/detections")
"""A complete submission to /v1/restore waits for its result."""
_PIECE_BYTES = 65_536
_ANSWER_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A request, and the answers that are right.

    Parameters
    ----------
    kind : str
    head : bytes
        Sent first.
    flood : bytes
        Sent again and again after the head, up to `flood_bytes` and until there is an answer.
    flood_bytes : int
    expected : frozenset of int
        Statuses; without 0, which stands for no answer.
    pause_s : float
        Between the pieces of the head; they have `piece` bytes.
    piece : int
    half_close : bool
        Whether the client closes its side after the request.
    """

    kind: str
    head: bytes
    expected: frozenset[int]
    flood: bytes = b""
    flood_bytes: int = 0
    pause_s: float = 0.0
    piece: int = _PIECE_BYTES
    half_close: bool = False

    def send(self, port: int) -> bytes:
        """Send the request; return the answer, and all that follows until the service closes."""
        with socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_TIMEOUT_S) as connection:
            with contextlib.suppress(ConnectionError):
                for start in range(0, len(self.head), self.piece):
                    connection.sendall(self.head[start : start + self.piece])
                    if self.pause_s and _is_readable(connection, self.pause_s):
                        break
                self._flood(connection)
                if self.half_close:
                    connection.shutdown(socket.SHUT_WR)
            answer, ends = b"", time.monotonic() + _ANSWER_TIMEOUT_S
            with contextlib.suppress(ConnectionError):
                while time.monotonic() < ends and (data := connection.recv(_PIECE_BYTES)):
                    answer += data
            return answer

    def _flood(self, connection: socket.socket) -> None:
        left = self.flood_bytes
        block = self.flood * max(1, _PIECE_BYTES // max(1, len(self.flood)))
        while left > 0 and not _is_readable(connection, 0):
            connection.sendall(block)
            left -= len(block)


def _is_readable(connection: socket.socket, timeout_s: float) -> bool:
    return bool(select.select([connection], [], [], timeout_s)[0])


class HostileRequests:
    """An endless series of requests.

    Parameters
    ----------
    seed : int
    token : str
    image, bomb : bytes
        A file that is accepted, and one that decodes to more than is allowed.
    flood_bytes, most_bytes : int
        Of endless bodies; of the largest body that is accepted.
    slow_s : float
        A pause that is too long for the service.
    """

    def __init__(
        self,
        seed: int,
        token: str,
        image: bytes,
        bomb: bytes,
        *,
        flood_bytes: int,
        most_bytes: int,
        slow_s: float,
    ) -> None:
        self._random = random.Random(seed)
        self._token, self._image, self._bomb = token, image, bomb
        self._flood_bytes, self._most_bytes, self._slow_s = flood_bytes, most_bytes, slow_s
        self.kinds: list[Callable[[], Hostile]] = [
            self.chunk_size_line, self.chunk_extension, self.trailer, self.tiny_chunks,
            self.absurd_chunk, self.absurd_length, self.two_lengths, self.half_closed,
            self.cut_off, self.repeated_part, self.no_boundary, self.foreign_digits,
            self.options, self.bad_range, self.absolute_form, self.slow, self.nonsense,
            self.many_headers, self.long_body_for_a_short_path, self.repeated_parameter,
            self.endless_body, self.too_large, self.unknown_field, self.bomb_shown, self.odd_name,
            self.encoded_path,
        ]  # fmt: skip

    def __iter__(self) -> Iterator[Hostile]:
        while True:
            for kind in self.kinds:
                yield kind()

    # --- Framing ---------------------------------------------------------------------------------

    def chunk_size_line(self) -> Hostile:
        digit = self._random.choice(["1", "0", "f", " "])
        return self._endless("chunk-size line", "", digit)

    def chunk_extension(self) -> Hostile:
        return self._endless("chunk extension", "1;", self._random.choice(["x", "x=y;", '"']))

    def trailer(self) -> Hostile:
        line = self._random.choice(["X: y\r\n", "x"])
        return self._endless("trailer", "3\r\nabc\r\n0\r\n", line)

    def tiny_chunks(self) -> Hostile:
        data = "x" * self._random.randint(1, 20)
        extension = self._random.choice(["", ";x", ";" + "y" * 100])
        return self._endless("tiny chunks", "", f"{len(data):x}{extension}\r\n{data}\r\n")

    def absurd_chunk(self) -> Hostile:
        size = self._random.choice(["-1", "f" * 16, "1" * 20, "1" * 21, "0x5", "1_0", "٣", ""])
        token = self._authorization()
        head = self._post(self._path(), [MULTIPART, CHUNKED, *token])
        allowed = {400, 413} if token else {401}
        close = self._random.random() < 0.5
        return self._hostile("absurd chunk", head + size.encode() + b"\r\n", allowed, close=close)

    def absurd_length(self) -> Hostile:
        length = self._random.choice(
            ["9" * self._random.randint(20, 9000), str(2**63), str(2**64), "-1", "+1", "1_0", "١٢",
             "1e3", "0x10", "", " ", "5, 6", "1.0"]
        )  # fmt: skip
        lines = [MULTIPART, f"Content-Length: {length}", *self._token_line()]
        return self._hostile("absurd length", self._post(self._path(), lines), {400, 413, 431})

    def two_lengths(self) -> Hostile:
        lines = [f"Content-Length: {self._random.randint(0, 99)}"]
        lines.append(self._random.choice([CHUNKED, "Content-Length: 100"]))
        self._random.shuffle(lines)
        path = self._random.choice([*_SUBMISSIONS, "/v1/launch"])
        head = self._post(path, [*lines, MULTIPART, *self._token_line()])
        return self._hostile("two lengths", head + b"0\r\n\r\n", {400})

    def many_headers(self) -> Hostile:
        count = self._random.choice([200, 3000])
        lines = [f"X{number}: y" for number in range(count)]
        if self._random.random() < 0.3:
            lines = ["X: " + "y" * 40_000]
        return self._hostile("many headers", self._head("GET", "/v1/health", lines), {431})

    # --- Ends ------------------------------------------------------------------------------------

    def half_closed(self) -> Hostile:
        if self._random.random() < 0.5:
            head = self._head("GET", "/v1/jobs", self._token_line())
            return self._hostile("half-closed", head, {200}, close=True)
        body = self._form(("image", self._image))
        lines = [MULTIPART, f"Content-Length: {len(body)}", *self._token_line()]
        head = self._post(self._random.choice(_ANSWERED_AT_ONCE), lines)
        return self._hostile("half-closed", head + body, {202}, close=True)

    def cut_off(self) -> Hostile:
        body = self._form(("image", self._image))
        lines = [MULTIPART, f"Content-Length: {len(body)}", *self._token_line()]
        whole = self._post(self._path(), lines) + body
        end = self._random.randint(1, len(whole) - 1)
        return self._hostile("cut off", whole[:end], {400}, close=True)

    def slow(self) -> Hostile:
        body = self._form(("image", self._image))
        lines = [MULTIPART, f"Content-Length: {len(body)}", *self._token_line()]
        head = self._post(self._path(), lines)
        sent = head + body[:-1] if self._random.random() < 0.5 else head[:-2]
        pause_s = self._slow_s / 20
        piece = -(-len(sent) // 40)
        return Hostile(
            kind="slow", head=sent, expected=frozenset({408}), pause_s=pause_s, piece=piece
        )

    # --- Forms -----------------------------------------------------------------------------------

    def repeated_part(self) -> Hostile:
        name = self._random.choice(["image", "mask", "seed"])
        content = b"1" if name == "seed" else self._image
        parts = [("image", self._image), (name, content)]
        if name != "image":
            parts.append((name, content))
        return self._submission("repeated part", self._form(*parts))

    def no_boundary(self) -> Hostile:
        body = self._form(("image", self._image))
        kind = self._random.choice(["unnamed", "other", "unclosed", "unbegun"])
        line = "Content-Type: multipart/form-data" if kind == "unnamed" else MULTIPART
        if kind == "other":
            body = body.replace(b"--b", b"--c")
        elif kind == "unclosed":
            body = body.removesuffix(b"--\r\n")
        elif kind == "unbegun":
            body = body[3:]
        return self._submission("no boundary", body, line)

    def foreign_digits(self) -> Hostile:
        number = self._random.choice(["١٢", "１２", "1_000", " 7", "7 ", "²", "1e1", "9" * 5000])
        name = self._random.choice(["seed", "iterations", "threads", "width", "lease_s"])
        body = self._form(("image", self._image), (name, number.encode()))
        return self._submission("foreign digits", body)

    def unknown_field(self) -> Hostile:
        name = self._random.choice(["cats", "Image", "image[]", "sensitivity", "owner", "mask2"])
        content = self._random.choice([b"1", b"", self._image])
        return self._submission(
            "unknown field", self._form(("image", self._image), (name, content))
        )

    def bomb_shown(self) -> Hostile:
        """It may be submitted: the job fails. It is not shown."""
        kind = self._random.choice(["photo", "mask"])
        body = self._form(("image", self._bomb), ("kind", kind.encode()))
        return self._submission("bomb", body, path="/v1/display")

    def odd_name(self) -> Hostile:
        """The name of a file is for people to read only."""
        name = self._random.choice(
            [b"../../../etc/passwd", b"/", b"..", b"\xff\xfe", b"x" * 5000, b"C:\\con",
             b"%2e%2e%2f", b"a\x00b", b"\xe2\x80\xaegnp.exe", b"'; DROP TABLE jobs; --",
             b"<script>", b"a\tb"]
        )  # fmt: skip
        body = self._form(("image", self._image)).replace(b'"f"', b'"' + name + b'"')
        path = self._random.choice(_ANSWERED_AT_ONCE)
        expected = 422 if b"\xff" in name else 202  # names are in UTF-8
        return self._submission("odd name", body, path=path, expected=expected)

    def endless_body(self) -> Hostile:
        """A form whose only file goes on, in chunks of a good size."""
        token = self._authorization()
        start = self._form(("image", self._image)).removesuffix(b"\r\n--b--\r\n")
        head = self._post(self._path(), [MULTIPART, CHUNKED, *token])
        head += b"%x\r\n%b\r\n" % (len(start), start)
        return Hostile(
            kind="endless body", head=head, expected=frozenset({413 if token else 401}),
            flood=b"8000\r\n" + bytes(0x8000) + b"\r\n",
            flood_bytes=self._most_bytes + self._flood_bytes,
        )  # fmt: skip

    def too_large(self) -> Hostile:
        size = self._most_bytes + 2**20
        head = self._post(self._path(), [MULTIPART, f"Content-Length: {size}", *self._token_line()])
        return Hostile(
            kind="too large", head=head, expected=frozenset({413}), flood=bytes(0x8000),
            flood_bytes=size,
        )  # fmt: skip

    def repeated_parameter(self) -> Hostile:
        head = self._head("GET", "/v1/jobs?limit=1&limit=2", self._token_line())
        return self._hostile("repeated parameter", head, {422})

    def long_body_for_a_short_path(self) -> Hostile:
        path = self._random.choice(["/v1/launch", "/v1/nothing", "/v1/jobs/x/stop", "/v1/health"])
        lines = [f"Content-Length: {self._flood_bytes}", *self._token_line()]
        head = self._post(path, lines)
        return Hostile(
            kind="long body", head=head, expected=frozenset({200, 404, 405}), flood=b"x",
            flood_bytes=self._flood_bytes,
        )  # fmt: skip

    # --- Lines -----------------------------------------------------------------------------------

    def options(self) -> Hostile:
        path = self._random.choice(["/v1/jobs", "/v1/health", "*", "/v1/display", "/v1/restore"])
        return self._hostile("options", self._head("OPTIONS", path, self._token_line()), {200})

    def bad_range(self) -> Hostile:
        value = self._random.choice(["bytes=x", "lines=1-2", "bytes=5-2", "bytes=٣-", "", "bytes"])
        head = self._head("GET", "/v1/health", [f"Range: {value}", *self._token_line()])
        return self._hostile("bad range", head, {200})

    def encoded_path(self) -> Hostile:
        name = self._random.choice(
            ["%2e%2e", "%2f..%2f..%2fetc%2fpasswd", "%00", "%ff%fe", "%", "%zz", "%25" * 300, "..",
             "%c0%ae%c0%ae", "%u002e", "x%0d%0aX:y", ";", "%5c..%5c"]
        )  # fmt: skip
        kinds = ["jobs/{}", "jobs/{}/result", "detections/{}/levels", "jobs/x{}/events", "{}"]
        path = "/v1/" + self._random.choice(kinds).format(name)
        method = self._random.choice(["GET", "DELETE"])
        return self._hostile(
            "encoded path", self._head(method, path, self._token_line()), {404, 405}
        )

    def absolute_form(self) -> Hostile:
        host, expected = self._random.choice(
            [("localhost", 200), ("attacker.example", 400), ("localhost@x", 400), ("", 400)]
        )
        head = self._head("GET", f"http://{host}/v1/jobs", self._token_line())
        return self._hostile("absolute form", head, {expected})

    def nonsense(self) -> Hostile:
        start = self._random.choice(
            [b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET\x00/ HTTP/1.1",
             b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", b"CONNECT localhost:1 HTTP/1.1\r\nHost: x",
             b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", b"\r\n\r\n\r\n", b""]
        )  # fmt: skip
        head = start + self._random.randbytes(self._random.randint(1, 300)) + b"\r\n\r\n"
        return self._hostile("nonsense", head, {400, 403, 431}, close=True)

    # --- Parts -----------------------------------------------------------------------------------

    def _endless(self, kind: str, start: str, flood: str) -> Hostile:
        token = self._authorization()
        path = self._random.choice([*_SUBMISSIONS, "/v1/display", "/v1/launch"])
        head = self._post(path, [MULTIPART, CHUNKED, *token]) + start.encode()
        return Hostile(
            kind=kind, head=head, expected=frozenset({400, 413} if token else {401}),
            flood=flood.encode(), flood_bytes=self._flood_bytes,
        )  # fmt: skip

    def _path(self) -> str:
        return self._random.choice(_SUBMISSIONS)

    def _submission(
        self,
        kind: str,
        body: bytes,
        line: str = MULTIPART,
        *,
        path: str | None = None,
        expected: int = 422,
    ) -> Hostile:
        lines = [line, f"Content-Length: {len(body)}", *self._token_line()]
        return self._hostile(kind, self._post(path or self._path(), lines) + body, {expected})

    def _hostile(
        self, kind: str, head: bytes, expected: set[int], *, close: bool = False
    ) -> Hostile:
        piece = self._random.choice([_PIECE_BYTES, _PIECE_BYTES, max(1, len(head) // 3)])
        return Hostile(
            kind=kind, head=head, expected=frozenset(expected), piece=piece, half_close=close
        )

    def _authorization(self) -> list[str]:
        return self._token_line() if self._random.random() < 0.5 else []

    def _token_line(self) -> list[str]:
        return [f"Authorization: Bearer {self._token}"]

    def _head(self, method: str, path: str, lines: list[str]) -> bytes:
        text = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines])
        return f"{text}\r\nConnection: close\r\n\r\n".encode()

    def _post(self, path: str, lines: list[str]) -> bytes:
        return self._head("POST", path, lines)

    def _form(self, *parts: tuple[str, bytes]) -> bytes:
        body = b""
        for name, content in parts:
            file = '; filename="f"' if name in ("image", "mask") else ""
            body += f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
            body += content + b"\r\n"
        return body + b"--b--\r\n"
