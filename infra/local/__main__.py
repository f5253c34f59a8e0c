"""`python -m infra.local up|down|clean|status [--stack NAME]`."""

from __future__ import annotations

import argparse
import asyncio
import sys

from infra.local import processes
from infra.local.accounts import UIDS
from infra.local.layout import Layout
from infra.local.postgres import PostgresError
from infra.local.processes import ProcessFailed
from infra.local.rabbitmq import RabbitError
from infra.local.stack import Stack
from infra.local.start import CannotRun, up
from infra.local.stop import clean, down


def status(stack: Stack) -> int:
    """One line per process; 0 when all of them run."""
    missing = 0
    for name in ("sandbox", *UIDS):
        runs = processes.alive(stack.layout, name)
        missing += not runs
        print(f"  {name:20} {'runs' if runs else 'down'}   {processes.log_of(stack.layout, name)}")
    print(f"  {'postgres':20} {'runs' if stack.postgres.running() else 'down'}   {stack.postgres.log}")
    print(f"  {'rabbitmq':20} {'runs' if stack.rabbit.running() else 'down'}   {stack.rabbit.log}")
    if not missing:
        print(stack.directions())
    return int(missing > 0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    parser.add_argument("action", choices=["up", "down", "clean", "status"])
    parser.add_argument("--stack", default="demo", help="a folder below var/ (default: demo)")
    parser.add_argument(
        "--image", choices=["golden", "stock"], default="golden", help="what servers boot from"
    )
    arguments = parser.parse_args()
    stack = Stack(Layout(arguments.stack), arguments.image)
    try:
        if arguments.action == "up":
            asyncio.run(up(stack))
            print(stack.directions())
        elif arguments.action == "status":
            return status(stack)
        elif arguments.action == "down":
            down(stack)
        else:
            clean(stack)
    except (CannotRun, ProcessFailed, PostgresError, RabbitError) as error:
        print(f"{arguments.action}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
