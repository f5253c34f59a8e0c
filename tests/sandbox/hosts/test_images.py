import dataclasses
import json
import os
import socket
from pathlib import Path

import pytest

from sandbox.hosts import images
from sandbox.hosts.images import ImageBuildFailed, debian_sources, ensure_image, image_path
from sandbox.hosts.recipes import mail_packages, recipe_of
from sandbox.hosts.warm import listens


def test_the_golden_image_follows_the_packages_of_the_bundle(tmp_path: Path) -> None:
    listing = tmp_path / "packages.txt"
    listing.write_text("postfix\n# a comment\nrspamd  # filters\n\n")
    assert mail_packages(listing) == ["postfix", "rspamd"]
    first = recipe_of("golden", listing)
    assert {"postfix", "rspamd", "cloud-init", "openssh-server"} <= set(first.packages)
    listing.write_text("postfix\n")
    assert recipe_of("golden", listing).directory_name != first.directory_name
    assert recipe_of("stock").directory_name == recipe_of("stock").directory_name


def test_every_part_of_a_recipe_decides_its_name() -> None:
    recipe = recipe_of("stock")
    changed = [
        dataclasses.replace(recipe, suite="forky"),
        dataclasses.replace(recipe, preseed="x"),
        dataclasses.replace(recipe, files={}),
        dataclasses.replace(recipe, build_version=99),
        dataclasses.replace(recipe, warm=True),
    ]
    assert len({each.digest for each in [recipe, *changed]}) == len(changed) + 1


async def test_sources_are_this_machines_mirrors_turned_to_the_images_release() -> None:
    sources = await debian_sources("trixie")
    assert all(line.startswith("deb ") and line.split()[2].startswith("trixie") for line in sources)
    assert {line.split()[2] for line in sources} >= {"trixie", "trixie-security"}


async def test_a_machine_without_debian_mirrors_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_own_codename", lambda: "hamm")
    with pytest.raises(ImageBuildFailed, match="apt-get update"):
        await debian_sources("trixie")


async def test_a_cached_image_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_path(tmp_path, "stock").mkdir(parents=True)

    async def fail(*_: object) -> None:
        raise AssertionError("built although it is there")

    monkeypatch.setattr(images, "_build", fail)
    assert await ensure_image(tmp_path, "stock") == image_path(tmp_path, "stock")


async def test_a_failed_build_leaves_no_image_and_shows_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("building an image needs root")

    async def nowhere(suite: str) -> list[str]:
        return [f"deb file:///nonexistent {suite} main"]

    monkeypatch.setattr(images, "debian_sources", nowhere)
    with pytest.raises(ImageBuildFailed, match=r"stock could not be built.*(?s:.)*log"):
        await ensure_image(tmp_path, "stock", progress=lambda _: None)
    assert not image_path(tmp_path, "stock").exists()


def test_listening_ports_are_seen_in_a_process_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listens(os.getpid(), port)
    assert not listens(os.getpid(), port)


def test_the_built_images_say_what_they_are() -> None:
    root = image_path(Path(__file__).parents[3] / "var/images", "stock")
    if not root.is_dir():
        pytest.skip("no image has been built here")
    assert json.loads((root.parent / "recipe.json").read_text())["kind"] == "stock"
    assert not list(root.glob("etc/ssh/ssh_host_*"))
    assert (root / "etc/machine-id").read_text() == ""
