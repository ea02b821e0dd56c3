"""What the rights process is told beside the usual."""

from pathlib import Path

from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings):
    """holiday_country: whose public holidays move a due date (ISO 3166 code) · zendesk_url, zendesk_user: of the helpdesk's
    system that is told how its tickets go on; its API token is the file `zendesk.token` · builders_rest: seconds after a crowd of requests
    in which the process that builds its packages ends, and gives its memory back."""

    holiday_country: str = "SE"
    zendesk_url: str | None = None
    zendesk_user: str = ""
    builders_rest: float = 30.0

    @property
    def packages(self) -> Path:
        """One folder for each request that has something on disk, all of it encrypted."""
        return self.home / "packages"
