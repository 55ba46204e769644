-- Version 2: for whom a request was made, and what was used under each of these tags. Programs of version 1 go on beside
-- it: their requests have none.

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
