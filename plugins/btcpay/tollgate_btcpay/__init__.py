"""BTCPay Server as a payment plugin: users buy credits with Bitcoin, on chain or by Lightning."""

from __future__ import annotations

from collections.abc import Callable

from gateway.api import PaymentKind, hookimpl
from tollgate_btcpay.method import BtcPayInvoices
from tollgate_btcpay.settings import BtcPaySettings, why_not_ready

__all__ = ["BtcPayInvoices", "BtcPaySettings", "register_payments"]


@hookimpl
def register_payments(register: Callable[[PaymentKind], None]) -> None:
    """Offer the kind `btcpay`."""
    register(PaymentKind("btcpay", BtcPaySettings, BtcPayInvoices, why_not_ready))
