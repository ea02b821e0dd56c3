"""What the registry is told beside what every service is told."""

from pathlib import Path

import chassis.settings

REVIEWED = Path(__file__).parents[2] / "policy" / "book.yaml"


class Settings(chassis.settings.Settings):
    """policy_book: the reviewed file that is put in force at start if its version is new.

    Unset, it is `HOME/policy/book.yaml` where an operator keeps its own, else the book of this repository.
    """

    policy_book: Path | None = None

    @property
    def book_file(self) -> Path:
        own = self.home / "policy" / "book.yaml"
        return self.policy_book or (own if own.exists() else REVIEWED)
