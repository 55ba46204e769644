"""A budget that is nearly used up, as the operator's webhook and the caller see it."""

from __future__ import annotations

from typing import Any

from gateway.budgets import sign
from gateway.stores import KeySettings
from gateway.testing import FakeUpstream, json_reply, openai_completion, usage

SECRET = "a-secret-of-the-operator"


async def test_the_webhook_is_told_once_and_usage_shows_it(serve: Any, fake_upstream: FakeUpstream) -> None:
    async with FakeUpstream() as hook:
        hook.reply(json_reply({}, 204))
        host = hook.url.removeprefix("http://").partition("/")[0]
        webhook = {"url": f"http://{host}/budget", "secret": SECRET, "allow_hosts": [host]}
        site = await serve(alerts={"thresholds": [50, 90], "webhook": webhook})
        # 100 tokens at 1 and 200 at 2 credits.
        site.upstream.reply(json_reply(openai_completion("Hi", reported=usage(100, 200))))
        stores = site.running.gateway.stores
        made, key = await stores.keys.create_key(
            site.running.account.id, KeySettings(name="small", monthly_limit=1_000)
        )
        assert (await site.ask(key=key, max_tokens=300)).status == 200
        await site.running.gateway._budgets.look()
        [received] = hook.requests
        headers = received.headers
        assert headers["webhook-signature"] == sign(
            SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), received.body
        )
        data = received.json["data"]
        assert (data["kind"], data["key_id"], data["threshold"], data["used"]) == ("key", made.id, 50, 500)
        assert (await site.ask(key=key, max_tokens=200)).status == 200
        await site.running.gateway._budgets.look()
        assert [other.json["data"]["threshold"] for other in hook.requests] == [50, 90]
        found = (await site.get(f"/v1/usage?key={made.id}", key=key)).json
        assert found["key_budget"] == {
            "period": found["budget"]["period"],
            "used": 1000,
            "limit": 1000,
            "percent": 100,
            "thresholds": [50, 90],
            "passed": [50, 90],
        }
        assert (found["budget"]["used"], found["budget"]["passed"]) == (1000, [])
        other = await stores.accounts.create_account("other", grant=1)
        foreign, _ = await stores.keys.create_key(other.id, KeySettings(monthly_limit=5))
        assert (await site.get(f"/v1/usage?key={foreign.id}", key=key)).json["key_budget"] is None
    assert SECRET not in site.running.stream.getvalue()


async def test_administrators_set_thresholds_and_owners_see_them(serve: Any) -> None:
    site = await serve(alerts={"thresholds": [50]})
    admin, account = site.running.gateway.admin_secret(), site.running.account.id
    made, _ = await site.running.gateway.stores.keys.create_key(account, KeySettings(name="k", monthly_limit=100))

    async def patch(path: str, thresholds: Any) -> Any:
        async with site.running.session.patch(
            site.running.url + "/admin/api" + path,
            json={"alert_thresholds": thresholds},
            headers={"Authorization": f"Bearer {admin}"},
        ) as response:
            return response.status, await response.json()

    assert (await patch(f"/accounts/{account}", [10, 20]))[1]["alert_thresholds"] == [10, 20]
    assert (await patch(f"/keys/{made.id}", []))[1]["alert_thresholds"] == []
    for wrong in ([20, 10], [0], "often", [1.5]):
        assert (await patch(f"/accounts/{account}", wrong))[0] == 400
    found = (await site.get(f"/v1/usage?key={made.id}")).json
    assert (found["budget"]["thresholds"], found["key_budget"]["thresholds"]) == ([10, 20], [])
    assert (await patch(f"/accounts/{account}", None))[1]["alert_thresholds"] is None
    assert (await site.get("/v1/usage")).json["budget"]["thresholds"] == [50]
