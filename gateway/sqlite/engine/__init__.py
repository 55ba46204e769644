"""The engine under the SQLite stores: connections, the one writer, migrations, who is alive."""
