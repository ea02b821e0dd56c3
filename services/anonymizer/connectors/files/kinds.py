"""The kinds of stores whose records are read and rewritten piece by piece. A new kind is a file of its own and a line here;
`docs/connectors.md` says how."""

from collections.abc import Callable

from services.anonymizer.connectors.files.formats import Format, JsonLines, Parquet, Recordings
from services.anonymizer.connectors.files.objects import Objects
from services.anonymizer.connectors.files.zendesk import Zendesk
from services.anonymizer.datamap import Store
from services.anonymizer.settings import Settings

FORMATS: dict[str, Callable[[Store, Settings], Format]] = {
    "folder": Recordings,
    "jsonlines": JsonLines,
    "objects": Objects,
    "parquet": Parquet,
    "zendesk": Zendesk,
}
