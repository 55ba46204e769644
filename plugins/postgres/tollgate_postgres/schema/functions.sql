-- What happens to money, as functions: one round trip and one transaction for a whole batch, and no row stays locked
-- while the network is asked. Made anew at every start of a newer program; `pg_temp` of nobody is searched.
--
-- Kinds of entries: 0 grant, 1 topup, 2 voucher, 3 hold, 4 hold_grow, 5 charge, 6 void, 7 refund, 8 overrun,
-- 9 correction. Bases: 0 none, 1 provider, 2 estimated, 3 void.

-- What the program reads, as views: so every statement of it stands whole in one place.
CREATE OR REPLACE VIEW gw_accounts AS
    SELECT id, name, role, balance, held, created, requests_per_minute, disabled, n,
        alert_thresholds
    FROM accounts;

CREATE OR REPLACE VIEW gw_keys AS
    SELECT k.id, a.id AS account, k.name, k.label, k.created, k.expires, k.revoked, k.last_used, k.monthly_limit,
        k.models, k.requests_per_minute, k.ip_allow, k.n, a.requests_per_minute AS account_rate,
        a.disabled AS account_disabled, k.alert_thresholds
    FROM keys AS k JOIN accounts AS a ON a.n = k.account;

CREATE OR REPLACE VIEW gw_sessions AS
    SELECT s.id, coalesce(a.id, '') AS account, s.created, s.expires, s.seen, s.remote, s.agent, s.n, s.digest,
        coalesce(a.disabled, false) AS account_disabled
    FROM sessions AS s LEFT JOIN accounts AS a ON a.n = s.account;

CREATE OR REPLACE VIEW gw_logins AS
    SELECT a.id AS account, l.email, l.password, l.changed, a.n
    FROM logins AS l JOIN accounts AS a ON a.n = l.account;

CREATE OR REPLACE VIEW gw_links AS
    SELECT l.id, l.purpose, l.created, l.expires, coalesce(a.id, '') AS account, l.email, l.role, l.credits, l.n,
        l.digest, coalesce(a.disabled, false) AS account_disabled
    FROM links AS l LEFT JOIN accounts AS a ON a.n = l.account;

CREATE OR REPLACE VIEW gw_entries AS
    SELECT e.n, a.id AS account, e.kind, e.amount, e.reserved, e.unpaid, e.balance, e.created,
        coalesce(h.request_id, '') AS request_id, coalesce(k.id, '') AS key, coalesce(h.model, '') AS model, e.basis,
        coalesce(e.idem, '') AS idem, e.note, e.account AS account_number
    FROM entries AS e JOIN accounts AS a ON a.n = e.account LEFT JOIN holds AS h ON h.n = e.hold
        LEFT JOIN keys AS k ON k.n = h.key;

CREATE OR REPLACE VIEW gw_vouchers AS
    SELECT v.n, v.label, v.credits, v.created, v.expires, v.redeemed, coalesce(a.id, '') AS account, v.note, v.revoked
    FROM vouchers AS v LEFT JOIN accounts AS a ON a.n = v.account;

CREATE OR REPLACE VIEW gw_topups AS
    SELECT t.id, a.id AS account, t.method, t.currency, t.amount, t.credits, t.created, t.state, t.checkout, t.url,
        t.settled, t.returned, t.credited, t.owed, t.n
    FROM topups AS t JOIN accounts AS a ON a.n = t.account;

CREATE OR REPLACE VIEW gw_conversations AS
    SELECT c.id, a.id AS account, c.created, c.expires, c.metadata, c.n
    FROM conversations AS c JOIN accounts AS a ON a.n = c.account;

CREATE OR REPLACE VIEW gw_responses AS
    SELECT r.id, a.id AS account, r.status, r.created, r.expires, r.request_id, r.input, r.response, r.output,
        coalesce(p.id, '') AS previous, r.background, r.lease IS NOT NULL AS running,
        coalesce(r.events, ''::bytea) AS events, r.n, r.item_ids
    FROM responses AS r JOIN accounts AS a ON a.n = r.account LEFT JOIN responses AS p ON p.n = r.previous;

CREATE OR REPLACE VIEW gw_objects AS
    SELECT o.id, a.id AS account, o.provider, o.kind, o.kept, o.created, o.details, o.is_open, o.n
    FROM objects AS o JOIN accounts AS a ON a.n = o.account;

CREATE OR REPLACE VIEW gw_usage AS
    SELECT u.n, (coalesce(h.charged, 0) - CASE WHEN h.n IS NULL THEN 0 ELSE
            (SELECT coalesce(sum(e.amount), 0) FROM entries AS e WHERE e.hold = h.n AND e.kind = 7) END)::bigint
            AS credits, u.request_id, a.id AS account, coalesce(k.id, '') AS key, u.model,
        u.target, u.route, u.status, u.basis, u.created, u.first_byte_ms, u.total_ms, u.error, u.counts, u.tags,
        u.tries
    FROM usage AS u JOIN accounts AS a ON a.n = u.account LEFT JOIN keys AS k ON k.n = u.key
        LEFT JOIN holds AS h ON h.n = u.hold;

-- Whether a keyed request runs: until its lease is buried, because what it was charged must be known before somebody
-- else begins.
CREATE OR REPLACE VIEW gw_answers AS
    SELECT r.name, r.body, r.request_id, r.expires, r.lease, r.status, r.headers, r.content,
        r.status IS NULL AND EXISTS (SELECT 1 FROM leases WHERE id = r.lease) AS running
    FROM answers AS r;

-- End every access to an account and erase what is personal; returns its number, NULL when there is none. What it used
-- and paid stays.
CREATE OR REPLACE FUNCTION gw_erase(p_account text, p_name text, p_now bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE number bigint;
BEGIN
    UPDATE accounts SET name = p_name, role = 'user', disabled = true WHERE id = p_account RETURNING n INTO number;
    DELETE FROM secrets WHERE key IN (SELECT n FROM keys WHERE account = number);
    UPDATE keys SET name = '', ip_allow = NULL, revoked = coalesce(revoked, p_now) WHERE account = number;
    DELETE FROM logins WHERE account = number;
    DELETE FROM identities WHERE account = number;
    DELETE FROM links WHERE account = number;
    DELETE FROM sessions WHERE account = number;
    -- What a provider wrote of a fault may quote what was asked.
    UPDATE usage SET tries = '' WHERE account = number AND tries <> '';
    DELETE FROM tag_sums WHERE account = number;
    PERFORM gw_changed();
    RETURN number;
END $$;

-- The partition of the usage log for one month; where another gateway was first, or the rest holds rows of this month
-- already (a clock was wrong), there is nothing to do. It needs the whole table for a moment, and whoever comes after
-- it waits with it: so it waits for a second at most (for who reads a long report), and is tried again an hour later.
CREATE OR REPLACE FUNCTION gw_make_partition(p_month text, p_first bigint, p_beyond bigint) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
BEGIN
    IF to_regclass('usage_' || p_month) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF usage FOR VALUES FROM (%s) TO (%s)', 'usage_' || p_month,
            p_first, p_beyond);
    END IF;
