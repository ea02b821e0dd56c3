"""What staff may do is asked of the access register at every one of their requests: a right that ended does not work once more.

Customers and machines are not asked about, so their way through the edge is as short as before; staff pay for one question.
Nothing is remembered: an answer kept for a second would be a second in which somebody who left still reads people's data.
"""

from uuid import UUID

from chassis.auth import Caller
from chassis.errors import Forbidden, Unauthenticated
from services.registry.client import RegistryClient


async def check_standing(register: RegistryClient, caller: Caller) -> None:
    """Raises Unauthenticated when a role in the token is no longer held, and Unavailable when that cannot be known."""
    if caller.kind != "staff":
        return
    person, organisation = _who(caller)
    if not caller.roles <= set(await register.roles_held(person, organisation)):
        raise Unauthenticated("A right of yours has ended; log in again for what remains.")


def _who(caller: Caller) -> tuple[UUID, UUID]:
    """Raises Forbidden for a token that leaves open who somebody is, or which of her roles gave her its scopes."""
    if caller.tenant is None or not caller.roles:
        raise Forbidden("This token names no role, or no organisation.")
    try:
        return UUID(caller.subject), caller.tenant
    except ValueError:
        raise Forbidden("The access register knows people by UUID.") from None
