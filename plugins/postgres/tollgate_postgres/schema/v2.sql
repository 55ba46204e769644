-- Version 2: for whom a request was made, and what was used under each of these tags; what accounts keep at providers.
-- Programs of version 1 go on beside it: their requests have no tags.

ALTER TABLE holds ADD COLUMN tags json;
CREATE INDEX tagged_holds ON holds (account) WHERE tags IS NOT NULL;
ALTER TABLE usage ADD COLUMN tags json;
CREATE INDEX tagged_usage ON usage (account) WHERE tags IS NOT NULL;

-- Of too many values of a name on one day the further ones come under ''.
CREATE TABLE tag_sums (
    account bigint NOT NULL,
    day integer NOT NULL,
    name text NOT NULL,
    value text NOT NULL,
    key bigint NOT NULL,
    credits bigint NOT NULL,
    requests bigint NOT NULL,
    tokens bigint NOT NULL,
    PRIMARY KEY (account, day, name, value, key)
) WITH (fillfactor = 60);

-- What accounts keep at providers (files, batches); counted among what is kept for them.
CREATE TABLE objects (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL,
    account bigint NOT NULL REFERENCES accounts (n),
    provider text NOT NULL,
    kind text NOT NULL,
    kept bigint NOT NULL CHECK (kept >= 0),
    created bigint NOT NULL,
    details json NOT NULL,
    is_open boolean NOT NULL,
    UNIQUE (provider, id)
);
CREATE INDEX objects_of_account ON objects (account, n);
CREATE INDEX open_objects ON objects (n) WHERE is_open;
CREATE TRIGGER object_stored AFTER INSERT OR UPDATE OR DELETE ON objects
    FOR EACH ROW EXECUTE FUNCTION count_stored();
