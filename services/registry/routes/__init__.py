"""HTTP of the registry, by subject. The page is for everybody; everything else needs a scope."""

from services.registry.routes import (
    access,
    book,
    changes,
    findings,
    page,
    proposals,
    records,
    register,
    registers,
    tenants,
)

routers = [
    access.asked,
    access.router,
    book.router,
    changes.router,
    findings.router,
    proposals.router,
    records.router,
    register.router,
    registers.router,
    page.router,
    tenants.router,
]
