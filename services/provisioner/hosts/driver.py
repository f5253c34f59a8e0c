"""The real `HostPort`: SSH with a pinned host key, a fresh certificate per connection, one JSON answer per call."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from datetime import timedelta
from typing import Any

import asyncssh
from pydantic import SecretBytes

from services.provisioner.hosts.bundle.archive import apply_payload, build_archive, bundle_version
from services.provisioner.hosts.desired import HostDesired, HostFacts
from services.provisioner.hosts.mail_pipe import Said, through
from services.provisioner.hosts.port import (
    CertificatesResult,
    HostAddress,
    HostCommandFailed,
    HostKeyChanged,
    HostRefused,
    HostUnreachable,
    InstallStatus,
    MailCopy,
    ProbeResult,
    QueueEntry,
    SelfTestPassword,
    helper_error,
)
from services.provisioner.hosts.ssh_authority import SshAuthority

USER = "scadmin"
_ANSWER_LIMIT = 16 * 1024 * 1024
_COPY_SECONDS = 45.0
"""So long one call sends at most: whoever waits for the same host gets his turn."""


class SshHost:
    """Calls the helper of any host. Holds no connection between calls."""

    def __init__(
        self,
        authority: SshAuthority,
        *,
        connect_timeout: timedelta = timedelta(seconds=8),
        call_timeout: timedelta = timedelta(seconds=60),
        certificates_timeout: timedelta = timedelta(seconds=180),
    ) -> None:
        # The library asks for the login name and home of this process, whose uid may have neither.
        os.environ.setdefault("LOGNAME", USER)
        os.environ.setdefault("HOME", "/nonexistent")
        self._authority = authority
        self._connect_timeout = connect_timeout.total_seconds()
        self._call_timeout = call_timeout.total_seconds()
        self._certificates_timeout = certificates_timeout.total_seconds()

    async def shown_key(self, address: str, port: int = 22) -> str:
        try:
            async with asyncio.timeout(self._connect_timeout):
                key = await asyncssh.get_server_host_key(
                    address, port, server_host_key_algs=["ssh-ed25519"], config=[]
                )
        except (TimeoutError, asyncssh.Error, OSError) as error:
            raise HostUnreachable(f"{address}:{port}: {type(error).__name__}") from error
        if key is None:
            raise HostUnreachable(f"{address}:{port}: no key was shown")
        return " ".join(key.export_public_key().decode().split()[:2])

    async def first_contact(self, host: HostAddress) -> str:
        answer = await self._call(host, "prepare-host-key")
        return str(answer["public_key"])

    async def adopt_host_key(self, host: HostAddress, new_public_key: str) -> None:
        request = {"public_key": new_public_key}
        try:
            await self._call(host, "adopt-host-key", request)
        except HostKeyChanged:
            # An earlier try may have got through: then the host shows the new key, and agrees.
            moved = HostAddress(host.server_id, host.address, new_public_key, host.port)
            await self._call(moved, "adopt-host-key", request)

    async def upload_and_start_install(
        self, host: HostAddress, run_id: str, desired: HostDesired
    ) -> InstallStatus:
        archive = await asyncio.to_thread(build_archive, desired)
        request = {
            "run_id": run_id,
            "bundle_version": bundle_version(),
            "size": len(archive),
            "sha256": hashlib.sha256(archive).hexdigest(),
        }
        return InstallStatus.model_validate(await self._call(host, "install-start", request, archive))

    async def install_status(self, host: HostAddress, run_id: str) -> InstallStatus:
        return InstallStatus.model_validate(await self._call(host, "install-status", {"run_id": run_id}))

    async def apply(self, host: HostAddress, desired: HostDesired) -> HostFacts:
        payload = await asyncio.to_thread(apply_payload, desired)
        answer = await self._call(host, "apply", payload, within=self._certificates_timeout)
        return HostFacts.model_validate(answer["facts"])

    async def facts(self, host: HostAddress) -> HostFacts:
        return HostFacts.model_validate((await self._call(host, "facts"))["facts"])

    async def certificates(self, host: HostAddress, *, retry_now: bool = False) -> CertificatesResult:
        request = {"retry_now": retry_now}
        answer = await self._call(host, "certificates", request, within=self._certificates_timeout)
        return CertificatesResult.model_validate(answer)

    async def probe(self, host: HostAddress, connect_to: tuple[str, int] | None = None) -> ProbeResult:
        request = {"connect_to": list(connect_to) if connect_to else None}
        return ProbeResult.model_validate((await self._call(host, "probe", request))["probe"])

    async def mail_log(
        self,
        host: HostAddress,
        *,
        queue_id: str | None = None,
        message_id: str | None = None,
        lines: int = 100,
    ) -> tuple[str, ...]:
        request = {"queue_id": queue_id, "message_id": message_id, "lines": lines}
        answer = await self._call(host, "mail-log", request)
        return tuple(str(line) for line in answer["lines"])

    async def queue(self, host: HostAddress, *, flush: bool = False) -> tuple[QueueEntry, ...]:
        answer = await self._call(host, "queue", {"flush": flush})
        return tuple(QueueEntry.model_validate(entry) for entry in answer["entries"])

    async def copy_mail(self, giver: HostAddress, taker: HostAddress, address: str) -> MailCopy:
        stdin = json.dumps({"address": address, "seconds": _COPY_SECONDS}).encode() + b"\n"
        async with contextlib.AsyncExitStack() as ends:
            giving = await self._connect(giver, "mail-give")
            ends.callback(giving.abort)
            taking = await self._connect(taker, "mail-take")
            ends.callback(taking.abort)
            try:
                async with asyncio.timeout(self._certificates_timeout):
                    done = await through(giving, taking, stdin)
            except (TimeoutError, asyncssh.Error, OSError) as error:
                broke = type(error).__name__
                raise HostUnreachable(f"{giver.address} to {taker.address}: mail: {broke}") from error
        return MailCopy.model_validate(_answer(taker, "mail-take", done))

    async def mail_quiet(self, host: HostAddress, domain: str) -> bool:
        return bool((await self._call(host, "mail-quiet", {"domain": domain}))["quiet"])

    async def forget_mail(self, host: HostAddress, domain: str) -> None:
        await self._call(host, "mail-forget", {"domain": domain}, within=self._certificates_timeout)

    async def set_webmail_key(self, host: HostAddress, key: SecretBytes, version: int) -> None:
        """`key` is base64url text of 32 bytes without padding, as the vault hands it out."""
        request = {"key": key.get_secret_value().decode("ascii"), "version": version}
        await self._call(host, "webmail-key", request)

    async def set_selftest_password(self, host: HostAddress, password: SelfTestPassword | None) -> None:
        request: dict[str, Any] = {}
        if password is not None:
            expires_at = int(password.expires_at.timestamp())
            request = {"verifier": password.verifier, "expires_at": expires_at}
        await self._call(host, "selftest-password", request)

    async def _call(
        self,
        host: HostAddress,
        verb: str,
        request: dict[str, Any] | None = None,
        payload: bytes = b"",
        *,
        within: float | None = None,
    ) -> dict[str, Any]:
        """One connection, one verb. The answer is the helper's JSON document without error."""
        stdin = json.dumps(request or {}).encode() + b"\n" + payload
        connection = await self._connect(host, verb)
        try:
            async with asyncio.timeout(within or self._call_timeout):
                done = await connection.run(verb, input=stdin, encoding=None)
        except (TimeoutError, asyncssh.Error, OSError) as error:
            raise HostUnreachable(f"{host.address}: {verb}: no answer ({type(error).__name__})") from error
        finally:
            connection.abort()
        return _answer(host, verb, done)

    async def _connect(self, host: HostAddress, verb: str) -> asyncssh.SSHClientConnection:
        key, certificate = self._authority.issue(host.server_id, verb)
        pinned = asyncssh.import_public_key(host.pinned_host_key)
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await asyncssh.connect(
                    host.address,
                    host.port,
                    username=USER,
                    client_keys=[(key, certificate)],
                    known_hosts=([pinned], [], []),
                    server_host_key_algs=["ssh-ed25519"],
                    agent_path=None,
                    config=[],
                    password=None,
                    gss_host=None,
                    keepalive_interval=15,
                    login_timeout=self._connect_timeout,
                )
        except asyncssh.HostKeyNotVerifiable as error:
            raise HostKeyChanged(f"{host.address} shows another host key than the pinned one") from error
        except asyncssh.PermissionDenied as error:
            raise HostRefused(f"{host.address} does not accept our certificate") from error
        except (TimeoutError, asyncssh.Error, OSError) as error:
            reason = str(error) or type(error).__name__
            raise HostUnreachable(f"{host.address}:{host.port}: {reason}") from error


def _answer(host: HostAddress, verb: str, done: asyncssh.SSHCompletedProcess | Said) -> dict[str, Any]:
    stdout = done.stdout if isinstance(done.stdout, bytes) else b""
    try:
        if len(stdout) > _ANSWER_LIMIT:
            raise ValueError("too long")
        answer = json.loads(stdout)
    except ValueError as error:
        if not stdout and done.exit_status is None:
            raise HostUnreachable(f"{host.address}: {verb}: the connection ended") from error
        stderr = done.stderr if isinstance(done.stderr, bytes) else b""
        detail = stderr.decode(errors="replace").strip()[-500:]
        raise HostCommandFailed(verb, "no_answer", detail or "no JSON answer") from error
    if not isinstance(answer, dict) or not answer.get("ok"):
        raise helper_error(verb, answer if isinstance(answer, dict) else {})
    return answer
