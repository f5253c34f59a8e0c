"""What the images of the sandbox's cloud consist of, as data. An image is rebuilt when any of this changes.

`stock` is a minimal Debian 13 like the one a cloud offers: it boots, takes its identity from cloud-init and listens
on SSH only. `golden` is the same plus the packages that the product's bundle installs, so that setting up a server
takes seconds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["stock", "golden"]
KINDS: tuple[Kind, ...] = ("stock", "golden")

SUITE = "trixie"
# Raised when the way an image is built changes while its contents as listed here do not.
BUILD_VERSION = 1

BUNDLE_PACKAGES = Path(__file__).parents[2] / "services/provisioner/hosts/bundle/packages.txt"

STOCK_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "dbus",
    "udev",
    "kmod",
    "openssh-server",
    "openssh-sftp-server",
    "cloud-init",
    "python3-minimal",
    "ca-certificates",
    "iproute2",
    "iputils-ping",
    "procps",
    "sudo",
    "nftables",
    "curl",
    "less",
    "netbase",
    "tzdata",
    "dns-root-data",
    "logrotate",
    "cron",
    "apt-utils",
    "debconf-utils",
)

PRESEED = """\
postfix postfix/main_mailer_type select Internet Site
postfix postfix/mailname string localhost
roundcube-core roundcube/dbconfig-install boolean true
roundcube-core roundcube/database-type select sqlite3
roundcube-core roundcube/reconfigure-webserver multiselect
"""

# Debian's own cloud.cfg, less the modules that cost seconds or touch a real disk. As in the cloud's images, keys from
# the meta-data go to root, and apt's sources are those of the image.
CLOUD_CONFIG = """\
datasource_list: [NoCloud, None]
disable_root: false
preserve_hostname: false
users: []
network: {config: disabled}
apt_preserve_sources_list: true
cloud_init_modules: [bootcmd, write_files, set_hostname, update_hostname, update_etc_hosts, ca_certs, users_groups, ssh]
cloud_config_modules: [set_passwords, runcmd]
cloud_final_modules:
  [package_update_upgrade_install, write_files_deferred, scripts_per_boot, scripts_per_instance, scripts_user,
   final_message]
"""

FILES = {
    "/etc/cloud/cloud.cfg.d/95_image.cfg": CLOUD_CONFIG,
    # As the cloud's images have it; cloud-init's own setting would restart the SSH server during the first boot.
    "/etc/ssh/sshd_config.d/50-cloud.conf": "PasswordAuthentication no\n",
    # A container's clock is the machine's, and nothing here needs a console login.
    "/etc/systemd/system/console-getty.service.d/none.conf": "[Unit]\nConditionPathExists=/nonexistent\n",
}

DISABLED_UNITS = ("e2scrub_all.timer", "fstrim.timer", "cloud-init-hotplugd.socket", "systemd-pstore.service")
ENABLED_UNITS = ("systemd-networkd.service", "ssh.service")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is in an image. `warm` images are booted once after the build."""

    kind: Kind
    suite: str
    packages: tuple[str, ...]
    preseed: str = ""
    files: dict[str, str] = field(default_factory=dict)
    enabled_units: tuple[str, ...] = ()
    disabled_units: tuple[str, ...] = ()
    warm: bool = False
    build_version: int = BUILD_VERSION

    @property
    def digest(self) -> str:
        """12 hex digits naming this recipe."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def directory_name(self) -> str:
        return f"{self.kind}-{self.digest}"


def recipe_of(kind: Kind, bundle_packages: Path = BUNDLE_PACKAGES) -> Recipe:
    """The recipe of an image; the golden one follows the product's own package list."""
    stock = Recipe(
        kind="stock",
        suite=SUITE,
        packages=STOCK_PACKAGES,
        files=FILES,
        enabled_units=ENABLED_UNITS,
        disabled_units=DISABLED_UNITS,
    )
    if kind == "stock":
        return stock
    return Recipe(
        kind="golden",
        suite=stock.suite,
        packages=tuple(dict.fromkeys((*stock.packages, *mail_packages(bundle_packages)))),
        preseed=PRESEED,
        files=stock.files,
        enabled_units=stock.enabled_units,
        disabled_units=stock.disabled_units,
        warm=True,
    )


def mail_packages(bundle_packages: Path = BUNDLE_PACKAGES) -> list[str]:
    """The packages that the product's bundle installs: one per line, `#` starts a comment."""
    lines = (line.partition("#")[0].strip() for line in bundle_packages.read_text().splitlines())
    return [line for line in lines if line]
