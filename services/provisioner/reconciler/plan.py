"""The two plans, as data. Order is the order of looking; what must come before is each step's `needs`."""

from __future__ import annotations

from services.provisioner.steps.apply_host import ApplyHost
from services.provisioner.steps.apply_mailboxes import ApplyMailboxes
from services.provisioner.steps.base import Step
from services.provisioner.steps.bind import Bind
from services.provisioner.steps.boot import Boot, OwnSystem
from services.provisioner.steps.certificates import Certificates, DomainCertificates
from services.provisioner.steps.check_reputation import CheckReputation
from services.provisioner.steps.choose_place import ChoosePlace
from services.provisioner.steps.create_instance import CreateInstance
from services.provisioner.steps.delete_instance import DeleteInstance, PowerOff
from services.provisioner.steps.delete_rest import DeleteSecurityGroup, DeleteVolumes, ReleaseAddresses
from services.provisioner.steps.end_subscription import EndSubscription
from services.provisioner.steps.install import Install
from services.provisioner.steps.leave_domains import LeaveDomains
from services.provisioner.steps.leave_zone import LeaveZone
from services.provisioner.steps.observe import Observe
from services.provisioner.steps.power_on import PowerOn
from services.provisioner.steps.publish_names import PublishAddresses, PublishNames
from services.provisioner.steps.ready import Ready, ReleaseHeld
from services.provisioner.steps.remove_domains import RemoveDomains
from services.provisioner.steps.reserve_addresses import ReserveAddresses
from services.provisioner.steps.retire_instance import RetireInstance
from services.provisioner.steps.reverse_names import ReverseNames
from services.provisioner.steps.security_group import SecurityGroup
from services.provisioner.steps.self_test import SelfTest
from services.provisioner.steps.ssh_trust import SshTrust
from services.provisioner.steps.take_over_domains import TakeOverDomains
from services.provisioner.steps.tombstone import Tombstone
from services.provisioner.steps.user_data import ForgetUserData, UserData
from services.provisioner.steps.webmail_key import WebmailKey
from services.provisioner.steps.withdraw_names import ResetReverse, WithdrawNames

PRESENT: tuple[Step, ...] = (
    ChoosePlace(),
    LeaveZone(),
    ReserveAddresses(),
    CheckReputation(),
    SecurityGroup(),
    RetireInstance(),
    CreateInstance(),
    UserData(),
    Bind(),
    PowerOn(),
    Boot(),
    OwnSystem(),
    PublishAddresses(),
    SshTrust(),
    ForgetUserData(),
    Install(),
    PublishNames(),
    ReverseNames(),
    Certificates(),
    WebmailKey(),
    SelfTest(),
    Observe(),
    Ready(),
    ReleaseHeld(),
    ApplyMailboxes(),
    ApplyHost(),
    LeaveDomains(),
    TakeOverDomains(),
    DomainCertificates(),
    RemoveDomains(),
)

ABSENT: tuple[Step, ...] = (
    EndSubscription(),
    WithdrawNames(),
    ResetReverse(),
    PowerOff(),
    DeleteInstance(),
    DeleteVolumes(),
    ReleaseAddresses(),
    DeleteSecurityGroup(),
    Tombstone(),
)


def check(plan: tuple[Step, ...]) -> None:
    """Raises ValueError when a step needs one that does not come before it, or a name is used twice."""
    before: set[str] = set()
    for step in plan:
        missing = set(step.needs) - before
        if missing or step.name in before:
            raise ValueError(f"{step.name} needs {sorted(missing)} before it")
        before.add(step.name)
