/** What credits are worth, in the operator's currency. */

import { count } from "./dom.js";

/** `0.0012 USD`: two places from 1 upwards, below that enough for two digits that say something. */
export function creditsText(credits, { credits_per_usd: perUsd, currency, currency_per_usd: rate }) {
  const value = (credits / perUsd) * rate;
  const digits = value !== 0 && Math.abs(value) < 1 ? Math.min(10, 1 - Math.floor(Math.log10(Math.abs(value)))) : 2;
  return `${count(credits)} credits, ${new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: digits }).format(value)} ${currency}`;
}
