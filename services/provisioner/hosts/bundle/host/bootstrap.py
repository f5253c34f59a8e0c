#!/usr/bin/python3 -I
"""The first program on a fresh host, and part of every later one: takes a bundle and starts its install.

It is the forced command of the one administrative account. The verb comes in SSH_ORIGINAL_COMMAND, a JSON
document on stdin; one JSON document goes to stdout. Standard library only, and no other file of the bundle.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

STATE = pathlib.Path("/var/lib/sendchief")
PROGRAMS = pathlib.Path("/opt/sendchief")
HOST_KEY = pathlib.Path("/etc/ssh/ssh_host_ed25519_key")
MAX_REQUEST = 64 * 1024 * 1024
RUN_ID = re.compile(r"^[a-z0-9][a-z0-9_-]{0,63}$")
VERSION = re.compile(r"^[0-9]+-[0-9a-f]{12}$")

Answer = dict[str, Any]


class Refused(Exception):
    """An answer with an error: `code` is a stable word, `detail` is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def run(*argv: str, stdin: bytes | None = None, check: bool = True, timeout: float = 300) -> str:
    """Runs a program; returns its stdout. Raises Refused("command_failed") with what it said on stderr."""
    done = subprocess.run(argv, input=stdin or b"", capture_output=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-1500:]
        raise Refused("command_failed", f"{argv[0]} {argv[1] if len(argv) > 1 else ''}: {said}")
    return done.stdout.decode(errors="replace")


@contextlib.contextmanager
def locked(name: str, wait_seconds: float = 60) -> Iterator[None]:
    """One at a time on this host; Refused("busy") when it takes too long."""
    directory = pathlib.Path("/run/sendchief")
    directory.mkdir(mode=0o700, exist_ok=True)
    with open(directory / f"{name}.lock", "w") as handle:
        ends = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise Refused("busy", f"another {name} is running") from None
                time.sleep(0.05)
        yield


def public_key(private: pathlib.Path) -> str:
    """`ssh-ed25519 AAAA…` without comment."""
    return " ".join(run("ssh-keygen", "-y", "-f", str(private)).split()[:2])


def prepare_host_key(_request: Answer, _payload: BinaryIO) -> Answer:
    """Makes the host's own key beside the injected one. The same key is answered until it is adopted."""
    prepared = HOST_KEY.with_name(HOST_KEY.name + ".next")
    if not prepared.exists():
        making = HOST_KEY.with_name(HOST_KEY.name + ".making")
        for path in (making, making.with_name(making.name + ".pub")):
            path.unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(making))
        making.with_name(making.name + ".pub").unlink()
        os.rename(making, prepared)
    return {"public_key": public_key(prepared)}


def adopt_host_key(request: Answer, _payload: BinaryIO) -> Answer:
    """Puts the prepared key, which the caller names, in place of the injected one; asking again changes nothing."""
    wanted = str(request.get("public_key", ""))
    prepared = HOST_KEY.with_name(HOST_KEY.name + ".next")
    if public_key(HOST_KEY) == wanted:
        return {"public_key": wanted}
    if not prepared.exists() or public_key(prepared) != wanted:
        raise Refused("unknown_key", "this is not the key that was prepared")
    os.rename(prepared, HOST_KEY)
    HOST_KEY.with_name(HOST_KEY.name + ".pub").write_text(wanted + "\n")
    run("systemctl", "reload", "ssh")
    return {"public_key": wanted}


def _run_directory(run_id: object) -> pathlib.Path:
    if not isinstance(run_id, str) or not RUN_ID.match(run_id):
        raise Refused("bad_request", "run_id")
    return STATE / "runs" / run_id


def _unpack(payload: BinaryIO, request: Answer) -> str:
    """Checks the archive against its digest and unpacks it to /opt/sendchief/<version>.<run>; returns that name."""
    version, size = str(request.get("bundle_version")), int(request.get("size", 0))
    if not VERSION.match(version) or not 0 < size <= MAX_REQUEST:
        raise Refused("bad_request", "bundle_version or size")
    archive = payload.read(size)
    if hashlib.sha256(archive).hexdigest() != request.get("sha256"):
        raise Refused("damaged", "the archive is not what was announced")
    target = PROGRAMS / f"{version}.{request['run_id']}"
    target.mkdir(parents=True, mode=0o755, exist_ok=True)
    scratch = STATE / "incoming.tar.gz"
    scratch.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    scratch.write_bytes(archive)
    with tarfile.open(scratch) as tar:
        tar.extractall(target, filter="data")
    scratch.unlink()
    return str(target)


