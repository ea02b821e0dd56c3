"""HTTP of the findings: what does not fit together, who settles it, and by when."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from chassis import clock
from chassis.bodies import Body
from services.registry.commands import findings as commands
from services.registry.contract.findings import AssignFinding, FindingKind, Findings
from services.registry.routes.asking import (
    CurrentBook,
    HouseOnce,
    HouseTx,
    PolicyDecider,
    RegistryReader,
    of_the_operator,
)

router = APIRouter(tags=["findings"], dependencies=[Depends(of_the_operator)])

About = Annotated[str, Path(max_length=200, pattern=r"^[A-Za-z0-9_.*-]+$")]


@router.get("/v1/findings")
async def listed(_: RegistryReader, book: CurrentBook, tx: HouseTx) -> Findings:
    return await commands.told(tx, book, clock.now())


@router.put("/v1/findings/{kind}/{about}", response_model=Findings)
async def assign(
    _: PolicyDecider,
    kind: FindingKind,
    about: About,
    wish: Body[AssignFinding],
    book: CurrentBook,
    tx: HouseTx,
    once: HouseOnce,
):
    """Another owner or day for what the registry found itself; a finding of the book is changed in the book."""
    return await once(commands.assign, tx, f"{kind}/{about}", wish, book)
