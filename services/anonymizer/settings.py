"""What the anonymizer is told beside every process's settings. It alone is given credentials to the operator's stores."""

from pathlib import Path

from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings):
    """data_map: folder of `<store>.yaml`; `SECRETS_DIR/stores/<store>.<wardline|verifier>.password` are the credentials.
    lake_rest: seconds after a person's copy in which the process that reads lakes ends, and gives its memory back · lake_rest_large: the
    same after other work, which may go through a whole lake and leaves it larger."""

    data_map: Path = Path("policy/stores")
    lake_rest: float = 5.0
    lake_rest_large: float = 1.0

    def folder(self, relative: str) -> Path:
        """Where a store's folder lies."""
        return self.home / relative
