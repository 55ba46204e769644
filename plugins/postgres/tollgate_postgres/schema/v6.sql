-- Version 6: the attempts of a request at its targets, in its row of the usage log. Programs of older versions go on beside
-- it: their rows have none.
-- tries: as `gateway.stores.pack_tries` writes them; '' for none.
ALTER TABLE usage ADD COLUMN tries text NOT NULL DEFAULT '';
