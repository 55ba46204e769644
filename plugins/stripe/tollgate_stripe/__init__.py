"""Stripe Checkout as a payment plugin: users buy credits by card and whatever else the Stripe account offers."""

from __future__ import annotations

from collections.abc import Callable

from gateway.api import PaymentKind, hookimpl
from tollgate_stripe.method import StripeCheckout
from tollgate_stripe.settings import StripeSettings, why_not_ready

__all__ = ["StripeCheckout", "StripeSettings", "register_payments"]


@hookimpl
def register_payments(register: Callable[[PaymentKind], None]) -> None:
    """Offer the kind `stripe`."""
    register(PaymentKind("stripe", StripeSettings, StripeCheckout, why_not_ready))
