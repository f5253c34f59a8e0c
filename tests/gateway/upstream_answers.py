"""What services say: honest answers in any framing, known lies, and honest ones that were spoilt."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.gateway.upstream import REQUEST_ID, End, Script


def mark(number: int) -> bytes:
    return b"<mark %d>" % number


cuts = st.lists(st.integers(0, 3000), max_size=10).map(tuple)
ends: st.SearchStrategy[End] = st.sampled_from(["keep", "close"])


@st.composite
def honest(draw: st.DrawFn, number: int) -> Script:
    """A well-formed answer in any framing, however split."""
    body = mark(number) * draw(st.integers(0, 40)) + b"\x00\r\n\r\n" * draw(st.integers(0, 1))
    status = draw(st.sampled_from([200, 201, 301, 404, 409, 500]))
    lines = [b"HTTP/1.1 %d Words" % status, b"X-Mark: " + mark(number), b"X-Request-Id: " + REQUEST_ID]
    if draw(st.booleans()):
        lines += [b"X-Hop: secret", b"Connection: X-Hop"]
    early = b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" * draw(st.integers(0, 2))
    end = draw(ends)
    framing = draw(st.sampled_from(["length", "chunked", "chunked", "close"]))
    if framing == "length":
        lines.append(b"Content-Length: %d" % len(body))
        sent = body
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        size = draw(st.integers(1, 60))
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        trailer = b"X-Trailer: " + mark(number) + b"\r\n" if draw(st.booleans()) else b""
        sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailer + b"\r\n"
    else:
        end, sent = "close", body
    return Script(early + b"\r\n".join(lines) + b"\r\n\r\n" + sent, draw(cuts), end)


LIES = [
    b"",
    b"\r\n",
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n: nameless\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX-A: a\rX-B: b\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(200)) + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 400_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX-Request-Id: req_of_another\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 99 Low\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 1000 High\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nframes",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
]


@st.composite
def lying(draw: st.DrawFn, number: int) -> Script:
    """Anything: a known lie, or an honest answer with bytes changed, cut short, doubled or followed by more."""
    every: st.SearchStrategy[End] = st.sampled_from(["keep", "close", "reset", "stall"])
    kind = draw(st.sampled_from(["lie", "changed", "short", "second", "late"]))
    if kind == "lie":
        return Script(draw(st.sampled_from(LIES)), draw(cuts), draw(every))
    base = draw(honest(number))
    answer = base.answer
    if kind == "changed":
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(answer) - 1))
            answer = answer[:at] + draw(st.binary(max_size=2)) + answer[at + 1 :]
        return Script(answer, base.cuts, draw(every))
    if kind == "short":
        return Script(answer[: draw(st.integers(0, len(answer)))], base.cuts, draw(every))
    poison = b"HTTP/1.1 200 OK\r\nX-Request-Id: %b\r\nContent-Length: 9\r\n\r\npoisoned!" % REQUEST_ID
    if kind == "second":
        return Script(answer + poison, base.cuts, "keep")
    return Script(answer, base.cuts, "keep", late=poison.replace(REQUEST_ID, b"req_earlier"))
