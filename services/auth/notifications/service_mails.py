"""Letters about what a workspace runs and pays for: servers, domains, addresses, money, secrets, its end."""

from __future__ import annotations

from services.auth.notifications.letter import About, Letter

# -- the life of a server ----------------------------------------------------------------------------------------


def server_ready(about: About) -> Letter:
    hostname = about.data["hostname"]
    return Letter(
        f"{hostname} is ready",
        (
            f"The mail server {hostname} of the workspace {about.workspace} is ready: its address is clean, its "
            "names are verified, its certificate is valid and the test from outside has passed.",
            f"IPv4 {about.data['ipv4']}\nIPv6 {about.data['ipv6']}",
        ),
    )


def address_listed(about: About) -> Letter:
    address = about.data["address"]
    lists = ", ".join(listing["blacklist"] for listing in about.data["listings"])
    return Letter(
        f"{address} is on a blacklist",
        (
            f"The address {address} of the workspace {about.workspace} was found on: {lists}. "
            "It was seen twice, so it is not a passing fault.",
            "Mail from this address may be refused until it is taken off. The server's reputation page says what "
            "each list means and how to get off it.",
        ),
    )


# -- money -------------------------------------------------------------------------------------------------------


def subscription_activated(about: About) -> Letter:
    return Letter(
        "Your subscription is active",
        (
            f"The payment for the plan {about.data['plan']} in {about.data['zone']} has arrived. The server of the "
            f"workspace {about.workspace} is being set up now; we write again when it is ready.",
        ),
    )


def payment_failed(about: About) -> Letter:
    return Letter(
        "A payment has failed",
        (
            f"The payment for the plan {about.data['plan']} of the workspace {about.workspace} did not go through.",
            "The server goes on for now, and the payment is tried again. Please look at the means of payment: if it "
            "fails to the end, the subscription ends and the server with it.",
        ),
    )


def subscription_ended(about: About) -> Letter:
    return Letter(
        "Your subscription has ended",
        (
            f"The subscription to the plan {about.data['plan']} of the workspace {about.workspace} has ended. "
            "Nothing more is charged.",
        ),
    )


_STOPS = {
    "AddressesRefused": "every address that the data centre offered for it is on a blacklist",
    "OutOfStock": "the data centre has none of this size left",
    "QuotaExceeded": "we have reached our own limit at the data centre",
}


def server_stopped(about: About) -> Letter:
    hostname = about.data["hostname"]
    return Letter(
        f"{hostname} cannot be made for now",
        (
            f"The server {hostname} of the workspace {about.workspace} cannot be made for now: "
            f"{_STOPS[about.data['stop']]}. It was stopped before anything ran, and nothing is charged while you wait.",
            "You choose. Wait, which needs nothing: we go on trying and write when the server is ready. Or have the "
            "payment refunded, on the subscription's page: all of it goes back and the subscription ends.",
        ),
    )


def subscription_refunded(about: About) -> Letter:
    amount = f"{about.data['amount'] / 100:.2f} {about.data['currency'].upper()}"
    return Letter(
        "Your payment goes back",
        (
            f"{amount}, all that was paid for the plan {about.data['plan']} of the workspace {about.workspace}, goes "
            "back to where it came from; your bank may take some days. Nothing more is charged.",
        ),
    )


_STEPS = {
    "outbound_paused": "its mailboxes can send no mail; receiving and reading go on",
    "read_only": "it takes no mail either; what is there can still be read and exported",
    "destroyed": "it is destroyed with all mail on it, and its addresses are given back",
}


def limits_announced(about: About) -> Letter:
    hostname, day = about.data["hostname"], about.data["at"][:10]
    return Letter(
        f"{hostname}: what happens on {day} unless a payment is made",
        (
            f"The payment for the plan {about.data['plan']} of the workspace {about.workspace} is still owed. "
            f"Unless it is made, this happens to the server {hostname} on {day}: {_STEPS[about.data['step']]}.",
            "The billing page has the open invoice. With the payment everything is as it was.",
        ),
    )


def limits_begun(about: About) -> Letter:
    hostname, step = about.data["hostname"], about.data["step"]
    if step == "destroyed":
        return Letter(
            f"{hostname} is being destroyed",
            (
                f"The plan {about.data['plan']} of the workspace {about.workspace} was not paid for. As announced, the "
                f"server {hostname} is being destroyed with all mail on it. We write again when nothing of it is left.",
            ),
        )
    what = {"outbound_paused": "sends no mail", "read_only": "is read-only"}[step]
    return Letter(
        f"{hostname} {what} because a payment is owed",
        (
            f"The plan {about.data['plan']} of the workspace {about.workspace} is not paid for. From now on this "
            f"holds for the server {hostname}: {_STEPS[step]}.",
            f"The next step is on {about.data['next_at'][:10]} at the earliest: {_STEPS[about.data['next_step']]}. We "
            "write before. With the payment everything is as it was; the billing page has the open invoice.",
        ),
    )