EXCEPTION WHEN duplicate_table OR unique_violation OR check_violation OR lock_not_available THEN NULL;
END $$;

-- Drop the partitions of months before p_month (`202611`); returns how many rows went with them, which is estimated for
-- large ones. For locks see `gw_make_partition`: one that cannot be had stays for the next time.
CREATE OR REPLACE FUNCTION gw_drop_partitions(p_month text) RETURNS bigint LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
DECLARE found record; rows bigint; gone bigint := 0;
BEGIN
    FOR found IN SELECT c.oid, c.relname, c.reltuples FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'usage'::regclass AND c.relname ~ '^usage_[0-9]{6}$'
            AND c.relname < 'usage_' || p_month LOOP
        BEGIN
            rows := found.reltuples;
            IF rows < 0 OR pg_relation_size(found.oid) < 16777216 THEN
                EXECUTE format('SELECT count(*) FROM %I', found.relname) INTO rows;
            END IF;
            EXECUTE format('DROP TABLE %I', found.relname);
            gone := gone + rows;
        EXCEPTION WHEN lock_not_available THEN NULL;
        END;
    END LOOP;
    RETURN gone;
END $$;

-- The clock of leases and windows.
CREATE OR REPLACE FUNCTION gw_clock() RETURNS double precision LANGUAGE sql VOLATILE AS $$
    SELECT extract(epoch FROM clock_timestamp())::double precision
$$;

-- Tell all processes that keys or accounts have changed. In the same transaction as the change: who reads the new
-- number must not find the old row.
CREATE OR REPLACE FUNCTION gw_changed() RETURNS bigint LANGUAGE sql AS $$
    UPDATE generation SET n = n + 1 RETURNING n
$$;

