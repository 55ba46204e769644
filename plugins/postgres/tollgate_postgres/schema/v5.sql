-- Version 5: rate windows in one row for each second, so that an event costs the same however many there are.

-- newest: the time of the last event; the row is what is locked. `times` is version 1's.
ALTER TABLE windows ADD COLUMN newest double precision NOT NULL DEFAULT 0;
-- slot: the second of these times. n: how many they are.
CREATE UNLOGGED TABLE hits (
    name text NOT NULL,
    length double precision NOT NULL,
    slot bigint NOT NULL,
    n integer NOT NULL,
    times double precision[] NOT NULL,
    PRIMARY KEY (name, length, slot)
) WITH (fillfactor = 50);