def limits_over(about: About) -> Letter:
    hostname = about.data["hostname"]
    return Letter(
        f"{hostname}: what was owed is paid",
        (
            f"What was owed for the workspace {about.workspace} is paid, and nothing further follows. The server "
            f"{hostname} sends and receives as before.",
        ),
    )


def server_stalled(about: About) -> Letter:
    hostname = about.data["hostname"]
    return Letter(
        f"{hostname} takes longer than it should",
        (
            f"The server {hostname} of the workspace {about.workspace} does not get past the step "
            f'"{about.data["title"]}". We go on trying, and our operators see it too.',
            "The server's page says what is being waited for, and whether there is something for you to do.",
        ),
    )


def server_degraded(about: About) -> Letter:
    hostname = about.data["hostname"]
    return Letter(
        f"{hostname} needs attention",
        (
            f"Something that we check all the time on the server {hostname} of the workspace {about.workspace} does "
            f'not hold any more: "{about.data["title"]}". We are putting it right, and write when it holds again.',
            "The server's page says more. Mail may be delayed until then.",
        ),
    )


def certificate_trouble(about: About) -> Letter:
    hostname = about.data["hostname"]
    return Letter(
        f"Certificate trouble at {hostname}",
        (
            f"A certificate of the server {hostname} of the workspace {about.workspace} could not be got or is no "
            "longer good. We go on trying.",
            "The usual cause is a DNS record of one of your domains that does not lead to the server: the server's "
            "page names it.",
        ),
    )


def server_recovered(about: About) -> Letter:
    hostname = about.data["hostname"]
    return Letter(
        f"{hostname} is well again",
        (f"All that we check on the server {hostname} of the workspace {about.workspace} holds again.",),
    )


def server_deleted(about: About) -> Letter:
    hostname = about.data["hostname"] or "A server"
    return Letter(
        f"{hostname} has been removed",
        (
            f"{hostname} of the workspace {about.workspace} is gone: nothing of it is left at the data centre, its "
            "addresses are given back, and its names are withdrawn."
            + (
                f" Its removal was ordered on {about.data['ordered_at'][:10]}."
                if about.data.get("ordered_at")
                else ""
            ),
        ),
    )


def address_rotated(about: About) -> Letter:
    return Letter(
        "Another address was taken",
        (
            f"An address that the data centre offered for a server of the workspace {about.workspace} was on a "
            f"blacklist. We refused it and reserved {about.data['address']} instead, which is being checked now.",
            "There is nothing for you to do.",
        ),
    )


def address_cleared(about: About) -> Letter:
    address, remaining = about.data["address"], about.data["remaining"]
    rest = (
        f"It is still on: {', '.join(remaining)}."
        if remaining
        else "It is on none of the lists that we watch."
    )
    return Letter(
        f"{address} was taken off a blacklist",
        (
            f"The address {address} of the workspace {about.workspace} is no longer on: "
            f"{', '.join(about.data['cleared'])}.",
            rest,
        ),
    )


def domain_verified(about: About) -> Letter:
    name = about.data["name"]
    return Letter(
        f"{name} is verified",
        (
            f"All records of the domain {name} of the workspace {about.workspace} are seen as they should be, at "
            "every name server of it.",
        ),
    )


def domain_broken(about: About) -> Letter:
    name = about.data["name"]
    return Letter(
        f"Records of {name} are missing or wrong",
        (
            f"The domain {name} of the workspace {about.workspace} was verified; these records of it are missing or "
            "wrong now:",
            "\n".join(about.data["records"]),
            "Mail from this domain may be refused until they are back. The domain's plan shows what is needed.",
        ),
    )


def credentials_exported(about: About) -> Letter:
    return Letter(
        f"Passwords of {about.workspace} were exported",
        (
            f"An export with the passwords of {about.data['mailboxes']} mailboxes of the workspace {about.workspace} "
            f"was opened. The reason given was: {about.data['reason']}",
            "If you did not expect this, look at the audit log for who it was, and change the passwords.",
        ),
    )


def credentials_revealed(about: About) -> Letter:
    return Letter(
        f"A password of {about.workspace} was shown",
        (
            f"The password of a mailbox of the workspace {about.workspace} was shown to somebody who may see it. The "
            f"reason given was: {about.data['reason']}",
            "The audit log says who it was.",
        ),
    )


def workspace_ending(about: About) -> Letter:
    return Letter(
        f"{about.workspace} is being deleted",
        (
            f"An owner has asked to delete the workspace {about.workspace}. Its servers, records, keys and memberships "
            "are being removed; your access has ended, or ends with it.",
        ),
    )


def workspace_deleted(about: About) -> Letter:
    return Letter(
        f"{about.workspace} is deleted",
        (
            f"The workspace {about.workspace} is gone, as you asked. No server, address or volume is left at the data "
            "centre, no record of ours in any zone, and the keys to its secrets are destroyed.",
        ),
    )
