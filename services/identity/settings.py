"""What the issuer is told at start beside what every process is told."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chassis.settings import Settings as ChassisSettings


class EidProvider(BaseModel):
    """An OpenID provider of electronic identities, as JSON in WARDLINE_EID; our key there is SECRETS_DIR/eid.jwk (private_key_jwt) or
    our password SECRETS_DIR/eid.password (client_secret_basic).

    acr: the levels it is asked for, all of which are accepted; what each is worth says the policy book (`assurances`) ·
    claim: what names the person in its ID token, such as a personal identity number; accounts are made with the same value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]
    client_id: Annotated[str, Field(min_length=1)]
    acr: Annotated[tuple[str, ...], Field(min_length=1)]
    claim: str = "sub"
    scope: str = "openid"


class Settings(ChassisSettings):
    """`clients_table`: the reviewed table; another installation may bring its own. `eid`: where people prove who they are besides."""

    clients_table: Path = Path(__file__).with_name("clients.yaml")
    eid: EidProvider | None = None

    @model_validator(mode="after")
    def who_somebody_is_travels_sealed(self) -> Self:
        if self.eid and self.environment == "production" and not self.eid.issuer.startswith("https://"):
            raise ValueError("WARDLINE_EID names a provider without https")
        return self

    @property
    def secure_cookies(self) -> bool:
        return self.issuer.startswith("https://")
