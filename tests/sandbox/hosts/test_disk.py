import os
import stat
from pathlib import Path

import pytest

from sandbox.hosts.disk import Disk
from sandbox.hosts.images import UID_BASE
from sandbox.hosts.surroundings import TRUST_BUNDLE, UNBOUND_KEY, Surroundings

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owning files for a user namespace needs root")

OTHER = "-----BEGIN CERTIFICATE-----\nb3RoZXI=\n-----END CERTIFICATE-----\n"


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    image = tmp_path / "image"
    (image / "etc/ssl/certs").mkdir(parents=True)
    (image / "etc/secret").mkdir(mode=0o700)
    os.chown(image / "etc/secret", UID_BASE + 7, UID_BASE + 7)
    (image / "etc/ssl/certs/ca-certificates.crt").write_text(OTHER)
    (image / "etc/motd").write_text("from the image\n")
    made = Disk(image, tmp_path / "server")
    made.create()
    return made


def test_a_written_file_belongs_to_the_servers_root_and_hides_the_images(disk: Disk) -> None:
    disk.write("/etc/motd", "ours\n", mode=0o600)
    assert disk.read("/etc/motd") == b"ours\n"
    found = os.lstat(disk.upper / "etc/motd")
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (UID_BASE, 0o600)
    disk.remove("/etc/motd")
    assert disk.read("/etc/motd") == b"from the image\n"


def test_new_directories_look_like_those_of_the_image(disk: Disk) -> None:
    disk.write("/etc/secret/key", "x", owner=7)
    found = os.lstat(disk.upper / "etc/secret")
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (UID_BASE + 7, 0o700)
    assert disk.owner_of("/etc/secret/key") == 7


def test_a_link_that_the_server_planted_is_not_followed(disk: Disk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    disk.write("/var/x", "")
    os.symlink(outside, disk.upper / "var/lib")
    with pytest.raises(NotADirectoryError):
        disk.write("/var/lib/file", "escaped")
    (outside / "target").write_text("untouched")
    os.symlink(outside / "target", disk.upper / "var/link")
    disk.write("/var/link", "ours")
    assert (outside / "target").read_text() == "untouched"


def test_what_the_server_deleted_stays_deleted_until_written(disk: Disk) -> None:
    (disk.upper / "etc").mkdir()
    os.mknod(disk.upper / "etc/motd", stat.S_IFCHR, 0)
    assert disk.read("/etc/motd") is None
    disk.write("/etc/motd", "back\n")
    assert disk.read("/etc/motd") == b"back\n"


def test_there_is_no_way_up_out_of_a_disk(disk: Disk) -> None:
    with pytest.raises(ValueError, match="no way up"):
        disk.write("/etc/../../x", "")


def test_the_resolvers_key_is_put_where_unbound_is_installed_only(disk: Disk) -> None:
    world = Surroundings(root_hints=". NS x.\n", trust_anchor=". DS 1\n")
    world.put_on(disk)
    assert disk.existing(UNBOUND_KEY) is None
    (disk.image / "var/lib/unbound").mkdir(parents=True)
    os.chown(disk.image / "var/lib/unbound", UID_BASE + 105, UID_BASE + 105)
    world.put_on(disk)
    assert disk.read(UNBOUND_KEY) == b". DS 1\n"
    assert disk.owner_of(UNBOUND_KEY) == 105
    assert b'local-zone: "test." nodefault' in (disk.read("/etc/unbound/unbound.conf.d/sandbox.conf") or b"")


def test_the_images_own_authorities_stay_in_the_bundle(disk: Disk) -> None:
    Surroundings().put_on(disk)
    Surroundings().put_on(disk)
    assert disk.read(TRUST_BUNDLE) == OTHER.encode()