def install_start(request: Answer, payload: BinaryIO) -> Answer:
    """Starts the install in a unit of its own, so that nothing which happens to this connection matters to it."""
    directory = _run_directory(request.get("run_id"))
    with locked("install-start"):
        if not (directory / "started").exists():
            target = _unpack(payload, request)
            directory.mkdir(parents=True, mode=0o700, exist_ok=True)
            (directory / "bundle_version").write_text(str(request["bundle_version"]))
            code = (
                f"import sys; sys.path.insert(0, {target!r}); "
                f"from sendchief_host.install import main; main({directory.name!r}, {target!r})"
            )
            # Started first, marked after: a crash between the two leads to "unit exists", never to no install.
            unit = f"sc-install-{directory.name}"
            if run("systemctl", "is-active", unit, check=False).strip() not in ("active", "activating"):
                run(
                    "systemd-run",
                    "--quiet",
                    "--collect",
                    f"--unit={unit}",
                    "/usr/bin/python3",
                    "-I",
                    "-c",
                    code,
                )
            (directory / "started").touch()
    return install_status(request, payload)


def install_status(request: Answer, _payload: BinaryIO) -> Answer:
    """State of a run: unknown, running, ok, failed, or lost (it began and ended without a word)."""
    directory = _run_directory(request.get("run_id"))
    answer: Answer = {"run_id": directory.name, "state": "unknown", "steps": []}
    if not directory.exists():
        return answer
    # The unit is asked before the result: it writes the result before it ends.
    unit = run("systemctl", "is-active", f"sc-install-{directory.name}", check=False).strip()
    with contextlib.suppress(FileNotFoundError):
        answer["bundle_version"] = (directory / "bundle_version").read_text()
    with contextlib.suppress(FileNotFoundError):
        lines = (directory / "steps.jsonl").read_text().splitlines()
        answer["steps"] = [json.loads(line) for line in lines if line.endswith("}")]
    with contextlib.suppress(FileNotFoundError):
        answer["log_tail"] = (directory / "log").read_text(errors="replace")[-4000:]
    result = directory / "result.json"
    if result.exists():
        answer.update(json.loads(result.read_text()))
    else:
        answer["state"] = "running" if unit in ("active", "activating") else "lost"
    return answer


Verb = Callable[[Answer, BinaryIO], Answer]
VERBS: dict[str, Verb] = {
    "prepare-host-key": prepare_host_key,
    "adopt-host-key": adopt_host_key,
    "install-start": install_start,
    "install-status": install_status,
}


def serve(verbs: dict[str, Verb]) -> int:
    """Reads one request, answers it. The first line of stdin is the JSON document; an archive may follow it."""
    os.umask(0o022)
    verb = os.environ.get("SSH_ORIGINAL_COMMAND", "") or (sys.argv[1] if len(sys.argv) > 1 else "")
    from_ssh = "SSH_ORIGINAL_COMMAND" in os.environ
    try:
        if verb not in verbs:
            raise Refused("unknown_command", f"this host knows: {', '.join(sorted(verbs))}")
        line = sys.stdin.buffer.readline(MAX_REQUEST) if from_ssh else b"{}"
        request = json.loads(line or b"{}")
        if not isinstance(request, dict):
            raise Refused("bad_request", "a JSON object is expected")
        answer, status = {**verbs[verb](request, sys.stdin.buffer), "ok": True}, 0
    except Refused as error:
        answer, status = {"ok": False, "error": {"code": error.code, "detail": error.detail}}, 1
    except subprocess.TimeoutExpired as error:
        answer, status = {"ok": False, "error": {"code": "timeout", "detail": str(error.cmd[0])}}, 1
    except (ValueError, KeyError, TypeError) as error:
        detail = f"{type(error).__name__}: {error}"
        answer, status = {"ok": False, "error": {"code": "bad_request", "detail": detail}}, 1
    except OSError as error:
        answer, status = {"ok": False, "error": {"code": "system", "detail": str(error)}}, 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(serve(VERBS))
