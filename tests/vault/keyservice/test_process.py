"""python -m services.vault.keyservice: the command and the process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.vault.errors import KeyServiceDenied, KeyServiceUnavailable
from services.vault.keyservice import __main__ as command
from services.vault.keyservice import keyring
from services.vault.keyservice.settings import KeyServiceSettings
from services.vault.ports import KeyContext
from services.vault.providers.local_key_service import LocalKeyService
from services.vault.secret_bytes import SecretBytes

ROOT = Path(__file__).parents[3]
CONTEXT = KeyContext("test", "ws_a", 1)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="changing uids takes root")
OTHER_UID = 54321


@pytest.fixture
def directory(open_directory: Path) -> Path:
    return open_directory


@contextmanager
def running(
    directory: Path, *, allowed: str | None = None, uid: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "services.vault.keyservice"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "SC_SOCKET": str(directory / "keys.sock"),
            "SC_KEYRING_FILE": str(directory / "keyring"),
            "SC_ALLOWED_UIDS": allowed or str(os.geteuid()),
        },
        stderr=subprocess.PIPE,
        text=True,
        user=uid,
    )
    try:
        deadline = time.monotonic() + 20
        while not (directory / "keys.sock").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(10)


def init(directory: Path, *more: str) -> None:
    assert command.main(["init", "--keyring", str(directory / "keyring"), *more]) == 0


def test_init_makes_one_root_key_and_never_prints_it(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init(directory)
    assert stat.S_IMODE((directory / "keyring").stat().st_mode) == 0o600
    (key,) = keyring.load(directory / "keyring").root_keys()
    printed = capsys.readouterr()
    assert key.id in printed.out
    assert key.key.reveal().hex() not in printed.out + printed.err
    assert command.main(["init", "--keyring", str(directory / "keyring")]) == 1


def test_add_key_and_list(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(directory)
    first = keyring.load(directory / "keyring").primary
    assert command.main(["add-key", "--keyring", str(directory / "keyring")]) == 0
    capsys.readouterr()
    assert command.main(["list", "--keyring", str(directory / "keyring")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(first)
    assert not lines[0].endswith("primary")
    assert lines[1].endswith(" primary")


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("init", "add-key", "list"))


def test_it_does_not_start_with_a_keyring_that_others_can_read(directory: Path) -> None:
    init(directory)
    (directory / "keyring").chmod(0o640)
    with running(directory) as process:
        assert process.wait(20) == 1
        assert process.stderr is not None
        assert "mode 0640" in process.stderr.read()
    assert not (directory / "keys.sock").exists()


def test_it_does_not_start_without_a_keyring(directory: Path) -> None:
    with running(directory) as process:
        assert process.wait(20) == 1


async def test_it_serves_and_cannot_be_dumped_and_ends_on_sigterm(directory: Path) -> None:
    init(directory)
    with running(directory) as process:
        service = LocalKeyService(directory / "keys.sock")
        key = SecretBytes(os.urandom(32))
        assert await service.unwrap(await service.wrap(key, CONTEXT), CONTEXT) == key
        limits = await asyncio.to_thread(Path(f"/proc/{process.pid}/limits").read_text)
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert not (directory / "keys.sock").exists()


async def test_what_was_wrapped_opens_after_a_kill_and_a_restart(directory: Path) -> None:
    init(directory)
    key = SecretBytes(os.urandom(32))
    with running(directory) as process:
        wrapped = await LocalKeyService(directory / "keys.sock").wrap(key, CONTEXT)
        process.kill()
        process.wait(10)
    command.main(["add-key", "--keyring", str(directory / "keyring")])
    (directory / "keys.sock").unlink()
    with running(directory):
        assert await LocalKeyService(directory / "keys.sock").unwrap(wrapped, CONTEXT) == key


ASK = """
import asyncio, sys
from pathlib import Path
from services.vault.errors import KeyServiceDenied
from services.vault.providers.local_key_service import LocalKeyService
try:
    asyncio.run(LocalKeyService(Path(sys.argv[1])).check())
    print("answered")
