"""What the issuer is told at start beside what every process is told."""

from pathlib import Path

from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings):
    """`clients_table`: the reviewed table; another installation may bring its own."""

    clients_table: Path = Path(__file__).with_name("clients.yaml")

    @property
    def secure_cookies(self) -> bool:
        return self.issuer.startswith("https://")
