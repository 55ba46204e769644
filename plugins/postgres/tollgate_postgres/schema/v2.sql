-- Version 2: the attempts of a request at its targets, in its row of the usage log.
-- tries: as `gateway.stores.pack_tries` writes them; '' for none.
ALTER TABLE usage ADD COLUMN tries text NOT NULL DEFAULT '';
