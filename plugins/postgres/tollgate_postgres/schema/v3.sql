-- Version 3: leases tell the version that their gateway knows, so that nothing is taken away that one of them needs.

ALTER TABLE leases ADD COLUMN version integer NOT NULL DEFAULT 1;
