"""The end of a webmail session, by the clock or before its time: the host's own files under the host's own PHP and Lua.

Both walls are looked at: Roundcube's plugin, which ends the session, and the sign-in service's script, which from that
moment refuses the session's secret. Neither asks what was done in between.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.hosts.images import ensure_image
from tests.provisioner.hosts.test_bundle import rendered
from tests.sandbox.hosts.conftest import IMAGES

ENDS = 1_800_001_800
MOMENTS = [ENDS - 1799, ENDS - 900, ENDS - 1, ENDS, ENDS + 1]

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="a chroot takes root")]

ROUNDCUBE = """<?php
class rcube_plugin { public function add_hook(...$_) {} }
class rcmail {
    public $killed = 0;
    public static function get_instance() { static $one; return $one ??= new rcmail; }
    public function kill_session() { $this->killed++; $_SESSION = []; }
}
require '/mnt/sc_sso.php';
class held extends sc_sso { public $now; protected function now() { return $this->now; } }
$plugin = new held;
$_SESSION['sc_sso_ends'] = (int) $argv[1];
$_SESSION['sc_sso_user'] = 'alice@example-a.test';
$_SESSION['sc_sso_id'] = 'jti-of-the-session-0';
foreach (array_slice($argv, 2) as $now) {
    $plugin->now = (int) $now;
    $said = $plugin->startup(['task' => 'mail', 'action' => 'list']);
    $said['killed'] = rcmail::get_instance()->killed;
    $said['ends'] = $_SESSION['sc_sso_ends'] ?? null;
    echo json_encode($said), "\\n";
}
"""

DOVECOT = """
dovecot = { auth = { PASSDB_RESULT_OK = "ok", PASSDB_RESULT_USER_UNKNOWN = "unknown",
                     PASSDB_RESULT_PASSWORD_MISMATCH = "mismatch" } }
local held, files = 0, {
  ["/etc/sendchief/auth/alice@example-a.test"] = { "1 {A}password" },
  ["/run/sc-sso/u/alice@example-a.test"] = { "ENDS {S}secret jti-of-the-session-0",
                                             "ENDS {S}other jti-of-the-session-1",
                                             "ENDS {S}nameless" },
  ["/etc/sendchief/webmail-ended/alice@example-a.test"] = ENDED,
}
os.time = function() return held end
io.open = function(path)
  local lines, at = files[path], 0
  return lines and { close = function() end, lines = function()
    return function() at = at + 1; return lines[at] end
  end }
end
dofile("/mnt/sendchief.lua")
local function ask(ip, password)
  local request = { user = "alice@example-a.test", remote_ip = ip }
  function request:password_verify(hash, given) return hash:sub(4) == given and 1 or 0 end
  return (auth_password_verify(request, password))
end
for _, now in ipairs({ MOMENTS }) do
  held = now
  print(ask("127.0.0.1", "secret") .. " " .. ask("198.51.100.9", "secret") .. " " .. ask("127.0.0.1", "password"))
end
"""
ONE_ENDED = """
print(ask("127.0.0.1", "secret") .. " " .. ask("127.0.0.1", "other") .. " " .. ask("127.0.0.1", "nameless")
      .. " " .. ask("127.0.0.1", "password"))
"""
USES = """
dovecot = { auth = { PASSDB_RESULT_OK = "ok", PASSDB_RESULT_USER_UNKNOWN = "unknown",
                     PASSDB_RESULT_PASSWORD_MISMATCH = "mismatch" } }
local held = 1800000000
os.time = function() return held end
dofile("/mnt/sendchief.lua")
local function ask(password)
  local request = { user = "Alice@example-a.test", remote_ip = "198.51.100.9" }
  function request:password_verify(hash, given) return hash:sub(4) == given and 1 or 0 end
  print((auth_password_verify(request, password)))
