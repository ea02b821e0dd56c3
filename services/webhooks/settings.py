"""The chassis' settings; in development deliveries may go to this machine itself."""

from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings):
    @property
    def loopback(self) -> bool:
        return self.environment == "development"
