"""User data for cloud-init: what a fresh machine needs so that the control plane can log in, and nothing more.

The only secret in it is the one-time SSH host key. It proves that the machine which answers is the one that was
created; at first contact the host makes a key of its own and the user data is overwritten with `EMPTY`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import asyncssh
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import SecretStr

_BUNDLE = Path(__file__).parent / "bundle"
_SSHD_FILE = "/etc/ssh/sshd_config.d/00-sendchief.conf"

EMPTY = "#cloud-config\n{}\n"
"""What takes the place of the user data after first contact."""


class OneTimeHostKey(NamedTuple):
    """An ed25519 host key for the first minutes of a machine. `public` is `ssh-ed25519 AAAA…`."""

    private: SecretStr
    public: str


def one_time_host_key() -> OneTimeHostKey:
    """A fresh key pair; the private half goes into the user data and nowhere else."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    public = " ".join(key.export_public_key().decode().split()[:2])
    return OneTimeHostKey(SecretStr(key.export_private_key().decode()), public)


def _system_file(name: str) -> str:
    environment = Environment(
        loader=FileSystemLoader(_BUNDLE / "templates"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - a configuration file without variables
        keep_trailing_newline=True,
    )
    return environment.get_template(f"system/{name}.j2").render()


def principal_of(server_id: str) -> str:
    """The certificate principal that opens this server: a certificate for one host is nothing to another."""
    return f"scadmin-{server_id}"


def render_user_data(
    *, server_id: str, hostname: str, host_key: OneTimeHostKey, user_ca_public_key: str
) -> SecretStr:
    """`#cloud-config` text. `user_ca_public_key` is `ssh-ed25519 AAAA…` of the control plane's authority."""
    files: list[dict[str, Any]] = [
        {
            "path": "/usr/local/sbin/sendchief-host",
            "permissions": "0755",
            "content": (_BUNDLE / "host" / "bootstrap.py").read_text(),
        },
        {"path": "/etc/sudoers.d/sendchief", "permissions": "0440", "content": _system_file("sudoers")},
        {
            "path": "/etc/ssh/sendchief_user_ca.pub",
            "permissions": "0644",
            "content": user_ca_public_key + "\n",
        },
        {
            "path": "/etc/ssh/sendchief_principals",
            "permissions": "0644",
            "content": principal_of(server_id) + "\n",
        },
        {
            "path": _SSHD_FILE,
            "permissions": "0600",
            "content": _system_file("sshd.conf"),
        },
    ]
    document: dict[str, Any] = {
        "preserve_hostname": False,
        "fqdn": hostname,
        "prefer_fqdn_over_hostname": True,
        "manage_etc_hosts": True,
        "disable_root": True,
        # Our own file says so to sshd; cloud-init would restart it under a connection to say it again.
        "ssh_pwauth": "unchanged",
        # Keys that an image may carry go; then exactly this one is written.
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "ssh_keys": {
            "ed25519_private": host_key.private.get_secret_value(),
            "ed25519_public": host_key.public,
        },
        "users": [
            {
                "name": "scadmin",
                "gecos": "SendChief control plane",
                # No password matches "*"; a locked account could not log in at all without PAM.
                "lock_passwd": False,
                "passwd": "*",
                "shell": "/bin/sh",
                "no_create_home": True,
                "homedir": "/",
            }
        ],
        "write_files": files,
        "package_update": False,
        # Where sshd started before its file was there, it has to read it.
        "runcmd": [f"[ /run/sshd.pid -nt {_SSHD_FILE} ] || systemctl try-reload-or-restart ssh.service"],
    }
    return SecretStr("#cloud-config\n" + yaml.safe_dump(document, sort_keys=False, width=4096))
