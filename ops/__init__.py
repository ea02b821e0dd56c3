"""How the house is started: the catalogue of processes, keys, embedded PostgreSQL, migrations, supervisor."""

import sys

if sys.version_info < (3, 11):  # said here, before anything newer than this line is parsed
    sys.exit("Wardline needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])