-- Add to the sums of a UTC day.
CREATE OR REPLACE FUNCTION gw_add(p_account bigint, p_created bigint, p_key bigint, p_model text,
    p_credits bigint, p_requests bigint, p_tokens bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rollups AS r (account, day, key, model, credits, requests, tokens)
    VALUES (p_account, p_created / 86400, p_key, p_model, p_credits, p_requests, p_tokens)
    ON CONFLICT (account, day, key, model) DO UPDATE SET credits = r.credits + excluded.credits,
        requests = r.requests + excluded.requests, tokens = r.tokens + excluded.tokens;
END $$;

-- The same of what is counted otherwise than in tokens, as it stands in the counts of a usage.
CREATE OR REPLACE FUNCTION gw_count(p_account bigint, p_created bigint, p_key bigint, p_model text, p_counts bigint[])
RETURNS void LANGUAGE sql AS $$
    UPDATE rollups SET images = images + p_counts[12], characters = characters + p_counts[13],
        seconds = seconds + p_counts[14], searches = searches + p_counts[15]
    WHERE account = p_account AND day = p_created / 86400 AND key = p_key AND model = p_model
$$;

-- Add to the sums of each of the tags, an object of texts or NULL; the caller holds the lock on the account.
CREATE OR REPLACE FUNCTION gw_tag(p_account bigint, p_created bigint, p_key bigint, p_tags json,
    p_credits bigint, p_requests bigint, p_tokens bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE tag record; counted text; p_day integer := p_created / 86400;
BEGIN
    FOR tag IN SELECT e.key AS name, e.value FROM json_each_text(p_tags) AS e LOOP
        counted := tag.value;
        IF NOT EXISTS (SELECT 1 FROM tag_sums AS t
                WHERE t.account = p_account AND t.day = p_day AND t.name = tag.name AND t.value = tag.value)
            AND (SELECT count(DISTINCT t.value) FROM tag_sums AS t
                WHERE t.account = p_account AND t.day = p_day AND t.name = tag.name) >= 1000 THEN
            counted := '';
        END IF;
        INSERT INTO tag_sums AS s (account, day, name, value, key, credits, requests, tokens)
            VALUES (p_account, p_day, tag.name, counted, p_key, p_credits, p_requests, p_tokens)
            ON CONFLICT (account, day, name, value, key) DO UPDATE SET credits = s.credits + excluded.credits,
                requests = s.requests + excluded.requests, tokens = s.tokens + excluded.tokens;
    END LOOP;
END $$;

-- One entry with all that it does to sums; the caller holds the lock on the account. Returns the balance.
CREATE OR REPLACE FUNCTION gw_post(p_account bigint, p_kind integer, p_amount bigint, p_reserved bigint,
    p_unpaid bigint, p_now bigint, h holds, p_basis integer, p_idem text, p_note text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE after bigint;
BEGIN
    UPDATE accounts SET balance = balance + p_amount, held = held + p_reserved WHERE n = p_account
        RETURNING balance INTO after;
    INSERT INTO entries (account, kind, amount, reserved, unpaid, balance, created, hold, basis, idem, note)
        VALUES (p_account, p_kind, p_amount, p_reserved, p_unpaid, after, p_now, h.n, p_basis, p_idem, p_note);
    IF h.n IS NOT NULL THEN
        IF h.key <> 0 THEN
            -- The lock on the account keeps others away; an upsert would check its row before it meets the old one.
            UPDATE months SET used = used - p_amount, held = held + p_reserved
                WHERE key = h.key AND period = h.period;
            IF NOT FOUND THEN
                INSERT INTO months (key, period, used, held) VALUES (h.key, h.period, -p_amount, p_reserved);
            END IF;
        END IF;
        IF p_amount <> 0 THEN
            PERFORM gw_add(p_account, h.created, h.key, h.model, -p_amount, 0, 0);
            PERFORM gw_tag(p_account, h.created, h.key, h.tags, -p_amount, 0, 0);
        END IF;
    END IF;
    RETURN after;
END $$;

-- What balance and ceiling leave, the lower of both.
CREATE OR REPLACE FUNCTION gw_room(p_account bigint, p_key bigint, p_period integer, p_ceiling bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE room bigint; month bigint;
BEGIN
    SELECT balance - held INTO room FROM accounts WHERE n = p_account;
    IF p_ceiling IS NOT NULL AND p_key <> 0 THEN
        SELECT used + held INTO month FROM months WHERE key = p_key AND period = p_period;
        room := least(room, p_ceiling - coalesce(month, 0));
    END IF;
    RETURN room;
END $$;

CREATE OR REPLACE FUNCTION gw_hold(op jsonb, p_lease text, p_lives boolean, p_now bigint) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    h holds; a accounts; k record; number bigint := 0; top bigint; room bigint; wanted numeric; units numeric;
    base numeric := (op ->> 'b')::numeric; price numeric := (op ->> 'u')::numeric; covered bigint;
    least numeric := least((op ->> 'b')::numeric, (op ->> 'w')::numeric); whole numeric := (op ->> 'b')::numeric;
BEGIN
    SELECT * INTO h FROM holds WHERE request_id = op ->> 'r';
    IF FOUND THEN
        IF h.state = 0 AND h.account = (SELECT n FROM accounts WHERE id = op ->> 'a') THEN
            RETURN jsonb_build_object('amount', h.amount, 'units', h.units);
        END IF;
        RETURN '{"e": "used"}';
    END IF;
    IF NOT p_lives THEN RETURN '{"e": "lease"}'; END IF;
    SELECT * INTO a FROM accounts WHERE id = op ->> 'a';
    IF NOT FOUND THEN RETURN '{"e": "account"}'; END IF;
    IF a.disabled THEN RETURN '{"e": "disabled"}'; END IF;
    top := (op ->> 'l')::bigint;
    IF op ->> 'k' <> '' THEN
        SELECT n, account, revoked, monthly_limit INTO k FROM keys WHERE id = op ->> 'k';
        IF NOT FOUND OR k.account <> a.n OR k.revoked <= p_now THEN RETURN '{"e": "key"}'; END IF;
        number := k.n;
        top := least(top, k.monthly_limit);
    END IF;
    room := gw_room(a.n, number, (op ->> 'p')::integer, top);
    units := (op ->> 'n')::numeric;
    wanted := ceil(base + price * units);
    IF wanted > room THEN
        -- The units first, beside what the base is expected to be; then as much of the base as there is room for. A
        -- price of nothing per unit cannot be clamped: then it is the base that is too dear.
        IF least > room THEN units := -1;
        ELSIF price > 0 THEN units := least(units, div(room - least, price));
        END IF;
        IF units >= 0 THEN base := greatest(least, least(base, room - price * units)); END IF;
        IF units < (op ->> 'm')::numeric OR units < 0 THEN
            RETURN jsonb_build_object('e', 'poor', 'room', room, 'balance', a.balance, 'held', a.held, 'ceiling', top);
        END IF;
        wanted := ceil(base + price * units);
    END IF;
    IF (op ->> 'v')::bigint < units AND price > 0 THEN
        covered := (op ->> 'v')::bigint;
        wanted := ceil(base + price * covered);
    END IF;
    INSERT INTO holds (request_id, account, key, period, created, model, amount, units, state, charged, logged, lease,
            base, unit_price, ceiling, tags)
        VALUES (op ->> 'r', a.n, number, (op ->> 'p')::integer, p_now, op ->> 'd', wanted, coalesce(covered, units), 0,
            0, false, p_lease, base, price, top, (op ->> 'g')::json)
        RETURNING * INTO h;
    PERFORM gw_post(a.n, 3, 0, h.amount, 0, p_now, h, 0, NULL, '');
    RETURN jsonb_build_object('amount', h.amount, 'units', units, 'covered', covered,
        'base', CASE WHEN base <> whole THEN base::text END);
END $$;

CREATE OR REPLACE FUNCTION gw_grow(op jsonb, p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE h holds; room bigint; wanted numeric; total numeric; more numeric; added bigint;
BEGIN
    SELECT * INTO h FROM holds WHERE request_id = op ->> 'r';
    IF NOT FOUND OR h.state <> 0 OR (SELECT disabled FROM accounts WHERE n = h.account) THEN RETURN '0'; END IF;
    room := greatest(gw_room(h.account, h.key, h.period, h.ceiling), 0) + h.amount;
    total := h.base + (op ->> 'b')::numeric;
    wanted := least(h.units + (op ->> 'n')::numeric, 9007199254740992);
    IF ceil(total + h.unit_price * wanted) > room THEN
        wanted := CASE WHEN h.unit_price > 0 AND total <= room THEN div(room - total, h.unit_price) ELSE -1 END;
        IF wanted <= h.units THEN RETURN '0'; END IF;
    END IF;
    more := wanted - h.units;
    added := ceil(total + h.unit_price * wanted) - h.amount;
    UPDATE holds SET units = wanted, amount = amount + added, base = total WHERE n = h.n;
    IF added <> 0 THEN PERFORM gw_post(h.account, 4, 0, added, 0, p_now, h, 0, NULL, ''); END IF;
    RETURN to_jsonb(more::bigint);
END $$;

-- Settle an open or forsaken hold. What it covers is the charge; what the call cost beyond it is an overrun, paid as
-- far as free balance and ceiling reach. Returns the credits charged.
CREATE OR REPLACE FUNCTION gw_charge(h holds, p_charge bigint, p_basis integer, p_target text, p_now bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    reserved bigint := CASE WHEN h.state = 0 THEN h.amount ELSE 0 END;
    before bigint := CASE WHEN h.state = 1 THEN h.charged ELSE 0 END;
    covered bigint := least(p_charge - before, reserved);
    beyond bigint := p_charge - before - covered;
    extra bigint := 0; top bigint := h.ceiling;
BEGIN
    IF beyond > 0 THEN
        IF h.state <> 0 THEN SELECT monthly_limit INTO top FROM keys WHERE n = h.key; END IF;
        extra := least(beyond, greatest(gw_room(h.account, h.key, h.period, top), 0));
    END IF;
    IF h.state <> 1 THEN PERFORM gw_post(h.account, 5, -covered, -reserved, 0, p_now, h, p_basis, NULL, ''); END IF;
    IF beyond > 0 THEN
        PERFORM gw_post(h.account, 8, -extra, 0, beyond - extra, p_now, h, p_basis, NULL, '');
    END IF;
    UPDATE holds SET state = 1, charged = before + covered + extra, target = p_target, lease = NULL WHERE n = h.n;
    RETURN before + covered + extra;
END $$;

CREATE OR REPLACE FUNCTION gw_release(h holds, p_state integer, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM gw_post(h.account, 6, 0, -h.amount, 0, p_now, h, 3, NULL, '');
    UPDATE holds SET state = p_state, lease = NULL WHERE n = h.n;
END $$;

CREATE OR REPLACE FUNCTION gw_settle(op jsonb, p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE h holds; charged bigint; basis integer := (op ->> 's')::integer;
BEGIN
    SELECT * INTO h FROM holds WHERE request_id = op ->> 'r';
    IF NOT FOUND THEN RETURN '{"e": "hold"}'; END IF;
    IF basis = 3 AND h.state = 0 THEN
        PERFORM gw_release(h, 2, p_now);
        RETURN '0';
    END IF;
    -- Others, who name no model that answered, may have charged less than its own process now tells.
    IF h.state = 2 OR h.state = 1 AND (h.target IS NOT NULL OR op ->> 'd' = '' OR (op ->> 'c')::bigint <= h.charged
        OR EXISTS (SELECT 1 FROM entries WHERE hold = h.n AND kind = 7)) THEN RETURN to_jsonb(h.charged); END IF;
    charged := gw_charge(h, (op ->> 'c')::bigint, basis, nullif(op ->> 'd', ''), p_now);
    IF (op ->> 'x')::bigint > 0 THEN
        PERFORM gw_post(h.account, 8, 0, 0, (op ->> 'x')::bigint, p_now, h, basis, NULL, 'disputed usage');
    END IF;
    RETURN to_jsonb(charged);
END $$;

CREATE OR REPLACE FUNCTION gw_void(op jsonb, p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE h holds;
BEGIN
    SELECT * INTO h FROM holds WHERE request_id = op ->> 'r';
    IF h.state = 0 THEN PERFORM gw_release(h, 2, p_now);
    ELSIF h.state = 3 THEN UPDATE holds SET state = 2 WHERE n = h.n;
    END IF;
    RETURN 'null';
END $$;

-- A row of the usage log. A held request stands on its hold's account, key, day and model, and is logged once.
CREATE OR REPLACE FUNCTION gw_log(op jsonb, h holds) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    owner bigint := h.account; number bigint := h.key; model text := h.model; made bigint := h.created; counts bigint[];
    own json := h.tags;
BEGIN
    IF h.n IS NULL THEN
        -- Whoever inherits a row cannot know whether it was written; the caller holds the lock on the account.
        IF op ? 'inherited' AND EXISTS (SELECT 1 FROM usage WHERE request_id = op ->> 'r') THEN RETURN 'null'; END IF;
        SELECT n INTO owner FROM accounts WHERE id = op ->> 'a';
        IF NOT FOUND THEN RETURN '{"e": "nobody"}'; END IF;
        SELECT coalesce((SELECT n FROM keys WHERE id = op ->> 'k'), 0) INTO number;
        model := op ->> 'd';
        made := (op ->> 'at')::bigint;
        own := (op ->> 'g')::json;
    ELSIF h.logged THEN
        RETURN 'null';
    ELSE
        UPDATE holds SET logged = true WHERE n = h.n;
    END IF;
    SELECT array_agg(value::bigint ORDER BY place) INTO counts
        FROM jsonb_array_elements_text(op -> 'c') WITH ORDINALITY AS c (value, place);
    INSERT INTO usage (account, key, hold, request_id, model, target, route, status, basis, created, counts,
            first_byte_ms, total_ms, error, tags, tries)
        VALUES (owner, number, h.n, op ->> 'r', model, op ->> 't', op ->> 'o', (op ->> 'x')::smallint,
            (op ->> 's')::smallint, made, counts, (op ->> 'f')::integer, (op ->> 'w')::integer, op ->> 'z', own,
            coalesce(op ->> 'y', ''));
    PERFORM gw_add(owner, made, number, model, 0, 1, counts[1] + counts[2]);
    IF counts[12] + counts[13] + counts[14] + counts[15] > 0 THEN
        PERFORM gw_count(owner, made, number, model, counts);
    END IF;
    PERFORM gw_tag(owner, made, number, own, 0, 1, counts[1] + counts[2]);
    RETURN 'null';
END $$;

CREATE OR REPLACE FUNCTION gw_record(op jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE h holds;
BEGIN
    SELECT * INTO h FROM holds WHERE request_id = op ->> 'r';
    RETURN gw_log(op, h);
END $$;

-- Ends of calls as nearly all are, in one statement: charges that their holds cover, and rows of the usage log of such
-- holds. Answers by the place in the batch; what has no answer is left to the functions for one operation, which say
-- what all this means. Whether an end comes before or after another operation of the batch makes no difference: it only
-- makes room, and all of it becomes true at once.
CREATE OR REPLACE FUNCTION gw_end_many(p_ops jsonb, p_now bigint) RETURNS TABLE (place integer, answer jsonb)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT o.value ->> 'r' AS request, count(*) FILTER (WHERE o.value ->> 'do' = 'settle') AS settles,
            count(*) FILTER (WHERE o.value ->> 'do' = 'record') AS records,
            count(*) FILTER (WHERE o.value ->> 'do' IN ('hold', 'grow', 'void')) AS others,
            (array_agg(o.value) FILTER (WHERE o.value ->> 'do' = 'settle'))[1] AS s,
            (array_agg(o.value) FILTER (WHERE o.value ->> 'do' = 'record'))[1] AS r,
            min(o.spot) FILTER (WHERE o.value ->> 'do' = 'settle') AS settled_at,
            min(o.spot) FILTER (WHERE o.value ->> 'do' = 'record') AS logged_at
        FROM jsonb_array_elements(p_ops) WITH ORDINALITY AS o (value, spot) GROUP BY 1
    ), ends AS MATERIALIZED (
        SELECT h.n, h.account, h.key, h.period, h.created, h.model, h.amount, q.s, q.r, q.settled_at, q.logged_at,
            (q.s ->> 'c')::bigint AS charge,
            ARRAY(SELECT c.value::bigint FROM jsonb_array_elements_text(q.r -> 'c') WITH ORDINALITY AS c (value, spot)
                ORDER BY c.spot) AS counts
        FROM asked AS q JOIN holds AS h ON h.request_id = q.request
        WHERE q.settles <= 1 AND q.records <= 1 AND q.others = 0 AND q.settles + q.records > 0 AND h.tags IS NULL
            AND (q.s IS NULL OR h.state = 0 AND q.s ->> 's' IN ('1', '2') AND (q.s ->> 'c')::bigint <= h.amount
                AND (q.s ->> 'x')::bigint = 0
                AND (h.key = 0 OR EXISTS (SELECT 1 FROM months AS m WHERE m.key = h.key AND m.period = h.period)))
            AND (q.r IS NULL OR NOT h.logged AND coalesce((q.r -> 'c' ->> 11)::bigint, 0) = 0
                AND coalesce((q.r -> 'c' ->> 12)::bigint, 0) = 0 AND coalesce((q.r -> 'c' ->> 13)::bigint, 0) = 0
                AND coalesce((q.r -> 'c' ->> 14)::bigint, 0) = 0)
    ), booked AS (
        INSERT INTO entries (account, kind, amount, reserved, unpaid, balance, created, hold, basis)
        SELECT e.account, 5, -e.charge, -e.amount, 0,
            a.balance - sum(e.charge) OVER (PARTITION BY e.account ORDER BY e.settled_at), p_now, e.n,
            (e.s ->> 's')::smallint
        FROM ends AS e JOIN accounts AS a ON a.n = e.account WHERE e.s IS NOT NULL ORDER BY e.settled_at
    ), paid AS (
        UPDATE accounts AS a SET balance = a.balance - t.charge, held = a.held - t.amount
        FROM (SELECT e.account, sum(e.charge)::bigint AS charge, sum(e.amount)::bigint AS amount
            FROM ends AS e WHERE e.s IS NOT NULL GROUP BY 1) AS t
        WHERE a.n = t.account
    ), spent AS (
        UPDATE months AS m SET used = m.used + t.charge, held = m.held - t.amount
        FROM (SELECT e.key, e.period, sum(e.charge)::bigint AS charge, sum(e.amount)::bigint AS amount
            FROM ends AS e WHERE e.s IS NOT NULL AND e.key <> 0 GROUP BY 1, 2) AS t
        WHERE m.key = t.key AND m.period = t.period
    ), logged AS (
        INSERT INTO usage (account, key, hold, request_id, model, target, route, status, basis, created, counts,
            first_byte_ms, total_ms, error, tries)
        SELECT e.account, e.key, e.n, e.r ->> 'r', e.model, e.r ->> 't', e.r ->> 'o', (e.r ->> 'x')::smallint,
            (e.r ->> 's')::smallint, e.created, e.counts, (e.r ->> 'f')::integer, (e.r ->> 'w')::integer, e.r ->> 'z',
            coalesce(e.r ->> 'y', '')
        FROM ends AS e WHERE e.r IS NOT NULL ORDER BY e.logged_at
    ), summed AS (
        INSERT INTO rollups AS r (account, day, key, model, credits, requests, tokens)
        SELECT e.account, e.created / 86400, e.key, e.model, sum(coalesce(e.charge, 0)), count(e.r),
            sum(coalesce(e.counts[1] + e.counts[2], 0))
        FROM ends AS e GROUP BY 1, 2, 3, 4 HAVING sum(coalesce(e.charge, 0)) <> 0 OR count(e.r) > 0
        ON CONFLICT (account, day, key, model) DO UPDATE SET credits = r.credits + excluded.credits,
            requests = r.requests + excluded.requests, tokens = r.tokens + excluded.tokens
    ), closed AS (
        UPDATE holds AS h SET logged = h.logged OR e.r IS NOT NULL,
            state = CASE WHEN e.s IS NULL THEN h.state ELSE 1 END,
            charged = CASE WHEN e.s IS NULL THEN h.charged ELSE e.charge END,
            target = CASE WHEN e.s IS NULL THEN h.target ELSE nullif(e.s ->> 'd', '') END,
            lease = CASE WHEN e.s IS NULL THEN h.lease END
        FROM ends AS e WHERE h.n = e.n
    )
    SELECT e.settled_at::integer, to_jsonb(e.charge) FROM ends AS e WHERE e.s IS NOT NULL
    UNION ALL SELECT e.logged_at::integer, 'null' FROM ends AS e WHERE e.r IS NOT NULL;
END $$;

-- Holds, of accounts that can pay all that they ask for in this batch, in one statement; answers as `gw_end_many`.
CREATE OR REPLACE FUNCTION gw_hold_many(p_ops jsonb, p_lease text, p_now bigint)
RETURNS TABLE (place integer, answer jsonb) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT o.spot, o.value AS op, a.n AS account, a.balance, a.held, coalesce(k.n, 0) AS key,
            (o.value ->> 'p')::integer AS period, least((o.value ->> 'l')::bigint, k.monthly_limit) AS top,
            coalesce(m.used + m.held, 0) AS month, (o.value ->> 'b')::numeric AS base,
            (o.value ->> 'u')::numeric AS price, (o.value ->> 'n')::numeric AS units, (o.value ->> 'v')::bigint AS reserve
        FROM jsonb_array_elements(p_ops) WITH ORDINALITY AS o (value, spot) JOIN accounts AS a ON a.id = o.value ->> 'a'
            LEFT JOIN keys AS k ON k.id = o.value ->> 'k' AND k.account = a.n
            LEFT JOIN months AS m ON m.key = k.n AND m.period = (o.value ->> 'p')::integer
        WHERE o.value ->> 'do' = 'hold' AND NOT a.disabled
            AND (o.value ->> 'k' = '' OR k.n IS NOT NULL AND (k.revoked IS NULL OR k.revoked > p_now))
            AND NOT EXISTS (SELECT 1 FROM holds AS h WHERE h.request_id = o.value ->> 'r')
    ), priced AS (
        SELECT q.*, ceil(q.base + q.price * q.units) AS wanted,
            CASE WHEN q.reserve < q.units AND q.price > 0 THEN q.reserve END AS covered
        FROM asked AS q
    ), sized AS (
        SELECT q.*, CASE WHEN q.covered IS NULL THEN q.wanted ELSE ceil(q.base + q.price * q.covered) END AS amount
        FROM priced AS q
    ), running AS (
        SELECT q.*, sum(q.amount) OVER (PARTITION BY q.account ORDER BY q.spot) - q.amount AS before,
            sum(q.amount) OVER (PARTITION BY q.key, q.period ORDER BY q.spot) - q.amount AS before_month
        FROM sized AS q
    ), judged AS (
        SELECT q.*, bool_and(q.wanted <= q.balance - q.held - q.before AND (q.key = 0 OR q.top IS NULL
            OR q.wanted <= q.top - q.month - q.before_month)) OVER (PARTITION BY q.account) AS fits
        FROM running AS q
    ), taken AS MATERIALIZED (
        SELECT q.*, nextval('holds_n_seq') AS n FROM judged AS q WHERE q.fits
    ), made AS (
        INSERT INTO holds (n, request_id, account, key, period, created, model, amount, units, state, charged, logged,
            lease, base, unit_price, ceiling, tags) OVERRIDING SYSTEM VALUE
        SELECT q.n, q.op ->> 'r', q.account, q.key, q.period, p_now, q.op ->> 'd', q.amount,
            coalesce(q.covered, q.units), 0, 0, false, p_lease, q.base, q.price, q.top, (q.op ->> 'g')::json
        FROM taken AS q
    ), booked AS (
        INSERT INTO entries (account, kind, amount, reserved, unpaid, balance, created, hold)
        SELECT q.account, 3, 0, q.amount, 0, q.balance, p_now, q.n FROM taken AS q ORDER BY q.spot
    ), reserved AS (
        UPDATE accounts AS a SET held = a.held + t.amount
        FROM (SELECT q.account, sum(q.amount)::bigint AS amount FROM taken AS q GROUP BY 1) AS t WHERE a.n = t.account
    ), spent AS (
        INSERT INTO months AS m (key, period, used, held)
        SELECT q.key, q.period, 0, sum(q.amount)::bigint FROM taken AS q WHERE q.key <> 0 GROUP BY 1, 2
        ON CONFLICT (key, period) DO UPDATE SET held = m.held + excluded.held
    )
    SELECT q.spot::integer,
        jsonb_build_object('amount', q.amount, 'units', q.units, 'covered', q.covered, 'base', NULL)
    FROM taken AS q;
END $$;

-- One operation of a batch: its answer.
CREATE OR REPLACE FUNCTION gw_apply(op jsonb, p_lease text, p_lives boolean, p_now bigint) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    CASE op ->> 'do'
        WHEN 'hold' THEN RETURN gw_hold(op, p_lease, p_lives, p_now);
        WHEN 'grow' THEN RETURN gw_grow(op, p_now);
        WHEN 'settle' THEN RETURN gw_settle(op, p_now);
        WHEN 'void' THEN RETURN gw_void(op, p_now);
        WHEN 'record' THEN RETURN gw_record(op);
        WHEN 'dispatch' THEN
            UPDATE holds SET dispatched = true WHERE request_id = op ->> 'r' AND state = 0 AND NOT dispatched;
        WHEN 'note' THEN
            UPDATE holds SET dispatched = true, known = (op ->> 'c')::bigint, known_prompt = (op ->> 'i')::bigint,
                known_completion = (op ->> 'n')::bigint WHERE request_id = op ->> 'r' AND state = 0;
    END CASE;
    RETURN 'null';
END $$;

-- A batch of one lane: all its accounts are locked first, in their order, so that no two batches wait for each other.
-- The same `p_seq` again (its answer was lost) is answered from `lanes`. The planner takes every batch for a hundred
-- operations, and would read the whole of a table of some thousands of accounts for a batch of one: each goes by an index.
CREATE OR REPLACE FUNCTION gw_run(p_lease text, p_lane integer, p_seq bigint, p_now bigint, p_ops jsonb)
RETURNS jsonb LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    known record; op jsonb; done jsonb[]; lives boolean := false; one jsonb; spot integer; ends integer; asks integer;
    marks integer;
BEGIN
    SELECT seq, answer INTO known FROM lanes WHERE lease = p_lease AND lane = p_lane FOR UPDATE;
    IF known.seq = p_seq THEN RETURN known.answer; END IF;
    PERFORM 1 FROM accounts WHERE n IN (
        SELECT a.n FROM jsonb_array_elements(p_ops) AS o JOIN accounts AS a ON a.id = o ->> 'a'
        UNION ALL
        SELECT h.account FROM jsonb_array_elements(p_ops) AS o JOIN holds AS h ON h.request_id = o ->> 'r'
    ) ORDER BY n FOR NO KEY UPDATE;
    PERFORM 1 FROM leases WHERE id = p_lease AND NOT dead FOR KEY SHARE;
    lives := FOUND;
    SELECT count(*) FILTER (WHERE kind IN ('settle', 'record')), count(*) FILTER (WHERE kind = 'hold'),
        count(*) FILTER (WHERE kind = 'dispatch'), coalesce(array_agg(NULL::jsonb), '{}')
        INTO ends, asks, marks, done
        FROM (SELECT value ->> 'do' AS kind FROM jsonb_array_elements(p_ops)) AS o;
    -- Alike and several, they go together: that costs a fraction.
    IF ends > 2 THEN
        FOR spot, one IN SELECT * FROM gw_end_many(p_ops, p_now) LOOP done[spot] := one; END LOOP;
    END IF;
    IF lives AND asks > 1 THEN
        -- What was used is paid before others reserve what is left.
        FOR op, spot IN SELECT * FROM jsonb_array_elements(p_ops) WITH ORDINALITY LOOP
            IF done[spot] IS NULL AND op ->> 'do' IN ('settle', 'record', 'void') THEN
                done[spot] := gw_apply(op, p_lease, lives, p_now);
            END IF;
        END LOOP;
        FOR spot, one IN SELECT * FROM gw_hold_many(p_ops, p_lease, p_now) LOOP done[spot] := one; END LOOP;
    END IF;
    IF marks > 1 THEN
        UPDATE holds SET dispatched = true WHERE state = 0 AND NOT dispatched AND request_id IN (
            SELECT value ->> 'r' FROM jsonb_array_elements(p_ops) WHERE value ->> 'do' = 'dispatch');
    END IF;
    FOR op, spot IN SELECT * FROM jsonb_array_elements(p_ops) WITH ORDINALITY LOOP
        IF op ->> 'do' = 'dispatch' AND marks > 1 THEN
            done[spot] := 'null';
        ELSIF done[spot] IS NULL THEN
            done[spot] := gw_apply(op, p_lease, lives, p_now);
        END IF;
    END LOOP;
    INSERT INTO lanes AS l (lease, lane, seq, answer) VALUES (p_lease, p_lane, p_seq, to_jsonb(done))
        ON CONFLICT (lease, lane) DO UPDATE SET seq = excluded.seq, answer = excluded.answer;
    RETURN to_jsonb(done);
END $$;

-- Resolve some of the open holds of a dead lease; returns how many.
CREATE OR REPLACE FUNCTION gw_fail_over(p_lease text, p_now bigint, p_error text, p_most integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE ids bigint[]; h holds; resolved integer := 0;
BEGIN
    SELECT array_agg(n) INTO ids FROM (
        SELECT n FROM holds WHERE lease = p_lease AND state = 0 ORDER BY n LIMIT p_most) AS found;
    PERFORM 1 FROM accounts WHERE n IN (SELECT account FROM holds WHERE n = ANY (ids)) ORDER BY n FOR NO KEY UPDATE;
    FOR h IN SELECT * FROM holds WHERE n = ANY (ids) AND state = 0 ORDER BY n LOOP
        resolved := resolved + 1;
        IF h.dispatched THEN
            PERFORM gw_log(jsonb_build_object('r', h.request_id, 't', '', 'o', '', 'x', 500, 's', 2, 'w', 0,
                'z', p_error, 'c', jsonb_build_array(coalesce(h.known_prompt, 0), coalesce(h.known_completion, 0),
                0, 0, 0, 0, 0, 0, 0, 0)), h);
            PERFORM gw_charge(h, coalesce(h.known, 0), 2, NULL, p_now);
        ELSE
            PERFORM gw_release(h, 3, p_now);
        END IF;
    END LOOP;
    RETURN resolved;
END $$;

-- Credits of a charge that were not given back yet.
CREATE OR REPLACE FUNCTION gw_left(h holds) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT h.charged - coalesce((SELECT sum(amount) FROM entries WHERE hold = h.n AND kind = 7), 0)::bigint
$$;

-- Whether this very operation was booked before under its key: NULL when nothing was, else whether it is the same.
CREATE OR REPLACE FUNCTION gw_once(p_idem text, p_account bigint, p_kind integer, p_amount bigint, p_hold bigint)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (account, kind, amount, hold) IS NOT DISTINCT FROM (p_account, p_kind::smallint, p_amount, p_hold)
    FROM entries WHERE idem = p_idem
$$;

-- Grants, top-ups, corrections, refunds (p_request) and vouchers (p_voucher): credits with a key of their own.
CREATE OR REPLACE FUNCTION gw_credit(p_account text, p_kind integer, p_amount bigint, p_idem text, p_note text,
    p_now bigint, p_request text, p_voucher bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE a accounts; h holds; v vouchers; same boolean; amount bigint := p_amount; idem text := p_idem; remains bigint;
BEGIN
    IF p_request IS NOT NULL THEN
        SELECT * INTO h FROM holds WHERE request_id = p_request;
        IF NOT FOUND OR h.state <> 1 THEN RETURN '{"e": "charge"}'; END IF;
        SELECT * INTO a FROM accounts WHERE n = h.account FOR NO KEY UPDATE;
    ELSE
        SELECT * INTO a FROM accounts WHERE id = p_account FOR NO KEY UPDATE;
        IF NOT FOUND THEN RETURN '{"e": "account"}'; END IF;
    END IF;
    IF p_voucher IS NOT NULL THEN
        SELECT * INTO v FROM vouchers WHERE digest = p_voucher FOR UPDATE;
        IF NOT FOUND THEN RETURN '{"e": "voucher"}'; END IF;
        amount := v.credits;
        IF idem = '' THEN idem := 'voucher:' || p_account || ':' || v.n || ':';
        ELSE idem := 'voucher:' || p_account || ':key:' || idem; END IF;
    END IF;
    same := gw_once(idem, a.n, p_kind, amount, h.n);
    IF same AND p_voucher IS NOT NULL AND (p_idem = '' OR v.account IS DISTINCT FROM a.n) THEN
        RETURN CASE WHEN p_idem = '' THEN '{"e": "voucher"}' ELSE '{"e": "conflict"}' END;
    ELSIF same THEN RETURN jsonb_build_object('balance', a.balance, 'credits', amount);
    ELSIF NOT same THEN RETURN '{"e": "conflict"}';
    END IF;
    IF v.redeemed IS NOT NULL OR v.revoked IS NOT NULL OR v.expires <= p_now THEN RETURN '{"e": "voucher"}'; END IF;
    IF h.n IS NOT NULL THEN
        remains := gw_left(h);
        IF amount > remains THEN RETURN jsonb_build_object('e', 'refund', 'left', remains); END IF;
    END IF;
    IF a.balance + amount > 9007199254740992 THEN RETURN '{"e": "many"}'; END IF;
    IF a.balance + amount < a.held THEN RETURN jsonb_build_object('e', 'few', 'free', a.balance - a.held); END IF;
    IF v.n IS NOT NULL THEN UPDATE vouchers SET redeemed = p_now, account = a.n WHERE n = v.n; END IF;
    RETURN jsonb_build_object('credits', amount, 'balance',
        gw_post(a.n, p_kind, amount, 0, 0, p_now, h, 0, idem, p_note));
END $$;

-- How many events of a window came after p_since. Only the oldest second is looked into.
CREATE OR REPLACE FUNCTION gw_live(p_name text, p_length double precision, p_since double precision) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(CASE WHEN slot > floor(p_since) THEN n
        ELSE (SELECT count(*) FROM unnest(times) AS t WHERE t > p_since) END), 0)::bigint
    FROM hits WHERE name = p_name AND length = p_length AND slot >= floor(p_since)
$$;

-- Of earlier versions of these functions.
DROP FUNCTION IF EXISTS gw_count_all(jsonb, double precision);
DROP FUNCTION IF EXISTS gw_event(text, double precision, double precision);

-- So many events more; what is over goes once a second.
CREATE OR REPLACE FUNCTION gw_event(p_name text, p_length double precision, p_now double precision, p_count integer)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hits AS h SET n = h.n + p_count, times = h.times || array_fill(p_now, ARRAY[p_count])
        WHERE h.name = p_name AND h.length = p_length AND h.slot = floor(p_now);
    IF NOT FOUND THEN
        -- The lock on the window keeps others away.
        INSERT INTO hits (name, length, slot, n, times)
            VALUES (p_name, p_length, floor(p_now), p_count, array_fill(p_now, ARRAY[p_count]));
        DELETE FROM hits WHERE name = p_name AND length = p_length AND slot < floor(p_now - p_length);
    END IF;
    UPDATE windows SET newest = p_now WHERE name = p_name AND length = p_length;
END $$;

-- Add to windows, when all of them have the room (events that each of them may hold in the end), as nearly always; where
-- one has not, `live` is NULL and nothing is done. p_names in the order of their bytes, so that batches never wait in a
-- circle. Answers the time, and for each window how many events it had before and the newest of them.
CREATE OR REPLACE FUNCTION gw_hit_all(p_names text[], p_length double precision, p_adds integer[], p_rooms bigint[],
    p_now double precision, OUT at double precision, OUT live bigint[], OUT newest double precision[]) LANGUAGE plpgsql
AS $$
DECLARE last double precision; since double precision; had bigint; oldest double precision[];
BEGIN
    at := p_now;
    FOR i IN 1 .. cardinality(p_names) LOOP
        SELECT w.newest INTO last FROM windows AS w WHERE w.name = p_names[i] AND w.length = p_length FOR UPDATE;
        IF NOT FOUND AND p_adds[i] > 0 THEN
            INSERT INTO windows AS w (name, length, times) VALUES (p_names[i], p_length, '{}')
                ON CONFLICT (name, length) DO UPDATE SET newest = w.newest RETURNING w.newest INTO last;
        END IF;
        newest[i] := coalesce(last, 0);
    END LOOP;
    at := coalesce(p_now, gw_clock());
    FOREACH last IN ARRAY newest LOOP
        IF last > at THEN at := last; END IF;
    END LOOP;
    since := at - p_length;
    FOR i IN 1 .. cardinality(p_names) LOOP
        SELECT coalesce(sum(h.n), 0) INTO had FROM hits AS h
            WHERE h.name = p_names[i] AND h.length = p_length AND h.slot > floor(since);
        SELECT h.times INTO oldest FROM hits AS h
            WHERE h.name = p_names[i] AND h.length = p_length AND h.slot = floor(since);
        IF FOUND THEN had := had + (SELECT count(*) FROM unnest(oldest) AS t WHERE t > since); END IF;
        IF had + p_adds[i] > p_rooms[i] THEN
            live := NULL;
            RETURN;
        END IF;
        live[i] := had;
    END LOOP;
    FOR i IN 1 .. cardinality(p_names) LOOP
        IF p_adds[i] > 0 THEN PERFORM gw_event(p_names[i], p_length, at, p_adds[i]); END IF;
    END LOOP;
END $$;

-- A batch of questions: count one event in every window of one (`n`, with limits `l`, of `w` seconds), or in none of
-- them; without `c` only look. p_now: NULL for the database's clock, which is held back to the newest event, so that it
-- never goes back. Answers whether all had room, the time, and for each window how many events, the newest, and the one
-- whose end makes room for the next. Rows are locked in one order, so that batches never wait in a circle.
CREATE OR REPLACE FUNCTION gw_windows(p_asks jsonb, p_now double precision) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    now double precision; since double precision; span double precision; last double precision;
    freeing double precision; ask jsonb; names text[]; limits bigint[]; counts bigint[]; allowed boolean;
    told jsonb; done jsonb := '[]'; i integer;
BEGIN
    INSERT INTO windows (name, length, times)
        SELECT n, (a ->> 'w')::double precision, '{}'::double precision[]
        FROM jsonb_array_elements(p_asks) AS a CROSS JOIN jsonb_array_elements_text(a -> 'n') AS n
        WHERE (a ->> 'c')::boolean ORDER BY n COLLATE "C", 2 ON CONFLICT DO NOTHING;
    PERFORM 1 FROM windows WHERE (name, length) IN (SELECT n, (a ->> 'w')::double precision
        FROM jsonb_array_elements(p_asks) AS a CROSS JOIN jsonb_array_elements_text(a -> 'n') AS n)
        ORDER BY name COLLATE "C", length FOR UPDATE;
    SELECT greatest(coalesce(p_now, gw_clock()), max(newest)) INTO now FROM windows
        WHERE (name, length) IN (SELECT n, (a ->> 'w')::double precision
        FROM jsonb_array_elements(p_asks) AS a CROSS JOIN jsonb_array_elements_text(a -> 'n') AS n);
    FOR ask IN SELECT value FROM jsonb_array_elements(p_asks) LOOP
        names := ARRAY(SELECT jsonb_array_elements_text(ask -> 'n'));
        limits := ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(ask -> 'l'));
        span := (ask ->> 'w')::double precision;
        since := now - span;
        allowed := true;
        FOR i IN 1 .. cardinality(names) LOOP
            counts[i] := gw_live(names[i], span, since);
            allowed := allowed AND counts[i] < limits[i];
        END LOOP;
        told := '[]';
        FOR i IN 1 .. cardinality(names) LOOP
            IF allowed AND (ask ->> 'c')::boolean THEN
                PERFORM gw_event(names[i], span, now, 1);
                counts[i] := counts[i] + 1;
            END IF;
            SELECT newest INTO last FROM windows WHERE name = names[i] AND length = span;
            freeing := 0;
            IF limits[i] BETWEEN 1 AND counts[i] THEN
                SELECT t INTO freeing FROM hits, unnest(times) AS t WHERE name = names[i] AND length = span
                    AND slot >= floor(since) AND t > since ORDER BY t OFFSET counts[i] - limits[i] LIMIT 1;
            END IF;
            told := told || jsonb_build_array(jsonb_build_array(counts[i], coalesce(last, 0), freeing));
        END LOOP;
        done := done || jsonb_build_array(jsonb_build_array(allowed, now, told));
    END LOOP;
    RETURN done;
END $$;
