-- Version 7: figures of what is no text in the sums of usage; thresholds of alerts for one account or key.

ALTER TABLE rollups ADD COLUMN images bigint NOT NULL DEFAULT 0;
ALTER TABLE rollups ADD COLUMN characters bigint NOT NULL DEFAULT 0;
ALTER TABLE rollups ADD COLUMN seconds bigint NOT NULL DEFAULT 0;
ALTER TABLE rollups ADD COLUMN searches bigint NOT NULL DEFAULT 0;

-- Percents, ascending; NULL for those of the configuration.
ALTER TABLE accounts ADD COLUMN alert_thresholds smallint[];
ALTER TABLE keys ADD COLUMN alert_thresholds smallint[];
