"""The Responses API over every provider: its dialect at the door, the state between turns, answers that go on without
their caller, and streams that can be taken up again. Formats live in `gateway.wire` (`responses`, `bridge`), what is
kept behind `gateway.stores.responses`, HTTP in `gateway.http`."""
