"""Draws every file of a bundle from its spool, in a process of its own: `python -m services.registry.export.render FOLDER …`.

What writes spreadsheets and documents needs memory and time that the registry itself should keep for those who ask it
something; here both end with the process. Each library is imported only if its format is asked for.
"""

import argparse
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from services.registry.export.profiles import PROFILES
from services.registry.export.sheets import Context, Profile
from services.registry.export.spool import read_about
from services.registry.labels import LANGUAGES, Language

OUT = "out"
Draw = Callable[[Path, Path, Profile, Context], None]


def render(folder: Path, formats: Sequence[str], language: Language) -> None:
    """From `about.json` and the sheets' lines in `folder` to the files in `folder/out`."""
    about = read_about(folder)
    out = folder / OUT
    out.mkdir()
    for name in formats:
        _drawing(name)(folder, out, PROFILES[about["profile"]], Context(language, about))


def _drawing(name: str) -> Draw:
    from services.registry.export import text

    match name:
        case "csv":
            return text.csv_files
        case "json":
            return text.json_files
        case "jsonld":
            return text.linked_file
        case "xlsx":
            from services.registry.export.workbook import workbook

            return workbook
        case "pdf":
            from services.registry.export.document import documents

            return documents
    raise ValueError(f"no format is called {name}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m services.registry.export.render", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", choices=LANGUAGES, required=True)
    parser.add_argument("formats", nargs="+")
    told = parser.parse_args(arguments)
    render(told.folder, told.formats, told.language)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return 0


if __name__ == "__main__":
    sys.exit(main())
