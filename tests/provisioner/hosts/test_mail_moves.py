"""A domain's mail goes from one real host to another: nothing is lost, and nobody is let in at two places."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import smtplib
import ssl
from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio

from services.provisioner.hosts.desired import HostDesired
from services.provisioner.hosts.port import HostCommandFailed, MailCopy
from tests.provisioner.hosts.clients import read, send, signs_in
from tests.provisioner.hosts.conftest import ready_server
from tests.provisioner.hosts.world import Server, World

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="module")]

MOVING = "example-a.test"
ALICE, BOB, CAROL = f"alice@{MOVING}", f"bob@{MOVING}", "carol@example-c.test"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pair(made_world: World) -> tuple[Server, Server]:
    first, second = await asyncio.gather(
        ready_server(made_world, 0, MOVING), ready_server(made_world, 1, "example-b.test")
    )
    await made_world.add_domain(first, "example-c.test", {CAROL: "secret-c"})
    return first, second


@pytest.fixture
def trust(made_world: World) -> ssl.SSLContext:
    return ssl.create_default_context(cadata="".join(made_world.certificate_authorities()))


def imap(server: Server, user: str, password: str) -> imaplib.IMAP4_SSL:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    session = imaplib.IMAP4_SSL(server.ipv4, 993, ssl_context=context, timeout=20)
    session.login(user, password)
    return session


def shown(server: Server) -> dict[str, list[str]]:
    """UIDVALIDITY, and UID, flags, date and Message-ID of each message, by folder."""
    found = {}
    with imap(server, ALICE, "secret-a") as session:
        for folder in ("INBOX", "Projects"):
            session.select(folder, readonly=True)
            _, validity = session.response("UIDVALIDITY")
            _, messages = session.uid(
                "FETCH", "1:*", "(FLAGS INTERNALDATE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"
            )
            lines = [b" ".join(part) if isinstance(part, tuple) else part for part in messages if part]
            found[folder] = [str(validity), *(line.decode().replace("\\Recent", "") for line in lines)]
    return found


def keep_something(server: Server) -> None:
    """Of somebody whose domain stays."""
    with imap(server, CAROL, "secret-c") as session:
        session.create("Kept")


def arrange(server: Server, message_id: str) -> None:
    """Flags, a keyword, and a folder of her own with a copy."""
    with imap(server, ALICE, "secret-a") as session:
        session.create("Projects")
        session.subscribe("Projects")
        session.select("INBOX")
        _, found = session.search(None, "HEADER", "Message-ID", message_id)
        number = found[0].decode()
        session.store(number, "+FLAGS", "(\\Seen \\Flagged Invoice)")
        session.copy(number, "Projects")


def offer(server: Server, recipient: str) -> int:
    """What port 25 says to a recipient."""
    with smtplib.SMTP(server.ipv4, 25, timeout=20) as session:
        session.ehlo("sender.example-c.test")
        session.mail(CAROL)
        return session.rcpt(recipient)[0]


async def apply(world: World, server: Server, change: Callable[[HostDesired], dict[str, object]]) -> None:
    fields = {**change(server.desired), "generation": server.desired.generation + 1}
    server.desired = server.desired.model_copy(update=fields)
    server.facts = await world.ssh.apply(server.address, server.desired)


async def until(what: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    for _ in range(int(seconds / 0.2)):
        if await what():
            return
        await asyncio.sleep(0.2)
    raise TimeoutError


async def same(world: World, source: Server, target: Server, address: str) -> MailCopy:
    """Copied again until both have the same; what the first of these copies did."""
    copies = [await world.ssh.copy_mail(source.address, target.address, address)]
    while not copies[-1].same:
        copies.append(await world.ssh.copy_mail(source.address, target.address, address))
        assert len(copies) < 4, copies
    return copies[0]


async def test_a_domain_s_mail_moves_and_what_came_meanwhile_comes_along(
    made_world: World, pair: tuple[Server, Server], trust: ssl.SSLContext
) -> None:
    source, target = pair
    moving = source.desired.domains[0]
    boxes = tuple(box for box in source.desired.mailboxes if box.address.endswith(MOVING))
    before = await asyncio.to_thread(send, source, trust, BOB, "secret-b", [ALICE])
    await asyncio.to_thread(read, source, ALICE, "secret-a", before)
    await asyncio.to_thread(arrange, source, before)
    home = f"/var/vmail/{MOVING}/alice"
    await source.inside(
        f"cd {home} && mkdir -p sieve && echo 'keep;' > sieve/main.sieve && "
        "ln -s sieve/main.sieve .dovecot.sieve && chown -Rh vmail:vmail sieve .dovecot.sieve"
    )

    # The target gets ready, and nobody is let in there yet.
    arriving = moving.model_copy(update={"served_by": source.hostname})
    await apply(made_world, target, lambda wish: {"domains": (*wish.domains, arriving)})
    assert len(target.facts.dkim_of(MOVING)) == 2 if target.facts else False
    assert offer(target, ALICE) == 450
    first = await made_world.ssh.copy_mail(source.address, target.address, ALICE)
    assert first.complete
    assert first.bytes > 0

    # Life goes on at the source: another message, another flag.
    during = await asyncio.to_thread(send, source, trust, BOB, "secret-b", [ALICE])
    await asyncio.to_thread(read, source, ALICE, "secret-a", during)

    # The source closes. Who is connected is disconnected; others on it can still write.
    connected = await asyncio.to_thread(imap, source, ALICE, "secret-a")
    expected = await asyncio.to_thread(shown, source)
    leaving = moving.model_copy(update={"served_by": target.hostname})

    def closed(wish: HostDesired) -> dict[str, object]:
        return {"domains": tuple(leaving if one.name == MOVING else one for one in wish.domains)}

    await apply(made_world, source, closed)
    assert not await asyncio.to_thread(signs_in, source, trust, ALICE, "secret-a")
    assert offer(source, ALICE) == 450
    await until(lambda: made_world.ssh.mail_quiet(source.address, MOVING))
    with pytest.raises((imaplib.IMAP4.error, OSError)):
        await asyncio.to_thread(connected.noop)
    late = await asyncio.to_thread(send, source, trust, CAROL, "secret-c", [ALICE])

    second = await same(made_world, source, target, ALICE)
    assert 0 < second.bytes < first.bytes + 20_000
    await same(made_world, source, target, BOB)

    # The target opens.
    def opened(wish: HostDesired) -> dict[str, object]:
        others = tuple(one for one in wish.domains if one.name != MOVING)
        return {"domains": (*others, moving), "mailboxes": (*wish.mailboxes, *boxes)}

    await apply(made_world, target, opened)
    assert target.facts is not None
    assert {box.verified for box in target.facts.mailboxes} == {True}
    await made_world.publish_domain(target, MOVING, target.facts)
    arrived = await asyncio.to_thread(shown, target)
    assert arrived == expected
    assert "Invoice" in str(arrived["INBOX"])
    assert await target.inside(f"cat {home}/.dovecot.sieve") == "keep;\n"
    for message_id in (before, during):
        assert "A text." in await asyncio.to_thread(read, target, ALICE, "secret-a", message_id)

    async def let_through() -> bool:
        log = await made_world.ssh.mail_log(source.address, message_id=late)
        return any("status=sent" in line and f"relay={target.hostname}" in line for line in log)

    for _ in range(5):  # a message that is just being looked at is not flushed
        await made_world.ssh.queue(source.address, flush=True)
        with contextlib.suppress(TimeoutError):
            await until(let_through, 4)
            break
    else:
        pytest.fail("\n".join(await made_world.ssh.mail_log(source.address, message_id=late)))
    assert "A text." in await asyncio.to_thread(read, target, ALICE, "secret-a", late)

    # Whoever has not heard that it is open cannot write into it any more.
    with pytest.raises(HostCommandFailed, match="not_closed"):
        await made_world.ssh.copy_mail(source.address, target.address, ALICE)
    with pytest.raises(HostCommandFailed, match="still_here"):
        await made_world.ssh.forget_mail(source.address, MOVING)
    await apply(
        made_world, source,
        lambda wish: {
            "domains": tuple(one for one in wish.domains if one.name != MOVING),
            "mailboxes": tuple(box for box in wish.mailboxes if box not in boxes),
        },
    )  # fmt: skip
    await asyncio.to_thread(keep_something, source)
    await made_world.ssh.forget_mail(source.address, MOVING)
    await made_world.ssh.forget_mail(source.address, MOVING)
    assert (await source.inside("ls /var/vmail")).split() == ["example-c.test"]
    assert "A text." in await asyncio.to_thread(read, target, ALICE, "secret-a", during)


async def test_a_giver_that_cannot_leaves_the_taker_as_it_was(
    made_world: World, pair: tuple[Server, Server]
) -> None:
    source, target = pair
    strange = source.desired.domains[0].model_copy(
        update={"name": "example-d.test", "domain_id": "dom_d", "served_by": source.hostname}
    )
    await apply(made_world, target, lambda wish: {"domains": (*wish.domains, strange)})
    with pytest.raises(HostCommandFailed, match="giver_failed: unknown_domain"):
        await made_world.ssh.copy_mail(source.address, target.address, "eve@example-d.test")
