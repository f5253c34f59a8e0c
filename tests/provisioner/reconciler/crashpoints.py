"""Every gap in the reconciler, the sweeper and the payments at which a process can die, by what is under way there.

The gaps inside of a step lie between something that happened outside and its row in the books; each step has one more
before and after it. `test_crashpoints.py` holds the list against the code.
"""

from __future__ import annotations

from services.provisioner.reconciler.plan import ABSENT, PRESENT

KINDS = ("ip", "security_group", "instance")

LOST_ANSWERS = tuple(f"{kind}.after_lost_answer" for kind in KINDS)
HELD = ("held.after_release",)
SERVING = ("verifiers.after_fetch", "apply.before", "apply.after")
DELETING = (
    "subscription.after_end", "reset_reverse.after",
    "delete.instance.before", "delete.instance.after",
    "delete.volume.before", "delete.volume.after",
    "delete.ip.before", "delete.ip.after",
    "delete.security_group.before", "delete.security_group.after",
)  # fmt: skip
SWEEPING = ("sweep.before_delete", "sweep.after_tag", "sweep.after_delete")
CREATING = (
    *(f"{kind}.{gap}" for kind in KINDS for gap in ("before_intent", "after_intent", "after_post", "after_bind")),
    "bind.after_tag", "power_on.before_action", "power_on.after_action",
    "ssh_trust.after_contact", "ssh_trust.after_adopt", "install.before_start", "install.after_start",
    "names.before_emit", "names.after_emit", "webmail_key.after_set", "ready.before", "ready.after",
    "pass.before_release", "pass.after_release",
)  # fmt: skip
REBOOTING = (
    "boot.before_stop", "boot.after_stop", "boot.after_stopped", "boot.before_start", "boot.after_start",
)  # fmt: skip
RESCUING = ("boot.after_boot_type",)
REBUILDING = ("rebuild.before_reset", "rebuild.after_reset")
MOVING = ("zone.before_reset", "zone.after_reset")
HANDING_OVER = (
    "move.before_copy", "move.after_copy", "move.before_turn", "move.after_turn", "leave.after_wish",
    "leave.after_quiet", "leave.after_closed", "move.before_open", "move.after_open", "move.before_turn_away",
    "leave.after_forget",
)  # fmt: skip
PAYING = ("inbox.before_done",)
REFUNDING = ("refund.after_end", "refund.before_done")
ORDERS = (*REBOOTING, *RESCUING, *REBUILDING, *MOVING)
ADOPTING = ("adopt.before_write", "adopt.after_write")
GAPS = (
    *CREATING,
    *LOST_ANSWERS,
    *HELD,
    *SERVING,
    *HANDING_OVER,
    *DELETING,
    *SWEEPING,
    *ORDERS,
    *PAYING,
    *REFUNDING,
    *ADOPTING,
)

_ASIDE = {step.name for step in PRESENT if step.aside}
_OF_HANDING_OVER = {"leave_domains", "take_over_domains"}
_OF_SERVING = {"apply_mailboxes", "apply_host", "domain_certificates", "remove_domains"}


def _around(names: list[str]) -> tuple[str, ...]:
    return tuple(f"step.{name}.{gap}" for name in names for gap in ("before", "after"))


CREATING_STEPS = _around(
    [step.name for step in PRESENT if step.name not in _OF_SERVING | _OF_HANDING_OVER | _ASIDE]
)
ASIDE_STEPS = _around([step.name for step in PRESENT if step.aside])
SERVING_STEPS = _around([step.name for step in PRESENT if step.name in _OF_SERVING])
HANDING_OVER_STEPS = _around([step.name for step in PRESENT if step.name in _OF_HANDING_OVER])
DELETING_STEPS = _around([step.name for step in ABSENT])
ALL = (*GAPS, *CREATING_STEPS, *ASIDE_STEPS, *SERVING_STEPS, *HANDING_OVER_STEPS, *DELETING_STEPS)
