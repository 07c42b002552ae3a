"""The identity in SuperOffice's `SoPrincipalCarrier`.

https://docs.superoffice.com/en/api/reference/restful/rest/User/v1User_GetCurrentPrincipal.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from service.access.identity import MAX_NAME, Identity, Role
from service.access.verifiers.client import Answer, NoAnswer

# https://docs.superoffice.com/en/api/authentication/users-and-associates.html: employees, and integrations. The other
# types are external users, who see what is published to them, anonymous users, and resources such as rooms.
_INTERNAL = ("InternalAssociate", "SystemAssociate")
# "General Administrator": https://docs.superoffice.com/en/api/netserver/mdo-providers/reference/functionrights.html
_ADMINISTRATOR = "admin-all"
_NAMES = ("Associate", "UserName", "FullName", "Name")


def identity_of(answer: Answer) -> Identity | None:
    """Return the identity in *answer*, whose status is 200; None for a log-in page, no body, or an anonymous user.

    Raises `NoAnswer` when its media type is JSON and its body is not.
    """
    if answer.media_type not in ("application/json", "text/json") or not answer.body.strip():
        return None
    try:
        carrier = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise NoAnswer("the answer is no JSON", answer.status) from None
    if not isinstance(carrier, dict) or not _is_named(carrier):
        return None
    roles = {Role.READ}
    if carrier.get("UserType") in _INTERNAL:
        roles.add(Role.WRITE)
        rights = carrier.get("FunctionRights")
        if isinstance(rights, list) and _ADMINISTRATOR in rights:
            roles.add(Role.PURGE)
    return Identity(frozenset(roles), name=_name(carrier))


def _is_named(carrier: Mapping[str, object]) -> bool:
    """Return whether *carrier* has a positive id, or a name and no id, and neither of its types is anonymous."""
    types = [carrier[name] for name in ("UserType", "RoleType") if carrier.get(name) is not None]
    if not all(isinstance(each, str) and "anonymous" not in each.casefold() for each in types):
        return False
    associate = carrier.get("AssociateId")
    if associate is not None:
        return type(associate) is int and associate > 0
    return any(isinstance(carrier.get(name), str) and carrier[name] for name in _NAMES)


def _name(carrier: Mapping[str, object]) -> str:
    """Return the first name in *carrier*, or its id."""
    names = (carrier.get(each) for each in (*_NAMES, "AssociateId"))
    return next((str(name)[:MAX_NAME] for name in names if name), "")
