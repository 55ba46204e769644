"""BTCPay Server as a payment plugin: users buy credits with Bitcoin, on chain or by Lightning."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.api import PaymentKind, hookimpl, later, named_in
from tollgate_btcpay.settings import BtcPaySettings, why_not_ready

if TYPE_CHECKING:
    from tollgate_btcpay.method import BtcPayInvoices

__all__ = ["BtcPayInvoices", "BtcPaySettings", "register_payments"]

__getattr__ = named_in(__name__, {".method": "BtcPayInvoices"})

_create: Callable[[str, BtcPaySettings], BtcPayInvoices] = later("tollgate_btcpay.method:BtcPayInvoices")


@hookimpl
def register_payments(register: Callable[[PaymentKind], None]) -> None:
    """Offer the kind `btcpay`."""
    register(PaymentKind("btcpay", BtcPaySettings, _create, why_not_ready))
