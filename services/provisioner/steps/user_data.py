"""What the fresh machine reads at its first boot, and its removal once the machine has a key of its own."""

from __future__ import annotations

from pydantic import SecretStr

from services.provisioner.hosts.cloud_init import EMPTY, OneTimeHostKey, render_user_data
from services.provisioner.reconciler.outcomes import Done, Outcome
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step


class UserData(Step):
    name = "user_data"
    title = "Prepare the first boot"
    condition = "UserDataSet"
    needs = ("create_instance",)

    async def run(self, work: Work) -> Outcome:
        server, keys = work.server, work.ports.one_time_keys
        document = render_user_data(
            server_id=server.id,
            hostname=server.hostname,
            host_key=OneTimeHostKey(
                SecretStr(keys.private_openssh(server.id, server.incarnation).decode()),
                keys.public(server.id, server.incarnation),
            ),
            user_ca_public_key=work.ports.user_ca_public_key,
        )
        instance = str(work.bound("instance").external_id)
        await work.ports.cloud.set_user_data(server.zone, instance, document.get_secret_value().encode())
        return Done("The server's first SSH key and our signing authority are in place")


class ForgetUserData(Step):
    """The one-time key is of no more use, and nobody with access to the cloud account shall find it."""

    name = "forget_user_data"
    title = "Remove the one-time key"
    condition = "UserDataForgotten"
    needs = ("ssh_trust",)

    async def run(self, work: Work) -> Outcome:
        instance = str(work.bound("instance").external_id)
        await work.ports.cloud.set_user_data(work.server.zone, instance, EMPTY.encode())
        return Done("The user data is empty again")
