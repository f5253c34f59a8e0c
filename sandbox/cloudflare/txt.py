"""TXT content as Cloudflare takes it: quoted strings as in a zone file, or bare text that it splits when serving."""

from __future__ import annotations

from sandbox.cloudflare.envelope import invalid

STRING_MAX = 255
CONTENT_MAX = 4096


def strings(content: str) -> list[bytes]:
    """The character-strings (RFC 1035 section 3.3.14) that `content` stands for. Raises ApiError."""
    if not content:
        raise invalid(9207, "Content for TXT record must not be empty.")
    if len(content.encode()) > CONTENT_MAX:
        raise invalid(9208, f"Content for TXT record is longer than {CONTENT_MAX} bytes.")
    if content.startswith('"'):
        found = _quoted(content)
        return [p[i : i + STRING_MAX] for p in found for i in range(0, len(p) or 1, STRING_MAX)]
    raw = content.encode()
    return [raw[i : i + STRING_MAX] for i in range(0, len(raw), STRING_MAX)]


def presentation(parts: list[bytes]) -> str:
    """Zone-file form of character-strings, everything outside printable ASCII as ``\\DDD``."""
    return " ".join('"' + "".join(_escape(byte) for byte in part) + '"' for part in parts)


def _escape(byte: int) -> str:
    if byte in b'"\\':
        return "\\" + chr(byte)
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03d}"


def _quoted(content: str) -> list[bytes]:
    found: list[bytes] = []
    position = 0
    while position < len(content):
        if content[position].isspace():
            position += 1
            continue
        if content[position] != '"':
            raise invalid(9209, "Content for TXT record mixes quoted and unquoted text.")
        part, position = _one_string(content, position + 1)
        found.append(part)
    return found


def _one_string(content: str, position: int) -> tuple[bytes, int]:
    """The string that begins at `position`, and the position after its closing quote."""
    out = bytearray()
    while position < len(content):
        character = content[position]
        if character == '"':
            return bytes(out), position + 1
        if character == "\\":
            digits = content[position + 1 : position + 4]
            if len(digits) == 3 and digits.isdigit() and int(digits) < 256:
                out.append(int(digits))
                position += 4
                continue
            position += 1
            if position == len(content):
                break
            character = content[position]
        out += character.encode()
        position += 1
    raise invalid(9209, "Content for TXT record has a quote that is not closed.")
