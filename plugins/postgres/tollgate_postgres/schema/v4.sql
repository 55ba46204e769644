-- Version 4: words between gateways, such as which provider is down.

-- Forgotten with a crash of the database, like rate windows. expires: by this database's clock, seconds.
CREATE SEQUENCE notice_numbers;
CREATE UNLOGGED TABLE notices (
    name text PRIMARY KEY,
    n bigint NOT NULL,
    lease text NOT NULL,
    data jsonb NOT NULL,
    expires double precision NOT NULL
) WITH (fillfactor = 50);
