"""Cells of a CSV that is opened in a spreadsheet."""

import re
from typing import Any

# Where a spreadsheet may see a cell begin: one that expects semicolons, as Swedish ones do, begins a cell at each and a row at each
# line, wherever in a text they stand, and takes quotes there for the cell's own. Some take the wide signs of East Asian scripts for the
# same.
_BEGINS = r"=+\-@\uff1d\uff0b\uff0d\uff20"
_RUNS = re.compile(rf"""(^(?=[\t\r]|"*[{_BEGINS}])|[;\n\r\t](?="*[{_BEGINS}]))""")


def no_formula(cell: Any) -> Any:
    """The cell as a text that no spreadsheet runs as a formula (CWE-1236); what is no text is no formula."""
    return _RUNS.sub(r"\1'", cell) if isinstance(cell, str) else cell
