"""Who leaves pays no more: the subscription ends at the payment provider too."""

from __future__ import annotations

from services.provisioner.models import Subscription
from services.provisioner.reconciler.outcomes import Done, Outcome
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from shared.crashpoint import crashpoint


class EndSubscription(Step):
    name = "end_subscription"
    title = "End the subscription"
    condition = "SubscriptionEnded"

    async def run(self, work: Work) -> Outcome:
        subscription = work.known.subscription
        if subscription.stripe_subscription_id is not None:
            await work.ports.billing.end_subscription(subscription.stripe_subscription_id)
            crashpoint("subscription.after_end")
        async with work.write() as write:
            stored = await write.session.get_one(Subscription, subscription.id)
            if stored.status != "ended":
                await write.held.change_status(stored, "ended")
            stored.ended_at = stored.ended_at or write.now
        return Done("Nothing more will be charged")
