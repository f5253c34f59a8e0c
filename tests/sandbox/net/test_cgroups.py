import asyncio
import os
from pathlib import Path

import pytest

from sandbox.net.cgroups import Cgroup, hierarchies

HYBRID = """\
30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
33 25 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""
PURE = "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_hybrid_machines_have_a_v2_hierarchy_and_the_wanted_v1_ones() -> None:
    v2, v1 = hierarchies(HYBRID)
    assert v2 == Path("/sys/fs/cgroup/unified")
    assert v1 == {"memory": Path("/sys/fs/cgroup/memory"), "name=systemd": Path("/sys/fs/cgroup/systemd")}


def test_pure_v2_machines_have_one_hierarchy() -> None:
    assert hierarchies(PURE) == (Path("/sys/fs/cgroup"), {})


@needs_root
async def test_a_process_joins_before_it_runs_and_the_group_knows_its_children() -> None:
    group = Cgroup(f"sc-test{os.getpid()}/net-a")
    group.create()
    process = await asyncio.create_subprocess_exec(
        *group.joining(["sh", "-c", "trap : TERM; sleep 60 & wait; wait"])
    )
    for _ in range(500):
        if len(group.pids()) == 2:
            break
        await asyncio.sleep(0.01)
    assert process.pid in group.pids()
    reaped = asyncio.create_task(process.wait())
    assert await group.stop(seconds=5)
    await reaped
    assert not group.exists()
    await Cgroup(f"sc-test{os.getpid()}").remove()


@needs_root
async def test_a_process_that_ignores_the_request_to_stop_is_killed() -> None:
    group = Cgroup(f"sc-test{os.getpid()}/net-b")
    group.create()
    process = await asyncio.create_subprocess_exec(
        *group.joining(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]), stdout=-1
    )
    assert process.stdout is not None
    await process.stdout.readline()
    reaped = asyncio.create_task(process.wait())
    assert not await group.stop(seconds=0.1)
    assert await reaped == -9
    await Cgroup(f"sc-test{os.getpid()}").remove()
