"""One way to break each row of the self-test on a real host, and the way back.

`plant` and `repair` are shell scripts run as the host's root, or act on the world's DNS (lines starting with "dns:").
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.dns.records import reverse_name
from tests.provisioner.hosts.world import Server, World

LISTEN = (
    "systemd-run --quiet --collect --unit=stray /usr/bin/python3 -c "
    "'import socket,time; s=socket.create_server((\"{address}\", {port}), family=socket.{family}); time.sleep(600)'; "
    "for i in $(seq 50); do ss -Hltn | grep -q ':{port} ' && break; sleep 0.1; done; "
    "nft insert rule inet sendchief input tcp dport {port} accept"
)
STOP_LISTENING = "systemctl stop stray; nft -f /etc/nftables.conf"
POSTFIX = "postfix reload; sleep 0.3"
MAIN = "cp -p /etc/postfix/main.cf /root/main.cf; cp -p /etc/postfix/master.cf /root/master.cf; "
MAIN_BACK = (
    f"cp -p /root/main.cf /etc/postfix/main.cf; cp -p /root/master.cf /etc/postfix/master.cf; {POSTFIX}"
)
NGINX = "/etc/nginx/nginx.conf"
HOST_SITE = "/etc/nginx/sendchief/00-host.conf"
HEADERS = "/etc/nginx/snippets/sendchief-headers.conf"
NGINX_RELOAD = "nginx -t -q && nginx -s reload; sleep 0.5"
SSHD = "/etc/ssh/sshd_config.d/00-sendchief.conf"
PEM = "/etc/sendchief/tls/host.pem"
RELOAD_TLS = "postfix reload; doveadm reload; nginx -s reload; sleep 0.5"
LUA = "/etc/dovecot/sendchief.lua"
RSPAMD = (
    "systemctl restart rspamd; for i in $(seq 100); do ss -Hltn | grep -q :11332 && break; sleep 0.1; done"
)
SIGNING = "/etc/rspamd/local.d/dkim_signing.conf"
HEADER_CONF = "/etc/rspamd/local.d/milter_headers.conf"


def self_signed(key: str) -> str:
    return (
        f"cp -p {PEM} /root/host.pem; cat /etc/sendchief/tls/{key} > /root/new.pem; "
        f"openssl req -x509 -new -key /etc/sendchief/tls/{key} -days 5 -subj /CN=$(hostname) "
        f"-addext subjectAltName=DNS:$(hostname) >> /root/new.pem; cp /root/new.pem {PEM}; {RELOAD_TLS}"
    )


def edit(path: str, expression: str, then: str) -> tuple[str, str]:
    """(plant, repair) by sed on one file."""
    plant = f"cp -p {path} /root/saved; sed -i -E '{expression}' {path}; {then}"
    return plant, f"cp -p /root/saved {path}; {then}"


@dataclass(frozen=True)
class Breakage:
    row: str
    plant: str
    repair: str

    async def do(self, made: World, server: Server) -> None:
        await _act(self.plant, made, server)

    async def undo(self, made: World, server: Server) -> None:
        await _act(self.repair, made, server)


async def _act(what: str, made: World, server: Server) -> None:
    if not what.startswith("dns:"):
        await server.inside(f"exec 2>&1; {what}")
        return
    kind, value = what.removeprefix("dns:").split(" ", 1)
    from ipaddress import ip_address

    names = {
        "A": f"{server.hostname}.",
        "AAAA": f"{server.hostname}.",
        "TLSA": f"_25._tcp.{server.hostname}.",
        "PTR4": reverse_name(ip_address(server.ipv4)),
        "PTR6": reverse_name(ip_address(server.ipv6)),
    }
    assert server.facts is not None
    tls = server.facts.tls
    values = {
        "ipv4": [server.ipv4],
        "ipv6": [server.ipv6],
        "hostname": [f"{server.hostname}."],
        "tlsa": [f"3 1 1 {digest}" for digest in (tls.current_spki_sha256, tls.next_spki_sha256)],
    }.get(value, [value])
    await made.tree.set_records(names[kind], kind.rstrip("46"), values)


def breakages() -> list[Breakage]:
    found = [
        Breakage(
            "listeners_ipv4", LISTEN.format(address="0.0.0.0", port=8080, family="AF_INET"), STOP_LISTENING
        ),
        Breakage("listeners_ipv6", LISTEN.format(address="::", port=8080, family="AF_INET6"), STOP_LISTENING),
        Breakage(
            "listeners_inside", LISTEN.format(address="0.0.0.0", port=9999, family="AF_INET"), STOP_LISTENING
        ),
        Breakage(
            "firewall_drops",
            "nft insert rule inet sendchief input tcp dport 3306 reject with tcp reset",
            "nft -f /etc/nftables.conf",
        ),
        Breakage(
            "ssh_certificates_only",
            *edit(
                SSHD,
                "s/^AuthenticationMethods.*/AuthenticationMethods any/; "
                "s/^PasswordAuthentication no/PasswordAuthentication yes/",
                "systemctl reload ssh; sleep 0.5",
            ),
        ),
        Breakage("dns_a", "dns:A 198.51.100.9", "dns:A ipv4"),
        Breakage("dns_aaaa", "dns:AAAA 2001:db8::9", "dns:AAAA ipv6"),
        Breakage("dns_tlsa", f"dns:TLSA 3 1 1 {'0' * 64}", "dns:TLSA tlsa"),
        Breakage("dns_ptr4", "dns:PTR4 elsewhere.test.", "dns:PTR4 hostname"),
        Breakage("dns_ptr6", "dns:PTR6 elsewhere.test.", "dns:PTR6 hostname"),
        Breakage("services", "systemctl stop redis-server", "systemctl start redis-server"),
        Breakage(
            "system",
            "systemd-run --quiet --unit=broken /bin/false; sleep 0.3",
            "systemctl reset-failed",
        ),
        Breakage(
            "firewall",
            "nft chain inet sendchief input '{ policy accept ; }'",
            "nft -f /etc/nftables.conf",
        ),
        Breakage("egress_rule", "nft flush chain inet sendchief output", "nft -f /etc/nftables.conf"),
        Breakage("egress_25_others", "nft flush chain inet sendchief output", "nft -f /etc/nftables.conf"),
        Breakage(
            "egress_25_postfix",
            "nft insert rule inet sendchief output tcp dport 25 reject",
            "nft -f /etc/nftables.conf",
        ),
        Breakage(
            "updates",
            *edit(
                "/etc/apt/apt.conf.d/20auto-upgrades",
                's/Unattended-Upgrade "1"/Unattended-Upgrade "0"/',
                "true",
            ),
        ),
        Breakage("resolver", *edit("/etc/resolv.conf", "s/127.0.0.1/198.51.100.3/", "true")),
        Breakage(
            "tls_versions",
            *edit(
                NGINX,
                "s/ssl_protocols .*/ssl_protocols TLSv1 TLSv1.1 TLSv1.2;/; "
                "s/ssl_ciphers .*/ssl_ciphers ALL:@SECLEVEL=0;/; "
                "/SignatureAlgorithms/d",
                NGINX_RELOAD,
            ),
        ),
        Breakage(
            "tls_no_sha1",
            *edit(
                NGINX,
                "s/ssl_ciphers .*/ssl_ciphers ALL:@SECLEVEL=0;/; "
                "s/SignatureAlgorithms .*/SignatureAlgorithms ECDSA+SHA1;/",
                NGINX_RELOAD,
            ),
        ),
        Breakage("certificate_valid", self_signed("cur.key"), f"cp -p /root/host.pem {PEM}; {RELOAD_TLS}"),
        Breakage(
            "certificate_key_is_tlsa_current",
            self_signed("nxt.key"),
            f"cp -p /root/host.pem {PEM}; {RELOAD_TLS}",
        ),
        Breakage("web_redirects", *edit(HOST_SITE, "s/return 301 .*/return 200 hello;/", NGINX_RELOAD)),
        Breakage("web_headers", *edit(HEADERS, "/Strict-Transport/d", NGINX_RELOAD)),
    ]
    postfix = {
        "smtp_banner": "postconf -e 'smtpd_banner = localhost ESMTP'",
        "no_auth_on_25": "postconf -P smtp/inet/smtpd_sasl_auth_enable=yes",
        "no_auth_before_tls": "postconf -e smtpd_tls_auth_only=no; "
        "postconf -P submission/inet/smtpd_tls_security_level=may",
        "no_relay": "postconf -e mynetworks=198.51.100.0/24 "
        "'smtpd_relay_restrictions=permit_mynetworks, reject_unauth_destination'",
        "unknown_recipient": "postconf -e smtpd_reject_unlisted_recipient=no smtpd_recipient_restrictions=",
        "no_smuggling": "postconf -e smtpd_forbid_bare_newline=no smtpd_forbid_unauth_pipelining=no "
        "smtpd_data_restrictions=",
        "sender_bound_to_mailbox": "postconf -P submissions/inet/smtpd_sender_restrictions=",
        "recipient_limit": "postconf -e smtpd_recipient_limit=1000",
        "mail_delivered": "postconf -e virtual_transport=discard:",
        "report_addresses": "postconf -e virtual_alias_maps=",
        "sender_privacy": "postconf -P subcleanup/unix/header_checks=",
        "imap_login": "systemctl stop dovecot",
    }
    for row, script in postfix.items():
        plant = f"{MAIN}{script}; {POSTFIX}"
        back = (
            f"systemctl start dovecot; {MAIN_BACK}; systemctl restart postfix"
            if row == "imap_login"
            else MAIN_BACK
        )
        found.append(Breakage(row, plant, back))
    found += [
        Breakage(
            "auth_after_tls",
            *edit(
                LUA,
                "s/return auth.PASSDB_RESULT_PASSWORD_MISMATCH.*/return auth.PASSDB_RESULT_OK, {}/",
                "systemctl restart dovecot",
            ),
        ),
        Breakage(
            "from_bound_to_mailbox",
            f"mv /etc/rspamd/rspamd.local.lua /root/; {RSPAMD}",
            f"mv /root/rspamd.local.lua /etc/rspamd/; {RSPAMD}",
        ),
        Breakage("mail_received", *edit(HEADER_CONF, "s/^use = .*/use = [];/", RSPAMD)),
        Breakage("dkim_signed_twice", *edit(SIGNING, "/e.key/d", RSPAMD)),
    ]
    return found
