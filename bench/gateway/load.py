"""One burst of load by wrk, pinned to a core, and what it says of it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_SCRIPT = """
local paths, tokens = {{}}, {{}}
for line in io.lines("{requests}") do
  local path, token = line:match("^(%S+) (%S+)$")
  paths[#paths + 1] = path
  tokens[#tokens + 1] = {{ ["Authorization"] = "Bearer " .. token }}
end
local turn = 0
request = function()
  turn = turn % #paths + 1
  return wrk.format("GET", paths[turn], tokens[turn])
end
"""


@dataclass(frozen=True)
class Burst:
    """`requests` all answered 2xx. Latencies in milliseconds."""

    requests: int
    per_second: float
    p50: float
    p99: float


def write_script(directory: Path) -> Path:
    """The Lua script by which wrk goes through all people in turn."""
    path = directory / "requests.lua"
    path.write_text(_SCRIPT.format(requests=directory / "requests.txt"))
    return path


def burst(script: Path, port: int, *, core: int, connections: int, seconds: int) -> Burst:
    """Raises RuntimeError when any answer was missing or not 2xx: a figure of failures is none."""
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["--timeout", "20s"]  # a slow answer is a figure, no failure
    done = subprocess.run(
        [*command, "-s", str(script), f"http://127.0.0.1:{port}"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    text = done.stdout
    wrong = re.search(r"(Non-2xx.*|Socket errors:.*)", text)
    if done.returncode != 0 or wrong is not None:
        raise RuntimeError(f"wrk at port {port}: {wrong[1] if wrong else done.stderr[-300:] or text[-300:]}")
    return Burst(
        requests=int(_field(text, r"(\d+) requests in")),
        per_second=float(_field(text, r"Requests/sec:\s+([\d.]+)")),
        p50=_milliseconds(_field(text, r"\n\s+50%\s+(\S+)")),
        p99=_milliseconds(_field(text, r"\n\s+99%\s+(\S+)")),
    )


def _field(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"wrk said nothing like {pattern!r}: {text[-300:]}")
    return found[1]


def _milliseconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s)", text)
    if found is None:
        raise RuntimeError(f"wrk gave the latency {text!r}")
    return float(found[1]) * _UNITS[found[2]]
