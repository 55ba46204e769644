-- Version 1: accounts, keys, people's sessions, the ledger, vouchers, top-ups, the usage log, the state of the
-- Responses API, keyed requests, the audit log, leases and rate windows.
--
-- Public ids are text; inside, rows refer to each other by integers. Sums (balance, held, used) are guarded by the lock
-- on the account's row. The CHECKs repeat what the functions already ensure: should they ever be wrong, the database
-- refuses. Tables whose rows change often leave room in their pages, so that an update touches no index.

CREATE TABLE facts (name text PRIMARY KEY, value text NOT NULL);

-- Changes with everything that `authenticate` may have kept in memory.
CREATE TABLE generation (n bigint NOT NULL) WITH (fillfactor = 50);
INSERT INTO generation VALUES (1);

CREATE TABLE accounts (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    name text NOT NULL UNIQUE,
    role text NOT NULL,
    balance bigint NOT NULL DEFAULT 0 CHECK (balance BETWEEN 0 AND 9007199254740992),
    held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    requests_per_minute integer,
    disabled boolean NOT NULL DEFAULT false,
    created bigint NOT NULL,
    CHECK (held <= balance)
) WITH (fillfactor = 60);

CREATE TABLE keys (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    account bigint NOT NULL REFERENCES accounts (n),
    name text NOT NULL,
    label text NOT NULL,
    created bigint NOT NULL,
    expires bigint,
    revoked bigint,
    last_used bigint,
    monthly_limit bigint CHECK (monthly_limit >= 0),
    models text[],
    requests_per_minute integer,
    ip_allow text[]
) WITH (fillfactor = 80);
CREATE INDEX keys_of_account ON keys (account);

-- One row for the present secret of a key, and one for each rotated one in its grace (`until`).
CREATE TABLE secrets (digest bytea PRIMARY KEY, key bigint NOT NULL REFERENCES keys (n), until bigint);
CREATE INDEX secrets_of_key ON secrets (key);

CREATE TABLE months (
    key bigint NOT NULL,
    period integer NOT NULL,
    used bigint NOT NULL DEFAULT 0 CHECK (used >= 0),
    held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    PRIMARY KEY (key, period)
) WITH (fillfactor = 60);