except KeyServiceDenied:
    print("refused")
"""


def ask_as(uid: int, directory: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-B", "-c", ASK, str(directory / "keys.sock")],
        cwd=ROOT, user=uid, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return (result.stdout or result.stderr).strip().splitlines()[-1]


@AS_ROOT
def test_only_the_uids_on_the_list_are_answered(directory: Path) -> None:
    init(directory)
    with running(directory, allowed=f"{OTHER_UID},{OTHER_UID + 1}"):
        assert ask_as(OTHER_UID, directory) == "answered"
        assert ask_as(OTHER_UID + 1, directory) == "answered"
        assert ask_as(OTHER_UID + 2, directory) == "refused"
        with pytest.raises(KeyServiceDenied):  # not even root
            asyncio.run(LocalKeyService(directory / "keys.sock").check())


@pytest.mark.asvs("13.3.2")
@AS_ROOT
def test_with_a_uid_of_its_own_neither_the_vault_nor_its_environment_reaches_the_keyring(
    directory: Path,
) -> None:
    init(directory, "--owner", str(OTHER_UID))
    (directory / "keyring").rename(directory / "moved")
    home = directory / "home"
    home.mkdir()
    os.chown(home, OTHER_UID, -1)
    (directory / "moved").rename(home / "keyring")
    vault = OTHER_UID + 1
    with running(home, allowed=str(vault), uid=OTHER_UID) as process:
        assert ask_as(vault, home) == "answered"
        for stolen in (
            home / "keyring",
            Path(f"/proc/{process.pid}/environ"),
            Path(f"/proc/{process.pid}/mem"),
        ):
            result = subprocess.run(["cat", str(stolen)], user=vault, capture_output=True, check=False)
            assert result.returncode != 0
            assert b"Permission denied" in result.stderr


@pytest.mark.parametrize(("text", "uids"), [("1", {1}), ("1,2", {1, 2}), ("[3, 4]", {3, 4})])
def test_allowed_uids_are_a_list(monkeypatch: pytest.MonkeyPatch, text: str, uids: set[int]) -> None:
    monkeypatch.setenv("SC_SOCKET", "/x")
    monkeypatch.setenv("SC_KEYRING_FILE", "/y")
    monkeypatch.setenv("SC_ALLOWED_UIDS", text)
    monkeypatch.setenv("SC_SOCKET_MODE", "0660")
    settings = KeyServiceSettings()  # from the environment
    assert settings.allowed_uids == frozenset(uids)
    assert settings.socket_mode == 0o660


async def test_serving_in_process_until_told_to_stop(directory: Path) -> None:
    init(directory)
    stop = asyncio.Event()
    settings = KeyServiceSettings(
        socket=directory / "keys.sock",
        keyring_file=directory / "keyring",
        allowed_uids=frozenset({os.geteuid()}),
    )
    serving = asyncio.create_task(command.serve(settings, stop))
    async with asyncio.timeout(10):
        while True:  # until it listens
            with contextlib.suppress(KeyServiceUnavailable):
                await LocalKeyService(settings.socket).check()
                break
            await asyncio.sleep(0.01)
    stop.set()
    await asyncio.wait_for(serving, 5)
    assert not settings.socket.exists()


def test_the_command_serves_with_settings_from_the_environment(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []

    async def serve(settings: KeyServiceSettings) -> None:
        served.append(settings.keyring_file)

    monkeypatch.setattr(command, "serve", serve)
    monkeypatch.setenv("SC_SOCKET", "/x")
    monkeypatch.setenv("SC_KEYRING_FILE", "/y")
    monkeypatch.setenv("SC_ALLOWED_UIDS", "1")
    assert command.main([]) == 0
    assert served == [Path("/y")]
