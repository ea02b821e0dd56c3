"""What a process is told at start, checked before anything opens. Secrets come as files, never from the environment."""

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Environment variables with the prefix WARDLINE_ (docs/house.md lists them). A service adds its own fields in a subclass."""

    model_config = SettingsConfigDict(env_prefix="WARDLINE_", frozen=True, extra="ignore")

    environment: Literal["production", "development"] = "production"
    home: Path = Path(".data")
    secrets_dir: Path
    issuer: str
    jwks_url: str
    peers: dict[str, str] = {}
    database_host: str = ""
    database_port: int = 5432
    database_name: str = "wardline"
    clock_file: Path | None = None
    otlp_endpoint: str | None = None
    listen_host: str = "127.0.0.1"
    listen_port: int = 0
    smtp_host: str | None = None
    smtp_port: int = 587
    smtp_from: str | None = None
    smtp_starttls: bool = True
    smtp_user: str | None = None
    sms_url: str | None = None
    sms_from: str = "Wardline"

    @model_validator(mode="after")
    def clock_moves_only_in_development(self) -> Self:
        if self.clock_file and self.environment == "production":
            raise ValueError("WARDLINE_CLOCK_FILE is set, but business time cannot be moved in production")
        return self

    def secret(self, name: str) -> bytes:
        """The bytes of one mounted secret; FileNotFoundError names the missing file."""
        return (self.secrets_dir / name).read_bytes()

    def jwk(self, name: str) -> dict[str, Any]:
        """A private JWK, `<name>.jwk`."""
        return json.loads(self.secret(f"{name}.jwk"))

    def password(self, name: str) -> str:
        return self.secret(f"{name}.password").decode().strip()
