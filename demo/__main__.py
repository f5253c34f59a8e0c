"""`make demo`: bring a stack up, tell the story on it, print a table, and leave the stack up.

Exit status 0 only if every step held.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import traceback

from demo.api import Api
from demo.logins import keep
from demo.steps import (
    a_sign_up,
    b_buy,
    c_server,
    d_domain,
    e_second,
    f_mail,
    g_secrets,
    h_walls,
    i_leave,
)
from demo.steps.people import sign_in_again
from demo.story import Outcome, Party, Step, Story, tell
from demo.world import World
from infra.local.layout import Layout
from infra.local.postgres import PostgresError
from infra.local.processes import ProcessFailed
from infra.local.rabbitmq import RabbitError
from infra.local.stack import Stack
from infra.local.start import CannotRun, up

STEPS: tuple[Step, ...] = tuple(
    module.STEP
    for module in (a_sign_up, b_buy, c_server, d_domain, e_second, f_mail, g_secrets, h_walls, i_leave)
)


def parties(run: str) -> tuple[Party, Party]:
    """Two customers who have nothing to do with one another; `run` keeps repeated stories apart."""
    return (
        Party(
            "A", f"example-a{run}.test", "fr-par-1", f"ada{run}@people.test", workspace_name=f"Example A{run}"
        ),
        Party(
            "B", f"example-b{run}.test", "nl-ams-1", f"bob{run}@people.test", workspace_name=f"Example B{run}"
        ),
    )


def failed(step: Step, error: BaseException, seconds: float, stack: Stack) -> Outcome:
    """A step that did not come to its end: what happened, where to read more, what to try."""
    where = f"logs: {stack.layout.var / 'log'}; evidence: {stack.layout.var / 'evidence'}"
    advice = f"try: make status; then the log of the service named above ({where})"
    return Outcome(step.id, step.title, False, seconds, [f"FAIL {type(error).__name__}: {error}", advice])


async def play(story: Story, stack: Stack, steps: tuple[Step, ...] = STEPS) -> list[Outcome]:
    """Tells the steps in order; after one that failed the rest are not told, since they stand on it."""
    outcomes = []
    for step in steps:
        print(f"\n{step.id}. {step.title}", flush=True)
        started = time.monotonic()
        try:
            await sign_in_again(story)
            outcome = await tell(story, step)
        except Exception as error:  # the table must show it, whatever it is
            (story.directory / f"{step.id}.traceback").write_text(traceback.format_exc())
            outcome = failed(step, error, time.monotonic() - started, stack)
        for line in outcome.proof:
            print(f"   {line}")
        print(f"   {'holds' if outcome.ok else 'DOES NOT HOLD'}, {outcome.seconds:.1f} s", flush=True)
        outcomes.append(outcome)
        if not outcome.ok:
            break
    return outcomes


def table(outcomes: list[Outcome]) -> str:
    rows = [f"  {o.id}  {'ok  ' if o.ok else 'FAIL'} {o.seconds:7.1f} s  {o.title}" for o in outcomes]
    told = {outcome.id for outcome in outcomes}
    rows += [f"  {step.id}  --            {step.title} (not told)" for step in STEPS if step.id not in told]
    return "\n".join(rows)


async def tell_all(stack: Stack, setup_seconds: float, steps: tuple[Step, ...] = STEPS) -> list[Outcome]:
    """Tells the story on a stack that is up; leaves report, evidence and logins in the stack's folder."""
    directory = stack.layout.var
    run = stack.next_run()
    mark = "" if run == 1 else str(run)
    a, b = parties(mark)
    world, api = World(stack.endpoints_file), Api(stack.public_url, stack.ca_file)
    story = Story(api, world, directory, a, b, stack.operate, member_email=f"mia{mark}@people.test")
    story.timings["setup_s"] = round(setup_seconds, 1)
    outcomes = await play(story, stack, steps)
    report = {"steps": [o.document for o in outcomes], "timings": story.timings}
    (directory / "report.json").write_text(json.dumps(report, indent=2, default=str))
    keep(story, directory / "logins.json")
    await api.close()
    await world.close()
    return outcomes


async def main(arguments: argparse.Namespace) -> int:
    stack = Stack(Layout(arguments.stack), image=arguments.image)
    started = time.monotonic()
    try:
        await up(stack)
    except (CannotRun, ProcessFailed, PostgresError, RabbitError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    outcomes = await tell_all(stack, time.monotonic() - started)
    report = stack.layout.var / "report.json"
    print("\n" + table(outcomes))
    print(f"\n  timings {json.dumps(json.loads(report.read_text())['timings'])}\n  report  {report}\n")
    print(stack.directions(), flush=True)
    return 0 if len(outcomes) == len(STEPS) and all(o.ok for o in outcomes) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument(
        "--stack", default="demo", help="name of the stack, a folder below var/ (default: demo)"
    )
    parser.add_argument(
        "--image", choices=["golden", "stock"], default="golden", help="what servers boot from"
    )
    sys.exit(asyncio.run(main(parser.parse_args())))
