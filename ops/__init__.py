"""How the house is started: the catalogue of processes, keys, embedded PostgreSQL, migrations, supervisor."""