-- expires: by this database's clock, seconds. dead: it can never come to life again.
CREATE TABLE leases (
    id text PRIMARY KEY,
    expires double precision NOT NULL,
    dead boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- The last batch of each lane of a lease, with its answer: who lost it asks again, and nothing happens twice.
CREATE TABLE lanes (
    lease text NOT NULL,
    lane integer NOT NULL,
    seq bigint NOT NULL,
    answer jsonb NOT NULL,
    PRIMARY KEY (lease, lane)
) WITH (fillfactor = 50);

-- state: 0 open, 1 settled, 2 voided, 3 voided because its lease was dead. The columns from `lease` on matter only
-- while it is open.
CREATE TABLE holds (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id text NOT NULL UNIQUE,
    account bigint NOT NULL,
    key bigint NOT NULL,
    period integer NOT NULL,
    created bigint NOT NULL,
    model text NOT NULL,
    amount bigint NOT NULL CHECK (amount >= 0),
    units bigint NOT NULL CHECK (units >= 0),
    state smallint NOT NULL CHECK (state BETWEEN 0 AND 3),
    charged bigint NOT NULL CHECK (charged >= 0),
    logged boolean NOT NULL,
    target text,
    lease text,
    dispatched boolean NOT NULL DEFAULT false,
    base numeric,
    unit_price numeric,
    ceiling bigint,
    known bigint,
    known_prompt bigint,
    known_completion bigint
) WITH (fillfactor = 70);
CREATE INDEX open_holds ON holds (lease) WHERE state = 0;

CREATE TABLE entries (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account bigint NOT NULL,
    kind smallint NOT NULL,
    amount bigint NOT NULL,
    reserved bigint NOT NULL,
    unpaid bigint NOT NULL CHECK (unpaid >= 0),
    balance bigint NOT NULL CHECK (balance >= 0),
    created bigint NOT NULL,
    hold bigint,
    basis smallint NOT NULL DEFAULT 0,
    idem text,
    note text NOT NULL DEFAULT ''
);
CREATE INDEX entries_of_account ON entries (account, n);
CREATE INDEX entries_of_hold ON entries (hold) WHERE hold IS NOT NULL;
CREATE UNIQUE INDEX entries_once ON entries (idem) WHERE idem IS NOT NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME; END $$;
CREATE TRIGGER entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE vouchers (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    label text NOT NULL,
    credits bigint NOT NULL CHECK (credits > 0),
    created bigint NOT NULL,
    expires bigint,
    redeemed bigint,
    account bigint REFERENCES accounts (n),
    note text NOT NULL,
    revoked bigint
);

CREATE TABLE topups (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    account bigint NOT NULL REFERENCES accounts (n),
    method text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    credits bigint NOT NULL CHECK (credits > 0),
    created bigint NOT NULL,
    state text NOT NULL,
    checkout text NOT NULL DEFAULT '',
    url text NOT NULL DEFAULT '',
    settled bigint NOT NULL DEFAULT 0 CHECK (settled >= 0),
    returned bigint NOT NULL DEFAULT 0 CHECK (returned >= 0),
    credited bigint NOT NULL DEFAULT 0,
    owed bigint NOT NULL DEFAULT 0 CHECK (owed >= 0),
    entries integer NOT NULL DEFAULT 0
);
CREATE INDEX topups_of_account ON topups (account);
CREATE TABLE topup_parts (
    topup bigint NOT NULL REFERENCES topups (n),
    name text NOT NULL,
    amount bigint NOT NULL,
    rank bigint NOT NULL,
    PRIMARY KEY (topup, name)
);

-- One partition for each UTC month, made ahead of time; what has none goes to the last one. Retention drops them.
-- counts: the ten numbers of a usage, in the order of `gateway.call.Usage`.
CREATE SEQUENCE usage_numbers;
CREATE TABLE usage (
    n bigint NOT NULL DEFAULT nextval('usage_numbers'),
    account bigint NOT NULL,
    key bigint NOT NULL,
    hold bigint,
    request_id text NOT NULL,
    model text NOT NULL,
    target text NOT NULL,
    route text NOT NULL,
    status smallint NOT NULL,
    basis smallint NOT NULL,
    created bigint NOT NULL,
    counts bigint[] NOT NULL,
    first_byte_ms integer,
    total_ms integer NOT NULL,
    error text NOT NULL
) PARTITION BY RANGE (created);
CREATE INDEX usage_in_order ON usage (n);
CREATE INDEX usage_of_account ON usage (account, n);
CREATE INDEX usage_of_request ON usage (request_id);
CREATE TABLE usage_other PARTITION OF usage DEFAULT;

CREATE TABLE rollups (
    account bigint NOT NULL,
    day integer NOT NULL,
    key bigint NOT NULL,
    model text NOT NULL,
    credits bigint NOT NULL,
    requests bigint NOT NULL,
    tokens bigint NOT NULL,
    PRIMARY KEY (account, day, key, model)
) WITH (fillfactor = 60);

-- previous: the n of the response that this one continues, -1 when that was gone already. lease: set while it runs.
-- item_ids: of the items in `input` and `output`, so that a reference to one finds it by an index.
CREATE TABLE responses (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    account bigint NOT NULL REFERENCES accounts (n),
    status text NOT NULL,
    created bigint NOT NULL,
    expires bigint NOT NULL,
    previous bigint,
    lease text,
    background boolean NOT NULL,
    cancelled boolean NOT NULL DEFAULT false,
    request_id text NOT NULL,
    size bigint NOT NULL,
    input bytea NOT NULL,
    response bytea NOT NULL,
    output bytea NOT NULL,
    events bytea,
    item_ids text[] NOT NULL,
    kept bigint GENERATED ALWAYS AS (size + coalesce(length(events), 0)) STORED
);
CREATE INDEX responses_by_item ON responses USING gin (item_ids);
CREATE INDEX responses_by_end ON responses (expires);
CREATE INDEX responses_continued ON responses (previous) WHERE previous IS NOT NULL;
CREATE INDEX running_responses ON responses (lease) WHERE lease IS NOT NULL;

CREATE TABLE conversations (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    account bigint NOT NULL REFERENCES accounts (n),
    created bigint NOT NULL,
    expires bigint NOT NULL,
    metadata jsonb NOT NULL,
    kept bigint GENERATED ALWAYS AS (100) STORED
);
CREATE INDEX conversations_by_end ON conversations (expires);
CREATE TABLE conversation_items (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    conversation bigint NOT NULL REFERENCES conversations (n) ON DELETE CASCADE,
    account bigint NOT NULL,
    id text NOT NULL,
    item bytea NOT NULL,
    kept bigint GENERATED ALWAYS AS (length(item)) STORED,
    UNIQUE (conversation, id)
);
CREATE INDEX items_of_conversation ON conversation_items (conversation, n);

-- lease: set while it runs; with neither a lease nor a status it was broken off and may run again. status: of the
-- HTTP answer, 0 when the answer was too large to be kept.
CREATE TABLE answers (
    name bytea PRIMARY KEY,
    account bigint NOT NULL REFERENCES accounts (n),
    body bytea NOT NULL,
    request_id text NOT NULL,
    expires bigint NOT NULL,
    lease text,
    status smallint,
    headers jsonb,
    content bytea,
    kept bigint GENERATED ALWAYS AS (coalesce(length(content), 0)) STORED
);
CREATE INDEX answers_by_end ON answers (expires);

-- How much is kept for each account, counted by the database itself, so that no way to write or delete is forgotten.
CREATE TABLE stored (
    account bigint PRIMARY KEY REFERENCES accounts (n),
    bytes bigint NOT NULL,
    objects bigint NOT NULL
) WITH (fillfactor = 60);
CREATE FUNCTION count_stored() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO stored AS s VALUES (NEW.account, NEW.kept, 1)
            ON CONFLICT (account) DO UPDATE SET bytes = s.bytes + excluded.bytes, objects = s.objects + 1;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE stored SET bytes = bytes + NEW.kept - OLD.kept WHERE account = NEW.account AND NEW.kept <> OLD.kept;
    ELSE
        UPDATE stored SET bytes = bytes - OLD.kept, objects = objects - 1 WHERE account = OLD.account;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER response_stored AFTER INSERT OR UPDATE OR DELETE ON responses
    FOR EACH ROW EXECUTE FUNCTION count_stored();
CREATE TRIGGER conversation_stored AFTER INSERT OR UPDATE OR DELETE ON conversations
    FOR EACH ROW EXECUTE FUNCTION count_stored();
CREATE TRIGGER item_stored AFTER INSERT OR UPDATE OR DELETE ON conversation_items
    FOR EACH ROW EXECUTE FUNCTION count_stored();
CREATE TRIGGER answer_stored AFTER INSERT OR UPDATE OR DELETE ON answers
    FOR EACH ROW EXECUTE FUNCTION count_stored();

-- account: NULL for the operator, who signs in with the admin secret.
CREATE TABLE sessions (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    digest bytea NOT NULL UNIQUE,
    account bigint REFERENCES accounts (n),
    created bigint NOT NULL,
    expires bigint NOT NULL,
    seen bigint NOT NULL,
    remote text NOT NULL,
    agent text NOT NULL
);
CREATE INDEX sessions_of_account ON sessions (account);
CREATE INDEX sessions_by_end ON sessions (expires);

-- password: a hash that is made to be slow, '' for none.
CREATE TABLE logins (
    account bigint PRIMARY KEY REFERENCES accounts (n),
    email text NOT NULL UNIQUE,
    password text NOT NULL,
    changed bigint NOT NULL
);
CREATE TABLE identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    account bigint NOT NULL REFERENCES accounts (n),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_of_account ON identities (account);
-- account: NULL for invitations.
CREATE TABLE links (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    digest bytea NOT NULL UNIQUE,
    purpose text NOT NULL,
    account bigint REFERENCES accounts (n),
    email text NOT NULL,
    role text NOT NULL,
    credits bigint NOT NULL CHECK (credits >= 0),
    created bigint NOT NULL,
    expires bigint NOT NULL
);
CREATE INDEX links_of_account ON links (account);
CREATE INDEX links_by_end ON links (expires);

CREATE TABLE audit (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    actor text NOT NULL,
    remote text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL
);
CREATE INDEX audit_of_subject ON audit (subject);
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Rate windows: forgotten with a crash of the database, which is right for windows of a minute.
CREATE UNLOGGED TABLE windows (
    name text NOT NULL,
    length double precision NOT NULL,
    times double precision[] NOT NULL,
    PRIMARY KEY (name, length)
) WITH (fillfactor = 50);