end
ask("own")
ask("pho1-secret")
ask("to0l-wrong")
held = 1800000061
ask("pho1-secret")
held = 1800000119
ask("pho1-secret")
"""

Run = Callable[..., str]


@pytest.fixture
async def run(tmp_path: Path) -> Run:
    """Runs a command in the golden image, with these files in its /mnt, in a mount namespace that ends with it."""
    root = await ensure_image(IMAGES, "golden")

    def run_there(files: dict[str, str], *argv: str) -> str:
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        script = 'mount --bind "$1" "$2/mnt" && shift && exec chroot "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", tmp_path, root, *argv],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_there


def roundcube(run: Run, ended: str | None) -> list[dict[str, Any]]:
    """What the plugin says at each of the moments; `ended` is the mailbox's file, None when there is none."""
    plugin = rendered()["/var/lib/roundcube/plugins/sc_sso/sc_sso.php"]
    files = {
        "sc_sso.php": plugin.replace("'/etc/sendchief/webmail-ended/'", "'/mnt/'"),
        "held.php": ROUNDCUBE,
    }
    assert files["sc_sso.php"] != plugin
    if ended is not None:
        files["alice@example-a.test"] = ended
    said = run(files, "/usr/bin/php", "/mnt/held.php", str(ENDS), *map(str, MOMENTS))
    return [json.loads(line) for line in said.splitlines()]


def dovecot(run: Run, ended: str, then: str = "") -> list[str]:
    """What the sign-in service says; `ended` is a Lua table of lines, or nil."""
    script = (
        DOVECOT.replace("ENDED", ended)
        .replace("ENDS", str(ENDS))
        .replace("MOMENTS", ", ".join(map(str, MOMENTS)))
    )
    files = {"sendchief.lua": rendered()["/etc/dovecot/sendchief.lua"], "held.lua": script + then}
    return [line for line in run(files, "/usr/bin/rspamadm", "lua", "/mnt/held.lua").splitlines() if line]


WORKING = {"task": "mail", "action": "list", "killed": 0, "ends": ENDS}
OVER = {"task": "login", "action": "", "killed": 1, "ends": None}
SIGNED_OUT = WORKING | {"killed": 1, "ends": None}


def test_the_plugin_ends_a_session_at_its_end_whatever_was_done_before(run: Run) -> None:
    assert roundcube(run, "") == [WORKING, WORKING, WORKING, OVER, SIGNED_OUT]


def test_the_plugin_ends_a_session_whose_sign_in_was_ended_and_no_other(run: Run) -> None:
    assert roundcube(run, "jti-of-the-session-1\njti-of-the-session-\n")[0] == WORKING
    assert roundcube(run, "jti-of-the-session-1\njti-of-the-session-0\n")[:2] == [OVER, SIGNED_OUT]


def test_the_plugin_ends_a_session_of_a_mailbox_that_is_gone(run: Run) -> None:
    assert roundcube(run, None)[0] == OVER


def test_the_sessions_secret_signs_in_until_its_end_and_only_from_the_host_itself(run: Run) -> None:
    assert dovecot(run, "{}") == ["ok mismatch ok"] * 3 + ["mismatch mismatch ok"] * 2


def test_the_secret_of_an_ended_session_signs_in_no_more_and_that_of_another_does(run: Run) -> None:
    before = f"held = {ENDS - 1}"
    assert dovecot(run, "{}", before + ONE_ENDED)[-1] == "ok ok mismatch ok"
    assert dovecot(run, '{"jti-of-the-session-0"}', before + ONE_ENDED)[-1] == "mismatch ok mismatch ok"


def test_without_the_list_of_ended_sessions_none_signs_in(run: Run) -> None:
    before = f"held = {ENDS - 1}"
    assert dovecot(run, "nil", before + ONE_ENDED)[-1] == "mismatch mismatch mismatch ok"


def test_the_minute_of_a_tools_sign_in_is_kept_and_that_of_others_is_not(run: Run, tmp_path: Path) -> None:
    for name in ("auth", "use"):
        (tmp_path / name).mkdir()
    (tmp_path / "auth/alice@example-a.test").write_text(
        "1 {A}own\n2 {A}pho1-secret pho1\n3 {A}to0l-secret to0l\n"
    )
    script = rendered()["/etc/dovecot/sendchief.lua"]
    for real, here in (
        ("/etc/sendchief/auth/", "/mnt/auth/"),
        ("/var/lib/sendchief/password-use/", "/mnt/use/"),
    ):
        assert f'"{real}"' in script
        script = script.replace(f'"{real}"', f'"{here}"')
    said = run({"sendchief.lua": script, "held.lua": USES}, "/usr/bin/rspamadm", "lua", "/mnt/held.lua")
    assert said.split() == ["ok", "ok", "mismatch", "ok", "ok"]
    kept = {path.name: path.read_text() for path in (tmp_path / "use").iterdir()}
    assert kept == {"alice@example-a.test:2": "1800000060\n"}
