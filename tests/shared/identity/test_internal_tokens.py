from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.clock import FixedClock
from shared.identity import (
    FileSigner,
    InternalVerifier,
    TokenRejected,
    TokenSigner,
    generate_private_pem,
    key_id,
    mint_internal,
    public_pem_of,
)
from shared.identity.internal import INTERNAL_TYP

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class World:
    """A trust directory that grows, and signers for its issuers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FixedClock(NOW)
        self.seconds = 0.0
        self.signers = {name: self.add_key(name) for name in ("gateway", "dns")}
        self.verifier = InternalVerifier(directory, "vault", clock=self.clock, monotonic=lambda: self.seconds)

    def add_key(self, issuer: str) -> TokenSigner:
        private = generate_private_pem()
        path = self.directory / f"{issuer}.pem"
        with path.open("ab") as file:
            file.write(public_pem_of(private))
        return TokenSigner.from_pem(private, issuer, clock=self.clock)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_everything_the_gateway_says_arrives(world: World) -> None:
    token = mint_internal(
        world.signers["gateway"], "vault", subject="usr_1", kind="user", workspace_id="ws_1", role="owner",
        permissions={"exports.create"}, scopes=["servers:read"], session_id="ses_1", auth_time=NOW,
        request_id="req_1", client_ip="198.51.100.9",
    )  # fmt: skip
    identity = world.verifier.verify(token)
    assert (identity.kind, identity.subject, identity.workspace_id) == ("user", "usr_1", "ws_1")
    assert identity.permissions == {"exports.create"}
    assert identity.scopes == {"servers:read"}
    assert identity.auth_time == NOW
    assert (identity.session_id, identity.request_id, identity.client_ip) == (
        "ses_1",
        "req_1",
        "198.51.100.9",
    )
    assert identity.issuer == "gateway"


def test_a_service_speaks_for_itself(world: World) -> None:
    identity = world.verifier.verify(mint_internal(world.signers["dns"], "vault", subject="dns"))
    assert (identity.kind, identity.issuer, identity.permissions) == ("service", "dns", frozenset())


@pytest.mark.parametrize("kind", ["user", "api_key"])
def test_only_the_gateway_vouches_for_callers(world: World, kind: Any) -> None:
    token = mint_internal(
        world.signers["dns"], "vault", subject="usr_1", kind=kind, permissions=["exports.create"]
    )
    with pytest.raises(TokenRejected, match="gateway"):
        world.verifier.verify(token)


def test_no_service_speaks_for_another(world: World) -> None:
    with pytest.raises(TokenRejected, match="itself"):
        world.verifier.verify(mint_internal(world.signers["dns"], "vault", subject="provisioner"))


@pytest.mark.asvs("9.2.3", "9.2.4", "10.3.1")
def test_a_token_for_another_service_is_refused(world: World) -> None:
    with pytest.raises(TokenRejected, match="audience"):
        world.verifier.verify(mint_internal(world.signers["gateway"], "dns", subject="usr_1", kind="user"))


@pytest.mark.asvs("13.2.1")
def test_a_token_lives_sixty_seconds_at_most(world: World) -> None:
    with pytest.raises(ValueError, match="60"):
        mint_internal(world.signers["gateway"], "vault", subject="u", kind="user", ttl=61)
    long = world.signers["gateway"].sign(
        {"aud": "vault", "sub": "u", "kind": "user"}, typ=INTERNAL_TYP, ttl=61
    )
    with pytest.raises(TokenRejected, match="expired"):
        world.verifier.verify(long)
    short = mint_internal(world.signers["gateway"], "vault", subject="u", kind="user")
    world.clock.advance(timedelta(seconds=60))
    with pytest.raises(TokenRejected, match="expired"):
        world.verifier.verify(short)


def claims(**more: Any) -> dict[str, Any]:
    return {"aud": "vault", "sub": "usr_1", "kind": "user"} | more


BAD: dict[str, Callable[[], dict[str, Any]]] = {
    "permissions a string": lambda: claims(perms="exports.create"),
    "permissions of numbers": lambda: claims(perms=[1]),
    "workspace a list": lambda: claims(ws=["ws_1"]),
    "workspace empty": lambda: claims(ws=""),
    "maker a list": lambda: claims(maker=["usr_1"]),
    "auth_time text": lambda: claims(auth_time="now"),
    "auth_time true": lambda: claims(auth_time=True),
    "unknown kind": lambda: claims(kind="root"),
    "no kind": lambda: {"aud": "vault", "sub": "usr_1"},
}


@pytest.mark.parametrize("name", BAD)
def test_ill_typed_claims_are_refused(world: World, name: str) -> None:
    token = world.signers["gateway"].sign(BAD[name](), typ=INTERNAL_TYP, ttl=60)
    with pytest.raises(TokenRejected):
        world.verifier.verify(token)


def test_a_new_key_is_found_and_the_old_one_still_holds(world: World) -> None:
    newer = world.add_key("gateway")
    world.seconds = 1
    assert world.verifier.verify(mint_internal(newer, "vault", subject="u", kind="user"))
    assert world.verifier.verify(mint_internal(world.signers["gateway"], "vault", subject="u", kind="user"))


def test_the_directory_is_looked_at_once_a_second_at_most(world: World) -> None:
    newer = world.add_key("gateway")
    world.seconds = 0.9
    with pytest.raises(TokenRejected, match="unknown key"):
        world.verifier.verify(mint_internal(newer, "vault", subject="u", kind="user"))


def test_a_removed_key_is_refused_a_second_later(world: World) -> None:
    token = mint_internal(world.signers["dns"], "vault", subject="dns")
    assert world.verifier.verify(token)
    (world.directory / "dns.pem").unlink()
    world.seconds = 1
    with pytest.raises(TokenRejected):
        world.verifier.verify(token)


def test_a_signer_takes_up_the_key_that_its_file_holds_now(tmp_path: Path) -> None:
    seconds = 0.0
    file = tmp_path / "key"
    first, second = generate_private_pem(), generate_private_pem()
    file.write_bytes(first)
    signer = FileSigner(file, "dns", monotonic=lambda: seconds)
    kid = signer.kid
    (tmp_path / "new").write_bytes(second)
    (tmp_path / "new").rename(file)
    assert signer.kid == kid
    seconds = 1.0
    assert signer.kid == key_id("dns", public_pem_of(second))
    file.write_bytes(b"half a k")
    seconds = 2.0
    assert signer.kid == key_id("dns", public_pem_of(second))
