"""The absolute end of a webmail session, on a held clock: the host's own files under the host's own PHP and Lua.

Both walls are looked at: Roundcube's plugin, which ends the session, and the sign-in service's script, which from that
moment refuses the session's secret. Neither asks what was done in between.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

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
  ["/run/sc-sso/u/alice@example-a.test"] = { "ENDS {S}secret" },
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


def test_the_plugin_ends_a_session_at_its_end_whatever_was_done_before(run: Run) -> None:
    files = {"sc_sso.php": rendered()["/var/lib/roundcube/plugins/sc_sso/sc_sso.php"], "held.php": ROUNDCUBE}
    said = run(files, "/usr/bin/php", "/mnt/held.php", str(ENDS), *map(str, MOMENTS))
    seen = [json.loads(line) for line in said.splitlines()]
    working = {"task": "mail", "action": "list", "killed": 0, "ends": ENDS}
    ended = {"task": "login", "action": "", "killed": 1, "ends": None}
    assert seen == [working, working, working, ended, {**working, "killed": 1, "ends": None}]


def test_the_sessions_secret_signs_in_until_its_end_and_only_from_the_host_itself(run: Run) -> None:
    script = DOVECOT.replace("ENDS", str(ENDS)).replace("MOMENTS", ", ".join(map(str, MOMENTS)))
    files = {"sendchief.lua": rendered()["/etc/dovecot/sendchief.lua"], "held.lua": script}
    said = [line for line in run(files, "/usr/bin/rspamadm", "lua", "/mnt/held.lua").splitlines() if line]
    assert said == ["ok mismatch ok"] * 3 + ["mismatch mismatch ok"] * 2
