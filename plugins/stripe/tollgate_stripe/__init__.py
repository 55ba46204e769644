"""Stripe Checkout as a payment plugin: users buy credits by card and whatever else the Stripe account offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.api import PaymentKind, hookimpl, later, named_in
from tollgate_stripe.settings import StripeSettings, why_not_ready

if TYPE_CHECKING:
    from tollgate_stripe.method import StripeCheckout

__all__ = ["StripeCheckout", "StripeSettings", "register_payments"]

__getattr__ = named_in(__name__, {".method": "StripeCheckout"})

_create: Callable[[str, StripeSettings], StripeCheckout] = later("tollgate_stripe.method:StripeCheckout")


@hookimpl
def register_payments(register: Callable[[PaymentKind], None]) -> None:
    """Offer the kind `stripe`."""
    register(PaymentKind("stripe", StripeSettings, _create, why_not_ready))
