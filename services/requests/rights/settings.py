"""What the rights process is told beside the usual."""

from pathlib import Path

from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings):
    """holiday_country: whose public holidays move a due date (ISO 3166 code)."""

    holiday_country: str = "SE"

    @property
    def packages(self) -> Path:
        """One folder for each request that has something on disk, all of it encrypted."""
        return self.home / "packages"
