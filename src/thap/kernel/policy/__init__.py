"""Who may do what to which records: people, their roles within units and domains, restrictions.

    policy = await Policies(records).current()
    policy.where(who, "incident.read", Resource((incidents.c.unit, incidents.c.commune), incidents.c.domain))
    policy.check(who, "incident.close", Subject("incident", (row.unit, row.commune), row.domain))

Lists are filtered in SQL by `where`, counts included; a single record is judged by `decide` or `check`. Both say
the same of every record. People, units and restrictions are changed through `thap.kernel.policy.people`,
`.units` and `.limits`.
"""

from thap.kernel.policy.cache import Policies
from thap.kernel.policy.model import (
    ACTIONS,
    EVERYWHERE,
    READING,
    ROLES,
    SCOPE_ROLES,
    Decision,
    Grant,
    Resource,
    Restriction,
    Subject,
    Who,
)
from thap.kernel.policy.rules import Policy
from thap.kernel.policy.seeding import seed

__all__ = [
    "ACTIONS",
    "EVERYWHERE",
    "READING",
    "ROLES",
    "SCOPE_ROLES",
    "Decision",
    "Grant",
    "Policies",
    "Policy",
    "Resource",
    "Restriction",
    "Subject",
    "Who",
    "seed",
]
