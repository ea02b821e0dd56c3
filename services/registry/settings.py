"""What the registry is told beside what every service is told."""

from pathlib import Path

import chassis.settings


class Settings(chassis.settings.Settings):
    """policy_book: the reviewed file that is put in force at start, if its version is new."""

    policy_book: Path = Path(__file__).parents[2] / "policy" / "book.yaml"
